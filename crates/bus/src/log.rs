//! The words of the durable logs: what is appended, what a commit answers, what a follower reads.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::checks::Checks;
use crate::counts::Counted;
use crate::error::Error;
use crate::subject::Subject;

/// One message of a commit.
#[derive(Debug, Clone)]
pub struct Append {
    /// The log: a subject of class `Durable`.
    pub subject: Subject,
    /// The message.
    pub payload: Bytes,
}

/// A commit is taken only while the last message of `subject` is at `seq` (0: the log is empty).
#[derive(Debug, Clone)]
pub struct Fence {
    /// The ownership record's log.
    pub subject: Subject,
    /// The sequence the owner knows.
    pub seq: u64,
}

/// A commit that is stored: its messages have the sequences `first..=last`, in the order of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The first message's sequence.
    pub first: u64,
    /// The last message's sequence.
    pub last: u64,
}

impl Committed {
    /// The sequences of its messages, in the order of the batch.
    pub fn seqs(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

/// A stored message.
#[derive(Debug, Clone)]
pub struct LogMessage {
    /// Its log.
    pub subject: Subject,
    /// Its sequence in the stream: from 1, never reused within an epoch.
    pub seq: u64,
    /// The sequence of the message before it in its log; 0: no earlier one is retained.
    pub prev: u64,
    /// When it was stored, Unix milliseconds of the storing side.
    pub time_ms: i64,
    /// The message.
    pub payload: Bytes,
    /// The registry by which its form was checked when this process sent it; 0: by none.
    pub(crate) checked: u64,
}

impl LogMessage {
    /// A message as it was read: its form is not known.
    pub fn new(subject: Subject, seq: u64, prev: u64, time_ms: i64, payload: Bytes) -> Self {
        Self { subject, seq, prev, time_ms, payload, checked: 0 }
    }
}

/// Where to start following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The first message after this sequence.
    After(u64),
    /// What is stored from now on.
    New,
}

/// What a follower is told.
#[derive(Debug)]
pub enum Followed {
    /// The next message of one of the logs.
    Message(LogMessage),
    /// The log's messages after `after` and before `first` are no longer retained.
    Hole {
        /// The log.
        subject: Subject,
        /// The place asked for.
        after: u64,
        /// The first retained sequence.
        first: u64,
    },
}

/// What a backend's follower does.
pub trait FollowSetBackend: Send {
    /// Starts to follow a log. Adding one that is followed already starts it anew from there.
    fn add(&mut self, subject: Subject, from: From);
    /// Ends following a log: nothing of it comes any more.
    fn remove(&mut self, subject: &Subject);
    /// The next one; cancel safe.
    fn next(&mut self) -> BoxFuture<'_, Result<Followed, Error>>;
    /// What `next` would give without waiting.
    fn try_next(&mut self) -> Option<Result<Followed, Error>>;
    /// The stream's sequence up to which everything followed was delivered, and the logs delivered less far.
    fn position(&self) -> (u64, Vec<(Subject, u64)>);
}

/// Several logs followed by one reader: each log's messages in order, without a gap, each once. While none is
/// catching up, messages come in the order of the stream. It holds a place, not a queue: one that is slow
/// delays nobody and loses nothing but what retention takes, which it is told as a [`Followed::Hole`].
pub struct FollowSet {
    inner: Box<dyn FollowSetBackend>,
    checks: Arc<Checks>,
}

impl FollowSet {
    pub(crate) fn new(inner: Box<dyn FollowSetBackend>, checks: Arc<Checks>) -> Self {
        Self { inner, checks }
    }

    /// Starts to follow a log. Adding one that is followed already starts it anew from there. A subject that is
    /// not of class `Durable` is answered by `next`, with `Subject`.
    pub fn add(&mut self, subject: Subject, from: From) {
        self.inner.add(subject, from);
    }

    /// Ends following a log: nothing of it comes any more.
    pub fn remove(&mut self, subject: &Subject) {
        self.inner.remove(subject);
    }

    /// The next message of one of the logs; waits where there is none. Cancel safe. Ends with `Closed`. A
    /// message that cannot be read back is an error of kind `Storage`, told once: the one after it follows. A
    /// message without its form is counted and skipped.
    pub async fn next(&mut self) -> Result<Followed, Error> {
        loop {
            let next = match self.inner.try_next() {
                Some(next) => next,
                None => self.inner.next().await,
            };
            if self.is_valid(&next) {
                return next.counted();
            }
        }
    }

    /// The next message where one is ready: lets a reader take many at a wake.
    pub fn try_next(&mut self) -> Option<Result<Followed, Error>> {
        loop {
            let next = self.inner.try_next()?;
            if self.is_valid(&next) {
                return Some(next.counted());
            }
        }
    }

    fn is_valid(&self, next: &Result<Followed, Error>) -> bool {
        match next {
            Ok(Followed::Message(message)) => self.checks.is_logged_well(message),
            _ => true,
        }
    }

    /// The stream's sequence up to which everything followed was delivered, and the logs delivered less far.
    pub fn position(&self) -> (u64, Vec<(Subject, u64)>) {
        self.inner.position()
    }
}
