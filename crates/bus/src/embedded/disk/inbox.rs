//! What the writer is asked to do, and the bounded queue it comes by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::embedded::buckets::Bucket;
use crate::embedded::disk::codec::Kind;
use crate::embedded::queues::WorkQueue;
use crate::error::Error;
use crate::kv::Expect;
use crate::log::Committed;
use crate::subject::Subject;

/// What a record does once it is stored.
pub(crate) enum Target {
    /// A message of a log, and the registry by which its form was checked; 0: by none.
    Log {
        checked: u64,
    },
    Trim,
    Put(Arc<Bucket>, Box<str>),
    Delete(Arc<Bucket>, Box<str>),
    Work(Arc<WorkQueue>),
    Attempt(Arc<WorkQueue>),
    Done(Arc<WorkQueue>),
}

impl Target {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Log { .. } => Kind::Append,
            Self::Trim => Kind::Trim,
            Self::Put(..) => Kind::Put,
            Self::Delete(..) => Kind::Delete,
            Self::Work(_) => Kind::Work,
            Self::Attempt(_) => Kind::Attempt,
            Self::Done(_) => Kind::Done,
        }
    }
}

/// A record to be stored.
pub(crate) struct NewRecord {
    pub(crate) subject: Subject,
    pub(crate) aux: i64,
    pub(crate) payload: Bytes,
    pub(crate) target: Target,
}

/// What has to hold for a commit to be taken.
pub(crate) enum Condition {
    /// The last message of the log is at this sequence.
    Fence(Subject, u64),
    /// The value of this key is as expected; the subject is the key's.
    Value(Subject, Arc<Bucket>, Box<str>, Expect),
    /// The work is not done with yet.
    Pending(Arc<WorkQueue>, u64),
}

/// One commit.
pub(crate) struct Txn {
    pub(crate) records: Vec<NewRecord>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) answer: Option<oneshot::Sender<Result<Committed, Error>>>,
    pub(crate) asked: Instant,
    /// Its place in the queue, given back when it is answered.
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Txn {
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.payload.len() + 128).sum()
    }

    pub(crate) fn reply(self, outcome: Result<Committed, Error>) {
        if let Some(answer) = self.answer {
            let _ = answer.send(outcome);
        }
    }
}

/// What a compaction made, to be put in the place of what it read.
pub(crate) type CompactDone = crate::embedded::disk::compact::Done;

#[derive(Default)]
struct Waiting {
    txns: Vec<Txn>,
    compacted: Option<CompactDone>,
    closed: bool,
    writer_waits: bool,
}

/// What the writer finds when it looks.
pub(crate) struct Taken {
    pub(crate) txns: Vec<Txn>,
    pub(crate) compacted: Option<CompactDone>,
    pub(crate) closed: bool,
}

/// The writer's queue. Its bound is the semaphore that gives out the permits.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Inbox {
    /// `Err` gives it back: the writer takes no more.
    pub(crate) fn push(&self, txn: Txn) -> Result<(), Txn> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(txn);
        }
        waiting.txns.push(txn);
        if waiting.writer_waits {
            self.arrived.notify_one();
        }
        Ok(())
    }

    pub(crate) fn compacted(&self, done: CompactDone) {
        let mut waiting = self.waiting.lock();
        waiting.compacted = Some(done);
        self.arrived.notify_one();
    }

    /// Whether something was compacted that the writer has not taken yet.
    pub(crate) fn has_compacted(&self) -> bool {
        self.waiting.lock().compacted.is_some()
    }

    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
    }

    /// The writer is gone: who waits is answered by that, and nobody waits any more.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.txns.clear();
    }

    /// All that waits; waits for something at most this long.
    pub(crate) fn take(&self, patience: Duration) -> Taken {
        let mut waiting = self.waiting.lock();
        if waiting.txns.is_empty() && waiting.compacted.is_none() && !waiting.closed {
            waiting.writer_waits = true;
            self.arrived.wait_for(&mut waiting, patience);
            waiting.writer_waits = false;
        }
        Taken {
            txns: std::mem::take(&mut waiting.txns),
            compacted: waiting.compacted.take(),
            closed: waiting.closed,
        }
    }
}
