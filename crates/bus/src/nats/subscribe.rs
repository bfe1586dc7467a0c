//! Who hears what, now: each subscription has a task that moves its messages into the bus's own bounded queue, where
//! the subject's policy for slow readers holds. The client's queue would drop the newest and not count it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::backend::Outcome;
use crate::error::{Error, ErrorKind};
use crate::message::{Answer, Message, Reply, Subscription, Unsubscribe};
use crate::nats::connection::Connection;
use crate::nats::ear::{Ear, TAKEN_AT_ONCE};
use crate::nats::headers;
use crate::nats::inbox::time_left;
use crate::queue::{Losses, Pushed, Queue};
use crate::registry::{Registry, SlowReader};
use crate::router::Router;
use crate::subject::{Pattern, Subject, matches_text};

/// How long an asker waits that does not say so, being none of ours: as long as NATS's own command line.
const UNTOLD_WAIT: Duration = Duration::from_secs(5);

/// How long a subscription that has ended refuses what still comes.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// The subscriptions of a process.
pub(crate) struct Subscriptions {
    connection: Arc<Connection>,
    registry: Arc<Registry>,
    losses: Losses,
    /// Who is asked directly.
    pub(crate) near: Arc<Router>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

struct Open {
    queue: Arc<Queue>,
    drain: CancellationToken,
    ended: Arc<AtomicBool>,
}

/// Moves one subscription's messages.
struct Pump {
    all: Arc<Subscriptions>,
    pattern: Pattern,
    /// The subject, where the pattern is one.
    only: Option<Subject>,
    in_group: bool,
    queue: Arc<Queue>,
    stop: CancellationToken,
    drain: CancellationToken,
    ended: Arc<AtomicBool>,
}

impl Subscriptions {
    pub(crate) fn new(connection: Arc<Connection>, registry: Arc<Registry>) -> Arc<Self> {
        let (open, next) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { connection, registry, losses: Losses::new(), near: Router::new(), open, next })
    }

    /// In force at the server when it returns.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        pattern: Pattern,
        group: Option<String>,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        let (queue, unsubscribe) = self.open(pattern, group, capacity).await?;
        Ok(Subscription::new(queue, unsubscribe))
    }

    /// The same, and asked directly by this process.
    pub(crate) async fn subscribe_near(
        self: &Arc<Self>,
        pattern: Pattern,
        group: String,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        let (queue, unsubscribe) = self.open(pattern.clone(), Some(group.clone()), capacity).await?;
        let leave = match self.near.join(&pattern, Some(&group), &queue) {
            Ok(leave) => leave,
            Err(error) => {
                unsubscribe();
                return Err(error);
            }
        };
        // Nobody would try them any more, but for what finds no room.
        let is_one = |destination: &str| matches_text(pattern.as_str(), destination);
        self.connection.guard.breakers().renew(is_one, Instant::now());
        let both = move || {
            leave();
            unsubscribe();
        };
        Ok(Subscription::new(queue, Box::new(both)))
    }

    /// A queue that what comes is moved into, and how that ends.
    async fn open(
        self: &Arc<Self>,
        pattern: Pattern,
        group: Option<String>,
        capacity: usize,
    ) -> Result<(Arc<Queue>, Unsubscribe), Error> {
        self.connection.check_open()?;
        self.connection.check_up()?;
        let in_group = group.is_some();
        let group = group.map(|group| self.group_name(&group));
        let ear = Ear::open(&self.connection, pattern.as_str().to_owned(), group).await?;
        let queue = Arc::new(Queue::new(capacity));
        let (stop, drain) = (self.connection.stop.child_token(), CancellationToken::new());
        let ended = Arc::new(AtomicBool::new(false));
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open
            .lock()
            .insert(id, Open { queue: queue.clone(), drain: drain.clone(), ended: ended.clone() });
        let only = self.registry.parse_as(pattern.template(), pattern.as_str());
        let pump = Pump {
            all: self.clone(),
            only: only.filter(|_| !pattern.is_wild()),
            pattern,
            in_group,
            queue: queue.clone(),
            stop: stop.clone(),
            drain,
            ended,
        };
        self.connection.tasks.spawn(pump.run(ear));
        let all = Arc::downgrade(self);
        let unsubscribe = move || {
            stop.cancel();
            if let Some(all) = all.upgrade() {
                all.open.lock().remove(&id);
            }
        };
        Ok((queue, Box::new(unsubscribe)))
    }

    /// Queue groups carry the prefix too.
    fn group_name(&self, group: &str) -> String {
        format!("{}{group}", self.registry.prefix())
    }

    /// Lets what the server has sent arrive, and no more.
    pub(crate) fn stop(&self) {
        self.near.stop();
        self.open.lock().values().for_each(|one| one.drain.cancel());
    }

    /// Messages that wait for their readers, and whether all that was sent has arrived.
    pub(crate) fn under_way(&self) -> (usize, bool) {
        let open = self.open.lock();
        let waiting = open.values().map(|one| one.queue.len()).sum();
        (waiting, open.values().all(|one| one.ended.load(Ordering::Acquire)))
    }
}

impl Pump {
    async fn run(self, mut ear: Ear) {
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let moving = async {
            tokio::select! {
                () = self.drain.cancelled() => ear.drain().await,
                () = self.move_all(&mut ear, &mut taken) => return,
            }
            self.move_all(&mut ear, &mut taken).await;
        };
        self.stop.run_until_cancelled(moving).await;
        self.ended.store(true, Ordering::Release);
        // While the bus drains, what waits is read first; who drains closes the queues.
        self.stop.cancelled().await;
        self.queue.close();
        if self.in_group && self.all.connection.check_open().is_ok() {
            let refusing = async {
                ear.drain().await;
                self.move_all(&mut ear, &mut taken).await;
            };
            // What the client still hands on is refused, and so offered to another.
            let _ = tokio::time::timeout(LEAVE_WAIT, refusing).await;
        }
    }

    /// Moves on what comes, all that is there at a time, until there will be no more. Cancel safe.
    async fn move_all(&self, ear: &mut Ear, taken: &mut Vec<async_nats::Message>) {
        while ear.some(taken).await {
            let received = Instant::now();
            let messages = taken.drain(..).filter_map(|message| self.read(message, received));
            self.queue.push_all(messages, |pushed, slow| self.told(pushed, slow));
        }
    }

    fn told(&self, pushed: Pushed, slow: SlowReader) {
        self.all.losses.count(&pushed, slow);
        match pushed {
            Pushed::Full(Message { reply: Some(reply), subject, .. }) => {
                let what = format!("a subscriber of '{subject}' is full");
                reply.send(Err(Error::new(ErrorKind::Overloaded, what)));
            }
            Pushed::Closed(Message { reply: Some(reply), subject, .. }) => reply.nobody(&subject),
            _ => {}
        }
    }

    /// A message as the bus has it; `None`: its subject is none of the registry's.
    fn read(&self, message: async_nats::Message, received: Instant) -> Option<Message> {
        let subject = match &self.only {
            Some(subject) => subject.clone(),
            None => match self.all.registry.parse_as(self.pattern.template(), &message.subject) {
                Some(subject) => subject,
                None => {
                    metrics::counter!("tidings_bus_foreign_subjects_total").increment(1);
                    return None;
                }
            },
        };
        let map = message.headers.as_ref();
        let reply = message.reply.filter(|to| {
            let asks = self.all.connection.is_inbox(to);
            if !asks {
                metrics::counter!("tidings_bus_foreign_replies_total").increment(1);
            }
            asks
        });
        Some(Message {
            payload: message.payload,
            headers: headers::from_nats(map),
            deadline: reply.as_ref().map(|to| received + time_left(to).unwrap_or(UNTOLD_WAIT)),
            reply: reply.map(|to| self.reply(to)),
            subject,
            checked: 0,
        })
    }

    fn reply(&self, to: async_nats::Subject) -> Reply {
        let way = Way { connection: self.all.connection.clone(), to: Some(to), in_group: self.in_group };
        Reply::new(Answer::Away(Box::new(move |answer| way.send(answer))))
    }
}

/// An answer's way to an asker elsewhere, who is told as well where there will be none.
struct Way {
    connection: Arc<Connection>,
    to: Option<async_nats::Subject>,
    in_group: bool,
}

impl Way {
    fn send(mut self, answer: Result<Bytes, Error>) {
        let Some(to) = self.to.take() else { return };
        match answer {
            Ok(payload) => {
                let bytes = payload.len();
                match self.connection.send(to.clone(), None, payload) {
                    // It is larger than the server takes: the asker would wait for it.
                    Outcome::Ready(Err(error)) => {
                        tracing::warn!(%error, bytes, "an answer could not be sent");
                        self.refuse(to, headers::UNANSWERED);
                    }
                    sending => self.connection.finish_soon(bytes, sending),
                }
            }
            Err(error) => self.refuse(to, error.kind().as_str()),
        }
    }

    /// A refusal is only for a group's member to give: of several subscribers another may answer. Never waits: it may be
    /// called from anywhere.
    fn refuse(&self, to: async_nats::Subject, why: &str) {
        if self.in_group {
            let mut map = async_nats::HeaderMap::new();
            headers::put(&mut map, headers::REFUSED, why);
            self.connection.send_soon(to, Some(map), Bytes::new());
        }
    }
}

impl Drop for Way {
    /// Let go without an answer.
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            self.refuse(to, headers::UNANSWERED);
        }
    }
}
