//! Work queues of the embedded backend.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::backend::Outcome;
use crate::clock::now_ms;
use crate::dead_letter::{DeadLetter, Origin};
use crate::embedded::disk::inbox::{Condition, NewRecord, Target};
use crate::embedded::handle::LogHandle;
use crate::embedded::queues::{Next, WorkQueue, encode_attempt};
use crate::error::Error;
use crate::log::{Append, Fence};
use crate::subject::Subject;
use crate::work::{RawJob, Settle, WorkBackend, WorkConfig};
use crate::work_counts::WorkCounts;

/// How long a dead letter that could not be stored waits for its next try.
const BURY_AGAIN: Duration = Duration::from_secs(1);
/// What the one stream is called in dead letters.
const STREAM: &str = "embedded";

pub(crate) struct EmbeddedWork {
    queue: Arc<WorkQueue>,
    dead: Subject,
    config: WorkConfig,
    log: LogHandle,
    counts: WorkCounts,
}

impl EmbeddedWork {
    pub(crate) fn new(queue: Arc<WorkQueue>, dead: Subject, config: WorkConfig, log: LogHandle) -> Self {
        Self { queue, dead, config, log, counts: WorkCounts::new() }
    }

    fn record(&self, aux: u64, payload: Bytes, target: Target) -> NewRecord {
        let aux = i64::try_from(aux).unwrap_or(i64::MAX);
        NewRecord { subject: self.queue.subject().clone(), aux, payload, target }
    }

    fn done(&self, seq: u64) -> NewRecord {
        self.record(seq, Bytes::new(), Target::Done(self.queue.clone()))
    }

    fn pending(&self, seq: u64) -> Vec<Condition> {
        vec![Condition::Pending(self.queue.clone(), seq)]
    }

    async fn store(&self, envelope: Bytes) -> Result<u64, Error> {
        self.queue.check_bounds(&self.config, envelope.len())?;
        let record = self.record(0, envelope, Target::Work(self.queue.clone()));
        Ok(self.log.commit(vec![record], Vec::new()).await?.last)
    }

    /// Stores a message and the note that its dead letter is gone, in one commit.
    pub(crate) async fn replay(&self, envelope: Bytes, note: Append, fence: Fence) -> Result<u64, Error> {
        self.queue.check_bounds(&self.config, envelope.len())?;
        let work = self.record(0, envelope, Target::Work(self.queue.clone()));
        let target = Target::Log { checked: 0 };
        let note = NewRecord { subject: note.subject, aux: 0, payload: note.payload, target };
        let fence = Condition::Fence(fence.subject, fence.seq);
        Ok(self.log.commit(vec![work, note], vec![fence]).await?.first)
    }

    async fn next_job(&self) -> Result<RawJob, Error> {
        loop {
            let changed = self.queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.queue.next(&self.config) {
                Next::Job(job) => {
                    self.note_delivery(&job);
                    return Ok(job);
                }
                Next::Bury(seq) => {
                    if let Err(error) = self.bury(seq, None, None).await {
                        tracing::error!(%error, seq, "a dead letter could not be stored: the message stays");
                        tokio::time::sleep(BURY_AGAIN).await;
                    }
                }
                Next::Wait(None) => changed.await,
                Next::Wait(Some(when)) => {
                    let _ = tokio::time::timeout_at(when, changed).await;
                }
                Next::Stopped => return Err(Error::closed()),
            }
        }
    }

    /// So that a message that kills its process has its attempts counted all the same.
    fn note_delivery(&self, job: &RawJob) {
        self.counts.delivered(job.delivery);
        let payload = encode_attempt(job.delivery, now_ms());
        self.log.note(self.record(job.seq, payload, Target::Attempt(self.queue.clone())), Vec::new());
    }

    /// The dead letter and the end of the message are one commit.
    async fn bury(&self, seq: u64, end: Option<&str>, reason: Option<&str>) -> Result<(), Error> {
        let Some(remains) = self.queue.remains(seq, end) else { return Ok(()) };
        let origin =
            Origin { subject: self.queue.subject().as_str(), stream: STREAM, seq, time_ms: remains.time_ms };
        let letter = DeadLetter::of(origin, remains.attempts, reason, &remains.envelope);
        let (subject, target) = (self.dead.clone(), Target::Log { checked: 0 });
        let letter = NewRecord { subject, aux: 0, payload: letter.encode()?, target };
        self.log.finish(vec![letter, self.done(seq)], self.pending(seq)).await?;
        self.counts.dead();
        Ok(())
    }

    async fn settle_now(&self, seq: u64, delivery: u32, settle: Settle) -> Result<(), Error> {
        let outcome = self.end(seq, delivery, &settle).await;
        self.counts.settled(&settle, &outcome);
        outcome
    }

    async fn end(&self, seq: u64, delivery: u32, settle: &Settle) -> Result<(), Error> {
        match settle {
            Settle::Ack { stored } => {
                if *stored {
                    return self.log.finish(vec![self.done(seq)], self.pending(seq)).await.map(drop);
                }
                self.log.note(self.done(seq), self.pending(seq));
                Ok(())
            }
            Settle::Nak { delay, reason } => self.queue.nak(seq, delivery, *delay, &format!("nak: {reason}")),
            Settle::Term { reason } => self.bury(seq, Some(&format!("term: {reason}")), Some(reason)).await,
            Settle::InProgress => self.queue.in_progress(seq, delivery, self.config.ack_wait),
        }
    }
}

impl WorkBackend for EmbeddedWork {
    fn enqueue(&self, envelope: Bytes) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(self.store(envelope))
    }

    fn next(&self) -> Outcome<'_, RawJob> {
        Outcome::Later(Box::pin(self.next_job()))
    }

    fn settle(&self, seq: u64, delivery: u32, settle: Settle) -> Outcome<'_, ()> {
        Outcome::Later(Box::pin(self.settle_now(seq, delivery, settle)))
    }

    fn let_go(&self, seq: u64, delivery: u32) {
        self.counts.let_go();
        let _ = self.queue.nak(seq, delivery, Duration::ZERO, "let go without an answer");
    }

    fn depth(&self) -> BoxFuture<'_, Result<usize, Error>> {
        Box::pin(std::future::ready(Ok(self.queue.depth())))
    }
}
