//! Pulling work: as much as workers wait for, and no more.
//!
//! A pulled message keeps its own subject, so a queue has a subscription of its own. A worker that goes away while it
//! waits leaves its pull to the next one; what came for nobody goes back after a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::nats::ack::Delivery;
use crate::nats::connection::{Connection, random_name};
use crate::nats::headers;
use crate::nats::under_way::UnderWay;

/// How long a pull waits at the server.
const PULL_WAIT: Duration = Duration::from_secs(10);
/// How long after that its silence means that it is lost.
const PULL_GRACE: Duration = Duration::from_secs(2);
/// How long after a pull that failed the next one waits.
const PULL_AGAIN: Duration = Duration::from_millis(250);
/// Messages of one pull.
const PULL_BATCH: usize = 256;
/// How long what was pulled for a worker that is gone waits for another one before it goes back.
const HOLD: Duration = Duration::from_secs(1);

/// A delivery that no worker has yet.
pub(crate) struct Pulled {
    pub(crate) reply: String,
    pub(crate) delivery: Delivery,
    pub(crate) envelope: Bytes,
    since: Instant,
}

#[derive(Default)]
struct State {
    pulled: VecDeque<Pulled>,
    /// Messages that pulls at the server still may bring.
    asked: usize,
    /// When the last of them was asked for.
    asked_at: Option<Instant>,
    stopped: bool,
}

pub(crate) struct Pulls {
    connection: Arc<Connection>,
    /// Where to ask, and where answers go.
    subject: String,
    inbox: String,
    hold: Duration,
    state: Mutex<State>,
    waiting: AtomicUsize,
    changed: Notify,
}

impl Pulls {
    /// Begins to listen for the consumer `at`, `<stream>.<consumer>`.
    pub(crate) async fn open(
        connection: &Arc<Connection>,
        at: &str,
        ack_wait: Duration,
    ) -> Result<Arc<Self>, Error> {
        let inbox = connection.own_inbox(&random_name()?);
        let messages =
            connection.client.subscribe(inbox.clone()).await.map_err(|error| {
                Error::new(ErrorKind::Subscribe, format!("work of '{at}'")).because(error)
            })?;
        let pulls = Arc::new(Self {
            connection: connection.clone(),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{at}"),
            inbox,
            hold: HOLD.min(ack_wait / 2),
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        connection.tasks.spawn(pulls.clone().listen(messages));
        Ok(pulls)
    }

    /// The next one; cancel safe.
    pub(crate) async fn next(&self) -> Result<Pulled, Error> {
        let _waiting = UnderWay::count(&self.waiting);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.stopped {
                    return Err(Error::closed());
                }
                if let Some(pulled) = state.pulled.pop_front() {
                    return Ok(pulled);
                }
            }
            self.ask_for_missing().await?;
            changed.await;
        }
    }

    /// Asks for as many as workers wait for and are not asked for yet.
    async fn ask_for_missing(&self) -> Result<(), Error> {
        if self.connection.check_up().is_err() {
            // Connected anew, it is asked again.
            return self.connection.check_open();
        }
        let missing = {
            let mut state = self.state.lock();
            let waiting = self.waiting.load(Ordering::Acquire);
            let missing = waiting.saturating_sub(state.asked + state.pulled.len()).min(PULL_BATCH);
            state.asked += missing;
            if missing > 0 {
                state.asked_at = Some(Instant::now());
            }
            missing
        };
        if missing == 0 {
            return Ok(());
        }
        let expires = u64::try_from(PULL_WAIT.as_nanos()).unwrap_or(u64::MAX);
        let question = Bytes::from(json!({"batch": missing, "expires": expires}).to_string());
        self.connection.send(self.subject.clone(), Some(self.inbox.clone()), None, question).await
    }

    async fn listen(self: Arc<Self>, mut messages: Subscriber) {
        let mut link = self.connection.link();
        let mut look = tokio::time::interval(self.hold);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.connection.stop.cancelled() => break,
                message = messages.next() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                changed = link.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    // The server that had the pulls may be gone.
                    self.forget();
                }
                _ = look.tick() => self.look(),
            }
        }
        self.stop();
    }

    async fn take(&self, message: Message) {
        match message.status.map(|status| status.as_u16()) {
            None => {
                let Some(reply) = message.reply.map(|reply| reply.to_string()) else { return };
                let Some(delivery) = Delivery::parse(&reply) else { return };
                let pulled = Pulled { reply, delivery, envelope: message.payload, since: Instant::now() };
                let mut state = self.state.lock();
                state.asked = state.asked.saturating_sub(1);
                state.pulled.push_back(pulled);
            }
            // A pull waited as long as it was to.
            Some(408) => {
                let left = headers::number(message.headers.as_ref(), "Nats-Pending-Messages").unwrap_or(1);
                let mut state = self.state.lock();
                state.asked = state.asked.saturating_sub(usize::try_from(left).unwrap_or(usize::MAX));
            }
            Some(100) => return,
            Some(status) => {
                tracing::debug!(status, why = message.description, "a pull of work failed");
                tokio::time::sleep(PULL_AGAIN).await;
                self.state.lock().asked = 0;
            }
        }
        self.changed.notify_waiters();
    }

    fn forget(&self) {
        self.state.lock().asked = 0;
        self.changed.notify_waiters();
    }

    /// Gives back what nobody took, and forgets pulls that were lost.
    fn look(&self) {
        let (lost, now) = {
            let state = self.state.lock();
            let silent = state.asked_at.is_some_and(|at| at.elapsed() > PULL_WAIT + PULL_GRACE);
            (silent && state.asked > 0, Instant::now())
        };
        if lost {
            self.forget();
        }
        self.give_back(|pulled| now.duration_since(pulled.since) >= self.hold);
    }

    fn give_back(&self, which: impl Fn(&Pulled) -> bool) {
        let back: Vec<Pulled> = {
            let mut state = self.state.lock();
            let (back, kept): (Vec<_>, Vec<_>) = state.pulled.drain(..).partition(|pulled| which(pulled));
            state.pulled = kept.into();
            back
        };
        for Pulled { reply, .. } in back {
            self.connection.send_soon(reply, None, Bytes::from_static(b"-NAK"));
        }
    }

    /// Hands out nothing more, and gives back what nobody took.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.give_back(|_| true);
        self.changed.notify_waiters();
    }
}
