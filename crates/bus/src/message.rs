//! What subscribers and servers of requests receive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::checks::Checks;
use crate::counts::count_error;
use crate::error::{Error, ErrorKind};
use crate::queue::Queue;
use crate::subject::Subject;
use crate::under_way::UnderWay;

/// Headers, in order; over NATS those of one name are, different names come sorted. Few, so a vector.
pub type Headers = Vec<(String, String)>;

/// The header by which a receiver knows a request that comes again, and answers it as the first time: a request that
/// carries it may be sent again though it may have been received.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A message on a subject.
#[derive(Debug)]
pub struct Message {
    /// Where it was published.
    pub subject: Subject,
    /// Its payload.
    pub payload: Bytes,
    /// Its headers.
    pub headers: Headers,
    pub(crate) reply: Option<Reply>,
    pub(crate) deadline: Option<Instant>,
    /// The registry by which its form was checked when this process sent it; 0: by none.
    pub(crate) checked: u64,
}

/// Who is told of the answers to what it asked ([`Bus::ask`](crate::Bus::ask)), by the numbers it asked with. Called
/// wherever an answer comes up: it must not wait.
pub trait Asker: Send + Sync + 'static {
    /// The answer to the request of this number, or why there is none.
    fn answered(&self, number: u64, answer: Result<Bytes, Error>);
}

/// One request of an asker, which is told once.
pub struct Asked {
    asker: Option<Arc<dyn Asker>>,
    number: u64,
    /// The registry by which the request was checked; 0: by none.
    pub(crate) checked: u64,
    under_way: Option<UnderWay<Arc<AtomicUsize>>>,
}

impl Asked {
    pub(crate) fn new(asker: Arc<dyn Asker>, number: u64, checked: u64) -> Self {
        Self { asker: Some(asker), number, checked, under_way: None }
    }

    /// Counted as under way until it is told.
    pub(crate) fn counted(mut self, count: &Arc<AtomicUsize>) -> Self {
        self.under_way = Some(UnderWay::count(Arc::clone(count)));
        self
    }

    /// Tells the asker.
    pub fn tell(mut self, answer: Result<Bytes, Error>) {
        self.tell_once(|| answer);
    }

    fn tell_once(&mut self, answer: impl FnOnce() -> Result<Bytes, Error>) {
        if let Some(asker) = self.asker.take() {
            drop(self.under_way.take());
            asker.answered(self.number, answer().inspect_err(count_error));
        }
    }
}

impl Drop for Asked {
    /// Let go without an answer.
    fn drop(&mut self) {
        let why = "the request was taken and let go without an answer";
        self.tell_once(|| Err(Error::new(ErrorKind::Timeout, why)));
    }
}

/// The answer on its way back.
pub(crate) enum Answer {
    /// To an asker in this process who waits for it.
    Here(oneshot::Sender<Result<Bytes, Error>>),
    /// To one in this process who is told.
    Told(Asked),
    /// By another way.
    Away(Box<dyn FnOnce(Result<Bytes, Error>) + Send>),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// How an answer finds its way back.
#[derive(Debug, Clone)]
pub(crate) struct Reply(pub(crate) Arc<Mutex<Option<Answer>>>);

impl Reply {
    pub(crate) fn new(answer: Answer) -> Self {
        Self(Arc::new(Mutex::new(Some(answer))))
    }

    /// The first answer wins; one that nobody waits for any more is dropped.
    pub(crate) fn send(&self, answer: Result<Bytes, Error>) {
        let waiting = self.0.lock().take();
        match waiting {
            Some(Answer::Here(asker)) => drop(asker.send(answer)),
            Some(Answer::Told(asked)) => asked.tell(answer),
            Some(Answer::Away(send)) => send(answer),
            None => {}
        }
    }

    /// Called when the message was never handed to anybody.
    pub(crate) fn nobody(self, subject: &Subject) {
        if Arc::strong_count(&self.0) == 1 {
            self.send(Err(no_responders(subject)));
        }
    }
}

pub(crate) fn no_responders(subject: &Subject) -> Error {
    Error::new(ErrorKind::NoResponders, format!("nobody serves '{subject}'"))
}

impl Message {
    /// Answers a request. An answer nobody waits for any more is dropped.
    pub fn respond(mut self, payload: Bytes) -> Result<(), Error> {
        match self.reply.take() {
            Some(reply) => {
                reply.send(Ok(payload));
                Ok(())
            }
            None => Err(Error::new(ErrorKind::Publish, "the message asks for no answer")),
        }
    }

    /// Whether an answer is asked for.
    pub fn wants_answer(&self) -> bool {
        self.reply.is_some()
    }

    /// What is left of the asker's deadline; zero once it has passed. `None`: no answer is asked for.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// Ends a subscription where it was made.
pub(crate) type Unsubscribe = Box<dyn FnOnce() + Send + Sync>;

/// A subscription: ends when it is dropped. Requests that still wait in it are answered `NoResponders`.
pub struct Subscription {
    queue: Arc<Queue>,
    taken: VecDeque<Message>,
    checks: Option<Arc<Checks>>,
    unsubscribe: Option<Unsubscribe>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("taken", &self.taken.len()).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) fn new(queue: Arc<Queue>, unsubscribe: Unsubscribe) -> Self {
        Self { queue, taken: VecDeque::new(), checks: None, unsubscribe: Some(unsubscribe) }
    }

    pub(crate) fn checked(mut self, checks: Arc<Checks>) -> Self {
        self.checks = Some(checks);
        self
    }

    /// The next message; `None` once the bus is closed. Cancel safe. May have to be asked twice though one is there, so that
    /// others get their turn: who does not wait asks `try_next`.
    pub async fn next(&mut self) -> Option<Message> {
        // Where there always is one, others get their turn too.
        tokio::task::consume_budget().await;
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            let (queue, taken) = (&self.queue, &mut self.taken);
            if !std::future::poll_fn(|context| queue.poll_take(context, taken)).await {
                return None;
            }
        }
    }

    /// The next message where one is there already: lets a reader take many at a wake.
    pub fn try_next(&mut self) -> Option<Message> {
        if self.taken.is_empty() {
            self.queue.take_into(&mut self.taken);
        }
        self.take()
    }

    fn take(&mut self) -> Option<Message> {
        while let Some(message) = self.taken.pop_front() {
            self.queue.taken_one();
            match &self.checks {
                Some(checks) if !checks.is_well(message.checked, &message.subject, &message.payload) => {}
                _ => return Some(message),
            }
        }
        None
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(unsubscribe) = self.unsubscribe.take() {
            unsubscribe();
        }
        self.queue.close_and_refuse(&mut self.taken);
    }
}
