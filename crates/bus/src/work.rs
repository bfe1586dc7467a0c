//! Work queues: each message to one worker, with acknowledgement, redelivery and dead letters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::backend::Outcome;
use crate::checks::Checks;
use crate::counts::{Counted, Sent};
use crate::dead_letter::{bounded, chain};
use crate::envelope;
use crate::error::{Error, ErrorKind};
use crate::message::Headers;
use crate::subject::Subject;

/// How a work queue behaves.
#[derive(Debug, Clone)]
pub struct WorkConfig {
    /// How long a worker has until it acknowledges or says that it is in progress.
    pub ack_wait: Duration,
    /// How long it may say so, from the delivery on.
    pub in_progress_max: Duration,
    /// Deliveries of one message; after the last one it is a dead letter.
    pub deliveries_max: u32,
    /// Messages in the queue; one more is `Overloaded`.
    pub messages_max: usize,
    /// Bytes in the queue; more are `Overloaded`.
    pub bytes_max: usize,
}

impl Default for WorkConfig {
    fn default() -> Self {
        Self {
            ack_wait: Duration::from_secs(30),
            in_progress_max: Duration::from_secs(10 * 60),
            deliveries_max: 5,
            messages_max: 100_000,
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Longest `ack_wait`: a NATS server knows a dead letter that is stored again for two minutes, and a worker that died
/// between the letter and the end of its message must have been missed by then. Who needs longer says that it is in
/// progress.
pub const ACK_WAIT_MAX: Duration = Duration::from_secs(90);

impl WorkConfig {
    /// `Config` where it cannot be, with every setting that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        let Self { ack_wait, in_progress_max, .. } = self;
        if ack_wait.is_zero() || *ack_wait > ACK_WAIT_MAX {
            wrong.push(format!("ack_wait is {ack_wait:?}: some time, at most {ACK_WAIT_MAX:?}"));
        }
        if in_progress_max < ack_wait {
            wrong.push(format!("in_progress_max is {in_progress_max:?}: at least ack_wait, {ack_wait:?}"));
        }
        let counts = [
            ("deliveries_max", self.deliveries_max as usize),
            ("messages_max", self.messages_max),
            ("bytes_max", self.bytes_max),
        ];
        let nothing = counts.iter().filter(|(_, count)| *count == 0);
        wrong.extend(nothing.map(|(name, _)| format!("{name} is 0: 1 or more")));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, format!("settings of a work queue: {}", wrong.join("; "))))
    }
}

/// How a worker ends, or goes on with, what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// Done; with `stored`, the call returns once that is stored.
    Ack {
        /// Whether to wait.
        stored: bool,
    },
    /// Not done: again after the delay.
    Nak {
        /// How long to wait.
        delay: Duration,
        /// Why, for the history.
        reason: String,
    },
    /// It can never be done: a dead letter.
    Term {
        /// Why.
        reason: String,
    },
    /// Still at it: the deadline begins anew.
    InProgress,
}

/// What a backend hands out.
#[derive(Debug, Clone)]
pub struct RawJob {
    /// Its sequence in the stream.
    pub seq: u64,
    /// Which delivery this is, from 1.
    pub delivery: u32,
    /// When it was stored, Unix milliseconds.
    pub time_ms: i64,
    /// Headers and payload.
    pub envelope: Bytes,
}

/// What a backend's work queue does.
pub trait WorkBackend: Send + Sync + 'static {
    /// Stores a message; answers its sequence.
    fn enqueue(&self, envelope: Bytes) -> BoxFuture<'_, Result<u64, Error>>;
    /// The next one for this worker; cancel safe.
    fn next(&self) -> Outcome<'_, RawJob>;
    /// Settles a delivery.
    fn settle(&self, seq: u64, delivery: u32, settle: Settle) -> Outcome<'_, ()>;
    /// Settles a delivery that was let go: again at once.
    fn let_go(&self, seq: u64, delivery: u32);
    /// Messages that wait or are being worked on.
    fn depth(&self) -> BoxFuture<'_, Result<usize, Error>>;
}

/// A work queue: cheap to clone.
#[derive(Clone)]
pub struct Work {
    pub(crate) backend: Arc<dyn WorkBackend>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) subject: Subject,
    pub(crate) enqueued: Sent,
}

impl Work {
    /// Stores a message for one of the workers; answers its sequence.
    pub async fn enqueue(&self, payload: Bytes, headers: Headers) -> Result<u64, Error> {
        self.enqueued.count(payload.len());
        let checked = self.checks.outbound(&self.subject, &payload);
        let stored = match checked.and_then(|()| envelope::encode(&headers, &payload)) {
            Ok(envelope) => self.backend.enqueue(envelope).await,
            Err(error) => Err(error),
        };
        stored.counted()
    }

    /// The next message for this worker; waits where there is none. Cancel safe. A message without its form is
    /// counted and goes to the dead letters.
    pub async fn next(&self) -> Result<Job, Error> {
        loop {
            // Where there always is one, others get their turn too.
            tokio::task::consume_budget().await;
            let RawJob { seq, delivery, time_ms, envelope } = self.backend.next().done().await.counted()?;
            let mut job = Job {
                subject: self.subject.clone(),
                seq,
                delivery,
                time_ms,
                headers: Headers::new(),
                payload: Bytes::new(),
                backend: Some(self.backend.clone()),
            };
            let Some((headers, payload)) = envelope::decode(&envelope) else {
                job.term("it cannot be read").await?;
                continue;
            };
            (job.headers, job.payload) = (headers, payload);
            match self.checks.why_invalid(&self.subject, &job.payload) {
                Some(why) => job.term(&format!("invalid: {why}")).await?,
                None => return Ok(job),
            }
        }
    }

    /// Messages that wait or are being worked on.
    pub async fn depth(&self) -> Result<usize, Error> {
        self.backend.depth().await.counted()
    }
}

/// One delivery of a message. Dropped without being settled, it is delivered again, which counts as an attempt.
#[must_use = "work that is not acknowledged comes again"]
pub struct Job {
    /// The queue.
    pub subject: Subject,
    /// Its sequence in the stream.
    pub seq: u64,
    /// Which delivery this is, from 1.
    pub delivery: u32,
    /// When it was stored, Unix milliseconds.
    pub time_ms: i64,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
    backend: Option<Arc<dyn WorkBackend>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("subject", &self.subject)
            .field("seq", &self.seq)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

impl Job {
    async fn settle(mut self, settle: Settle) -> Result<(), Error> {
        let backend = self.backend.take().expect("taken only when it is settled");
        backend.settle(self.seq, self.delivery, settle).done().await.counted()
    }

    /// Done. Returns before that is stored: after a crash it may come again.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle(Settle::Ack { stored: false }).await
    }

    /// Done, and stored as done when this returns: it never comes again.
    pub async fn double_ack(self) -> Result<(), Error> {
        self.settle(Settle::Ack { stored: true }).await
    }

    /// Not done: again after `delay`, unless this was the last attempt.
    pub async fn nak(self, delay: Duration, reason: &str) -> Result<(), Error> {
        self.settle(Settle::Nak { delay, reason: bounded(reason) }).await
    }

    /// As `nak`, with an error: what it came from is kept for the dead letter.
    pub async fn nak_because(
        self,
        delay: Duration,
        error: &(dyn std::error::Error + Sync),
    ) -> Result<(), Error> {
        let reason = chain(error);
        self.nak(delay, &reason).await
    }

    /// As `term`, with an error: what it came from is in the dead letter.
    pub async fn term_because(self, error: &(dyn std::error::Error + Sync)) -> Result<(), Error> {
        let reason = chain(error);
        self.term(&reason).await
    }

    /// It can never be done: to the dead letters, stored there when this returns.
    pub async fn term(self, reason: &str) -> Result<(), Error> {
        self.settle(Settle::Term { reason: bounded(reason) }).await
    }

    /// Still at it: the deadline begins anew, within the queue's bound.
    pub async fn in_progress(&self) -> Result<(), Error> {
        let backend = self.backend.as_ref().expect("there until it is settled");
        backend.settle(self.seq, self.delivery, Settle::InProgress).done().await.counted()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            backend.let_go(self.seq, self.delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_of_a_queue_is_named() {
        type Change = fn(&mut WorkConfig);
        let cases: [(&str, Change); 6] = [
            ("ack_wait", |config| config.ack_wait = Duration::ZERO),
            ("ack_wait", |config| config.ack_wait = ACK_WAIT_MAX + Duration::from_secs(1)),
            ("in_progress_max", |config| config.in_progress_max = config.ack_wait / 2),
            ("deliveries_max", |config| config.deliveries_max = 0),
            ("messages_max", |config| config.messages_max = 0),
            ("bytes_max", |config| config.bytes_max = 0),
        ];
        assert!(WorkConfig::default().check().is_ok());
        for (name, change) in cases {
            let mut config = WorkConfig::default();
            change(&mut config);
            let error = config.check().expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Config);
            let told = error.to_string();
            assert!(told.contains(&format!("{name} is ")) && !told.contains(';'), "{name}: {told}");
        }
    }
}
