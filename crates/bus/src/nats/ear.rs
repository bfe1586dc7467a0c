//! A subscription that outlives its client: when the member it is heard by has given up, it is heard by another.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
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
    /// It being heard again: whoever stops waiting for that leaves it to who waits next.
    again: Option<BoxFuture<'static, Option<Self>>>,
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
        let connection = connection.clone();
        Ok(Self { connection, member, subject, group, subscriber, drained: false, again: None })
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
        self.again = None;
        // Where that fails there is no connection by which anything could arrive.
        let _ = self.subscriber.drain().await;
    }

    /// The client has ended: by another member, or by this one once it has another client. Cancel safe: it goes on where
    /// it was.
    async fn hear_again(&mut self) -> Option<()> {
        if self.drained {
            return None;
        }
        let again = self.again.get_or_insert_with(|| {
            Box::pin(open_again(self.connection.clone(), self.subject.clone(), self.group.clone()))
        });
        let heard = again.await;
        self.again = None;
        *self = heard?;
        Some(())
    }
}

async fn open_again(connection: Arc<Connection>, subject: String, group: Option<String>) -> Option<Ear> {
    while connection.check_open().is_ok() {
        let up = connection.wait_up(Instant::now() + UP_WAIT).await;
        if up.is_ok()
            && let Ok(ear) = Ear::open(&connection, subject.clone(), group.clone()).await
        {
            return Some(ear);
        }
        tokio::time::sleep(jitter(AGAIN)).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use tidings_test_support::{NatsServer, newest_nats};

    use super::*;
    use crate::nats::config::NatsConfig;

    /// Who looks at other things between may never wait long enough for it to be heard again at one go.
    #[tokio::test]
    async fn it_is_heard_again_though_nobody_waits_for_it() {
        let mut server = NatsServer::start(newest_nats()).unwrap();
        let config = NatsConfig { servers: vec![server.url()], pool: 2, ..NatsConfig::default() };
        let connection = Connection::open(&config).await.unwrap();
        let mut ear = Ear::open(&connection, "a.b".to_owned(), None).await.unwrap();
        let member = ear.member().clone();
        server.kill().unwrap();
        let begun = Instant::now();
        while member.client().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(20), "its client gives up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.restart().unwrap();
        let (begun, mut taken) = (Instant::now(), Vec::new());
        while ear.some(&mut taken).now_or_never().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is heard again");
            let _ = connection.send("a.b".into(), None, Bytes::new()).done().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!taken.is_empty());
        connection.close(Duration::from_secs(5)).await;
    }
}
