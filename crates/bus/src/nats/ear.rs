//! A subscription that outlives its client: when the member it is heard by has given up, it is heard by another.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::error::Error;
use crate::nats::connection::{Connection, jitter};
use crate::nats::member::Member;

/// How long the server may take to answer that it has a subscription.
const FORCE_WAIT: Duration = Duration::from_secs(5);
/// The longest pause before a subscription that could not be made is tried again: a new connection was found meanwhile.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a wait for a connection lasts before it is looked again whether there is one.
const UP_WAIT: Duration = Duration::from_secs(5);
/// Messages taken at a time: what waits is moved on with one lock and one wake, and others get their turn.
pub(crate) const TAKEN_AT_ONCE: usize = 256;

pub(crate) struct Ear {
    connection: Arc<Connection>,
    member: Arc<Member>,
    subject: String,
    group: Option<String>,
    subscriber: Subscriber,
    drained: bool,
}

impl Ear {
    /// In force, when it returns, at the server that hears it.
    pub(crate) async fn open(
        connection: &Arc<Connection>,
        subject: String,
        group: Option<String>,
    ) -> Result<Self, Error> {
        let member = connection.any(&subject)?.clone();
        let subscriber = member.hear(&subject, group.as_deref()).await?;
        if member.round_trip(FORCE_WAIT).await.is_none() {
            connection.check_up()?;
            let what = format!("NATS did not answer in {FORCE_WAIT:?}");
            return Err(Error::new(crate::ErrorKind::Timeout, what));
        }
        Ok(Self { connection: connection.clone(), member, subject, group, subscriber, drained: false })
    }

    /// The member it is heard by.
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The next message; `None` once it is drained or the bus has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match self.subscriber.next().await {
                Some(message) => return Some(message),
                None => self.hear_again().await?,
            }
        }
    }

    /// Moves all that is there into `taken`, some at least; `false` once there will be none. Cancel safe.
    pub(crate) async fn some(&mut self, taken: &mut Vec<Message>) -> bool {
        loop {
            let subscriber = &mut self.subscriber;
            let there = std::future::poll_fn(|context| {
                while taken.len() < TAKEN_AT_ONCE {
                    match subscriber.poll_next_unpin(context) {
                        Poll::Ready(Some(message)) => taken.push(message),
                        Poll::Ready(None) => return Poll::Ready(!taken.is_empty()),
                        Poll::Pending if taken.is_empty() => return Poll::Pending,
                        Poll::Pending => break,
                    }
                }
                Poll::Ready(true)
            });
            if there.await {
                return true;
            }
            if self.hear_again().await.is_none() {
                return false;
            }
        }
    }

    /// Lets what the server has sent arrive, and no more.
    pub(crate) async fn drain(&mut self) {
        self.drained = true;
        // Where that fails there is no connection by which anything could arrive.
        let _ = self.subscriber.drain().await;
    }

    /// The client has ended: by another member, or by this one once it has another client.
    async fn hear_again(&mut self) -> Option<()> {
        while !self.drained && self.connection.check_open().is_ok() {
            let up = self.connection.wait_up(Instant::now() + UP_WAIT).await;
            if up.is_ok()
                && let Ok(ear) = Self::open(&self.connection, self.subject.clone(), self.group.clone()).await
            {
                *self = ear;
                return Some(());
            }
            tokio::time::sleep(jitter(AGAIN)).await;
        }
        None
    }
}
