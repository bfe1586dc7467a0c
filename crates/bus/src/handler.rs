//! Handlers of work: each delivery is acknowledged by what its handler says, or by how it ends.
//!
//! A handler that returns is acknowledged, one that panics or outlives its deadline naks with a growing delay, so that
//! after the last attempt the message is a dead letter with each attempt's end. While a handler runs, the delivery is
//! extended, at most up to its deadline. Handlers run on their own bounded concurrency: a slow one holds up no other.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use metrics::{Counter, Histogram};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::message::Headers;
use crate::subject::Subject;
use crate::work::{Job, Work};

/// How the handlers of a queue run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerConfig {
    /// Handlers that run at once.
    pub concurrency: usize,
    /// How long one may take. It is dropped then, and naks.
    pub deadline: Duration,
    /// How often a delivery whose handler runs is extended: well within the queue's `ack_wait`.
    pub extend_every: Duration,
    /// The delay of a first attempt that failed; it doubles with each.
    pub nak_first: Duration,
    /// The longest such delay.
    pub nak_most: Duration,
}

/// Handlers of one queue at once, unless it says otherwise.
const HANDLERS_DEFAULT: usize = 16;

impl Default for HandlerConfig {
    fn default() -> Self {
        Self {
            concurrency: HANDLERS_DEFAULT,
            deadline: Duration::from_secs(60),
            extend_every: Duration::from_secs(10),
            nak_first: Duration::from_secs(1),
            nak_most: Duration::from_secs(60),
        }
    }
}

impl HandlerConfig {
    pub(crate) fn check(&self, wrong: &mut Vec<String>) {
        if self.concurrency == 0 {
            wrong.push("handler.concurrency is 0: 1 or more".to_owned());
        }
        for (name, time) in [("deadline", self.deadline), ("extend_every", self.extend_every)] {
            if time.is_zero() {
                wrong.push(format!("handler.{name} is nothing: it has to be some time"));
            }
        }
        if self.nak_first > self.nak_most {
            let Self { nak_first, nak_most, .. } = self;
            wrong.push(format!("handler.nak_first is {nak_first:?}: at most handler.nak_most, {nak_most:?}"));
        }
    }

    /// The delay after so many attempts.
    fn delay(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(30);
        self.nak_first.saturating_mul(2_u32.pow(doublings)).min(self.nak_most)
    }
}

/// A delivery as its handler is given it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The queue.
    pub subject: Subject,
    /// Its sequence in the stream.
    pub seq: u64,
    /// Which delivery of the message this is, from 1: it may have been done before.
    pub delivery: u32,
    /// When it was stored, Unix milliseconds.
    pub time_ms: i64,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

/// Why a handler could not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    reason: String,
    again: Again,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Again {
    /// After the usual delay.
    Usual,
    After(Duration),
    Never,
}

impl Failure {
    /// It may be done later: again after the usual delay.
    pub fn again(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Usual }
    }

    /// It may be done later: again after this delay.
    pub fn after(delay: Duration, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::After(delay) }
    }

    /// It can never be done: a dead letter.
    pub fn never(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Never }
    }
}

/// How the deliveries ended that a run of handlers took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handled {
    /// Done, and stored as done.
    pub acked: u64,
    /// Not done: to come again, or dead letters after their last attempt.
    pub naked: u64,
    /// Never to be done: dead letters.
    pub termed: u64,
    /// Of those that nak: the handler panicked.
    pub panicked: u64,
    /// Of those that nak: the handler outlived its deadline.
    pub overdue: u64,
    /// Given to another worker meanwhile, or their end could not be told: they come again.
    pub lost: u64,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Acked,
    Naked,
    Termed,
    Panicked,
    Overdue,
    Lost,
}

struct Counts {
    ends: [Counter; 6],
    took: Histogram,
}

impl Counts {
    fn new() -> Self {
        let names = ["ack", "nak", "term", "panic", "overdue", "lost"];
        let ends = names.map(|end| metrics::counter!("tidings_bus_handled_total", "end" => end));
        Self { ends, took: metrics::histogram!("tidings_bus_handler_seconds") }
    }
}

impl Handled {
    fn count(&mut self, end: End) {
        match end {
            End::Acked => self.acked += 1,
            End::Termed => self.termed += 1,
            End::Lost => self.lost += 1,
            End::Naked | End::Panicked | End::Overdue => {
                self.naked += 1;
                self.panicked += u64::from(matches!(end, End::Panicked));
                self.overdue += u64::from(matches!(end, End::Overdue));
            }
        }
    }
}

/// How long after an error of the queue the next message is asked for.
const AGAIN: Duration = Duration::from_millis(500);

impl Work {
    /// Handles messages until `stop` or the end of the bus, then lets the handlers that run finish. Handlers are
    /// futures: one that blocks its thread can be neither extended nor stopped.
    ///
    /// ```no_run
    /// # async fn example(work: tidings_bus::Work) -> Result<(), tidings_bus::Error> {
    /// use tidings_bus::{Failure, HandlerConfig};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let stop = CancellationToken::new();
    /// let handled = work
    ///     .handle(HandlerConfig::default(), stop, |delivery| async move {
    ///         match std::str::from_utf8(&delivery.payload) {
    ///             Ok(letter) => {
    ///                 println!("{letter}, for the {}. time", delivery.delivery);
    ///                 Ok(())
    ///             }
    ///             Err(_) => Err(Failure::never("it is no text")),
    ///         }
    ///     })
    ///     .await?;
    /// println!("{handled:?}");
    /// # Ok(()) }
    /// ```
    pub async fn handle<F, R>(
        &self,
        config: HandlerConfig,
        stop: CancellationToken,
        handler: F,
    ) -> Result<Handled, Error>
    where
        F: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let mut wrong = Vec::new();
        config.check(&mut wrong);
        if !wrong.is_empty() {
            return Err(Error::new(ErrorKind::Config, wrong.join("; ")));
        }
        let (config, handler, counts) = (Arc::new(config), Arc::new(handler), Arc::new(Counts::new()));
        let mut running: JoinSet<End> = JoinSet::new();
        let mut handled = Handled::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = running.join_next() => handled.count(ended.unwrap_or(End::Lost)),
                job = self.next(), if running.len() < config.concurrency => match job {
                    Ok(job) => {
                        running.spawn(one(job, handler.clone(), config.clone(), counts.clone()));
                    }
                    Err(error) if error.kind() == ErrorKind::Closed => break,
                    Err(error) => {
                        tracing::warn!(%error, queue = %self.subject, "no work could be taken");
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = tokio::time::sleep(error.retry_after().unwrap_or(AGAIN)) => {}
                        }
                    }
                },
            }
        }
        while let Some(ended) = running.join_next().await {
            handled.count(ended.unwrap_or(End::Lost));
        }
        Ok(handled)
    }
}

/// How a handler ended.
enum Ran {
    Returned(Result<(), Failure>),
    Panicked(String),
    Overdue,
    /// The delivery is another worker's by now.
    Lost,
}

async fn one<F, R>(job: Job, handler: Arc<F>, config: Arc<HandlerConfig>, counts: Arc<Counts>) -> End
where
    F: Fn(Delivery) -> R + Send + Sync,
    R: Future<Output = Result<(), Failure>> + Send,
{
    let begun = Instant::now();
    let (seq, attempts) = (job.seq, job.delivery);
    let ran = run(&job, &*handler, &config).await;
    counts.took.record(begun.elapsed());
    let nak = |job: Job, reason: String| async move { job.nak(config.delay(attempts), &reason).await };
    let (end, told) = match ran {
        Ran::Returned(Ok(())) => (End::Acked, job.double_ack().await),
        Ran::Returned(Err(Failure { reason, again })) => match again {
            Again::Never => (End::Termed, job.term(&reason).await),
            Again::After(delay) => (End::Naked, job.nak(delay, &reason).await),
            Again::Usual => (End::Naked, nak(job, reason).await),
        },
        Ran::Panicked(what) => (End::Panicked, nak(job, format!("the handler panicked: {what}")).await),
        Ran::Overdue => {
            let reason = format!("the handler took longer than {:?}", begun.elapsed());
            (End::Overdue, nak(job, reason).await)
        }
        Ran::Lost => (End::Lost, Ok(())),
    };
    let end = match told {
        Ok(()) => end,
        Err(error) => {
            tracing::warn!(%error, seq, "how work ended could not be told: it comes again");
            End::Lost
        }
    };
    counts.ends[end as usize].increment(1);
    end
}

async fn run<F, R>(job: &Job, handler: &F, config: &HandlerConfig) -> Ran
where
    F: Fn(Delivery) -> R,
    R: Future<Output = Result<(), Failure>>,
{
    let delivery = Delivery {
        subject: job.subject.clone(),
        seq: job.seq,
        delivery: job.delivery,
        time_ms: job.time_ms,
        headers: job.headers.clone(),
        payload: job.payload.clone(),
    };
    // Both what makes the future and the future itself may panic.
    let running = AssertUnwindSafe(async { handler(delivery).await }).catch_unwind();
    tokio::pin!(running);
    let overdue = tokio::time::sleep(config.deadline);
    tokio::pin!(overdue);
    let mut extend = tokio::time::interval_at(Instant::now() + config.extend_every, config.extend_every);
    loop {
        tokio::select! {
            biased;
            ran = &mut running => return match ran {
                Ok(outcome) => Ran::Returned(outcome),
                Err(panic) => Ran::Panicked(what_panicked(&*panic)),
            },
            () = &mut overdue => return Ran::Overdue,
            _ = extend.tick() => match job.in_progress().await {
                Err(error) if error.kind() == ErrorKind::WrongRevision => return Ran::Lost,
                // Said again at the next beat.
                Err(error) => tracing::debug!(%error, seq = job.seq, "work could not be extended"),
                Ok(()) => {}
            },
        }
    }
}

fn what_panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_cap() {
        let config = HandlerConfig::default();
        for (attempts, seconds) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            assert_eq!(config.delay(attempts), Duration::from_secs(seconds), "{attempts}");
        }
    }

    #[test]
    fn the_settings_are_checked() {
        let config = HandlerConfig {
            concurrency: 0,
            deadline: Duration::ZERO,
            nak_first: Duration::from_secs(61),
            ..HandlerConfig::default()
        };
        let mut wrong = Vec::new();
        config.check(&mut wrong);
        let told = wrong.join("; ");
        for name in ["handler.concurrency", "handler.deadline", "handler.nak_first"] {
            assert!(told.contains(name), "{told}");
        }
    }
}
