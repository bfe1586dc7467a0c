//! Batches: many small messages in few calls, chosen at a call site that can do without each message's own answer.
//!
//! [`Batcher::push`] takes a message into memory. By number, bytes or time all that waits is sent, a group a subject. A
//! group that fails is sent again after 100, 200 and 400 ms while what comes later for its subject waits behind it; then it
//! is parked in the failed-batch queue on disk, and what is behind it too, until that is recovered: by command, when
//! the connection is back, and every 30 s. So the order of a subject holds, and nothing that was taken is lost while the process runs; a
//! crash loses what was neither sent nor parked, 50 ms of messages where nothing is wrong.
//!
//! A message that can never be sent, because of itself, is set aside (`refused`), and what is behind it goes on. A group on
//! disk may be taken out by hand.
//!
//! At least once: a group keeps its id, by which NATS knows a repeat for two minutes; one that is recovered later, or whose
//! end was not known when the process ended, may come twice.

mod anew;
mod config;
pub mod failed;
mod plan;
mod refused;
mod run;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::config::BatchConfig;
use self::failed::FailedQueue;
pub use self::failed::{FailedView, FoundFailed, StoredGroup};
pub(crate) use self::plan::Group;
use self::plan::{Plan, Pushed};
use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::nats::random_name;
use crate::registry::Class;
use crate::subject::Subject;

/// Where what was refused for good is, beside the failed batches.
const REFUSED_FILE: &str = "refused-messages";

/// What became of messages since the batcher was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Messages that were sent, those from disk included.
    pub sent: u64,
    /// Messages that were parked on disk.
    pub parked: u64,
    /// Messages in memory.
    pub pending: usize,
    /// Groups on disk.
    pub on_disk: usize,
}

/// Takes messages, and sends them in groups. Closed, it sends or parks everything; dropped, it parks everything.
pub struct Batcher {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    bus: Bus,
    config: BatchConfig,
    plan: Mutex<Plan>,
    /// None once the batcher is gone: its folder is free for another then, whatever its task still does.
    failed: Mutex<Option<FailedQueue>>,
    /// Messages that were refused for good; likewise.
    refused: Mutex<Option<FailedQueue>>,
    /// Something to do may have come.
    changed: Notify,
    /// Something was done.
    done: watch::Sender<u64>,
    stop: CancellationToken,
    sent: AtomicU64,
    parked: AtomicU64,
    counts: Counts,
}

struct Counts {
    refused: Counter,
    flushes: Counter,
    sizes: Histogram,
    failures: Counter,
    parked: Counter,
    not_parked: Counter,
    recovered: Counter,
    disk_groups: Gauge,
    disk_bytes: Gauge,
    set_aside: Gauge,
}

impl Counts {
    fn new() -> Self {
        Self {
            refused: metrics::counter!("tidings_bus_batch_refused_total"),
            flushes: metrics::counter!("tidings_bus_batch_groups_total"),
            sizes: metrics::histogram!("tidings_bus_batch_messages"),
            failures: metrics::counter!("tidings_bus_batch_failures_total"),
            parked: metrics::counter!("tidings_bus_batch_parked_total"),
            not_parked: metrics::counter!("tidings_bus_batch_not_parked_total"),
            recovered: metrics::counter!("tidings_bus_batch_recovered_total"),
            disk_groups: metrics::gauge!("tidings_bus_failed_batches"),
            disk_bytes: metrics::gauge!("tidings_bus_failed_batches_bytes"),
            set_aside: metrics::gauge!("tidings_bus_refused_messages"),
        }
    }
}

/// An id for a group; without random numbers the clock has to do.
fn new_id() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let made = || MADE.fetch_add(1, Ordering::Relaxed);
    random_name().unwrap_or_else(|_| format!("t{:x}-{:x}", crate::clock::now_ms(), made()))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Bus {
    /// A batcher, with its failed-batch queue in this folder; what is there from before is tried at once. Of subjects of
    /// class `Durable` and `Ephemeral`. It takes what `config().batch` says.
    pub async fn batcher(&self, folder: &Path) -> Result<Batcher, Error> {
        let mut wrong = Vec::new();
        self.config().batch.check(&mut wrong);
        if !wrong.is_empty() {
            return Err(Error::new(ErrorKind::Config, wrong.join("; ")));
        }
        let (folder, config) = (folder.to_owned(), self.config().batch.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let (failed, found) = FailedQueue::open(&folder, config.failed_bytes)?;
            let (refused, _) = FailedQueue::open_named(&folder, REFUSED_FILE, config.refused_bytes)?;
            Ok::<_, Error>((failed, refused, found))
        });
        let (failed, refused, found) = opened.await.map_err(|error| {
            Error::new(ErrorKind::Storage, "opening the failed batches was given up").because(error)
        })??;
        Ok(Batcher::over(self.clone(), failed, refused, found))
    }
}

impl Batcher {
    fn over(bus: Bus, failed: FailedQueue, refused: FailedQueue, found: FoundFailed) -> Self {
        let config = bus.config().batch.clone();
        let mut plan = Plan::new(config.clone());
        for view in failed.list() {
            match bus.registry().parse(&view.subject) {
                Ok((subject, _)) => plan.found_on_disk(subject, view.number),
                Err(error) => {
                    let FailedView { number, subject, .. } = view;
                    tracing::error!(%error, number, subject, "a failed batch of no subject: it stays on disk");
                }
            }
        }
        if found != FoundFailed::default() {
            let FoundFailed { groups, damaged, torn_bytes } = found;
            tracing::warn!(groups, damaged, torn_bytes, "failed batches from before");
        }
        plan.recover();
        let shared = Arc::new(Shared {
            bus,
            config,
            plan: Mutex::new(plan),
            failed: Mutex::new(Some(failed)),
            refused: Mutex::new(Some(refused)),
            changed: Notify::new(),
            done: watch::Sender::new(0),
            stop: CancellationToken::new(),
            sent: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            counts: Counts::new(),
        });
        shared.show();
        let task = tokio::spawn(shared.clone().run());
        Self { shared, task: Some(task) }
    }

    /// Takes a message. `Overloaded`: too much is in memory already.
    pub fn push(&self, subject: &Subject, message: Bytes) -> Result<(), Error> {
        let shared = &self.shared;
        shared.bus.check_batched(subject, &message)?;
        if shared.stop.is_cancelled() {
            return Err(Error::closed());
        }
        match shared.plan.lock().push(subject, message, now()) {
            Pushed::Taken => {
                shared.changed.notify_one();
                Ok(())
            }
            Pushed::Full => {
                shared.counts.refused.increment(1);
                let what = format!("{} messages wait to be sent in batches", shared.config.pending_messages);
                Err(Error::new(ErrorKind::Overloaded, format!("at most {what}")).after(shared.config.wait))
            }
        }
    }

    /// Sends everything that was taken before; each message is sent or parked on disk when this returns.
    pub async fn flush(&self) -> BatchReport {
        let mut done = self.shared.done.subscribe();
        let flush = self.shared.plan.lock().flush();
        self.shared.changed.notify_one();
        let flushed = done.wait_for(|_| self.shared.plan.lock().is_flushed(flush));
        let _ = flushed.await.map(drop);
        self.report()
    }

    /// Tries everything on disk once, oldest first; a subject's rest stays where one fails.
    pub async fn recover(&self) -> BatchReport {
        let mut done = self.shared.done.subscribe();
        self.shared.plan.lock().recover();
        self.shared.changed.notify_one();
        let tried = done.wait_for(|_| !self.shared.plan.lock().is_recovering());
        let _ = tried.await.map(drop);
        self.report()
    }

    /// What became of messages.
    pub fn report(&self) -> BatchReport {
        let shared = &self.shared;
        BatchReport {
            sent: shared.sent.load(Ordering::Acquire),
            parked: shared.parked.load(Ordering::Acquire),
            pending: shared.plan.lock().pending(),
            on_disk: self.failed().len(),
        }
    }

    /// What is on disk, oldest first.
    pub fn failed(&self) -> Vec<FailedView> {
        self.shared.failed.lock().as_ref().map(FailedQueue::list).unwrap_or_default()
    }

    /// Takes nothing more and sends what there is, without pauses; what fails, or is not sent by the deadline, is parked.
    /// `pending` of the report is what found no place on disk either.
    pub async fn close(mut self, deadline: Duration) -> BatchReport {
        self.shared.plan.lock().close(now());
        self.shared.changed.notify_one();
        let mut done = self.shared.done.subscribe();
        let idle = done.wait_for(|_| self.shared.plan.lock().is_idle());
        let _ = tokio::time::timeout(deadline, idle).await.map(drop);
        self.shared.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        let left = self.shared.park_rest();
        BatchReport { pending: left, ..self.report() }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.shared.park_rest();
        *self.shared.failed.lock() = None;
        *self.shared.refused.lock() = None;
    }
}

impl Shared {
    /// Everything in memory to the disk; how many messages found no place.
    fn park_rest(&self) -> usize {
        let mut left = 0;
        for group in self.plan.lock().take_rest(new_id) {
            if let Err(error) = self.park(&group) {
                left += group.messages.len();
                tracing::error!(%error, subject = %group.subject, "messages are lost at the end");
            }
        }
        self.show();
        left
    }

    fn park(&self, group: &Group) -> Result<u64, Error> {
        let stored = StoredGroup {
            subject: group.subject.as_str().to_owned(),
            id: group.id.clone(),
            messages: group.messages.clone(),
        };
        let appended = self.on_disk(|failed| failed.append(&stored));
        let number = appended.inspect_err(|_| self.counts.not_parked.increment(1))?;
        self.parked.fetch_add(group.messages.len() as u64, Ordering::AcqRel);
        self.counts.parked.increment(1);
        Ok(number)
    }

    /// Does something with the queue on disk, while the batcher is there.
    fn on_disk<T>(&self, what: impl FnOnce(&mut FailedQueue) -> Result<T, Error>) -> Result<T, Error> {
        self.failed.lock().as_mut().map_or_else(|| Err(Error::closed()), what)
    }

    fn show(&self) {
        if let Some(failed) = self.failed.lock().as_ref() {
            self.counts.disk_groups.set(failed.list().len() as f64);
            self.counts.disk_bytes.set(failed.bytes() as f64);
        }
        if let Some(refused) = self.refused.lock().as_ref() {
            self.counts.set_aside.set(refused.list().len() as f64);
        }
    }

    /// Sends a group, once; of one that failed, how many messages went before.
    async fn send(&self, group: &Group) -> Result<(), (usize, Error)> {
        match group.subject.class() {
            Class::Ephemeral => {
                for (done, message) in group.messages.iter().enumerate() {
                    let sent = self.bus.publish_batched(&group.subject, message.clone()).await;
                    sent.map_err(|error| (done, error))?;
                }
                Ok(())
            }
            _ => self.bus.commit_batched(group).await.map_err(|error| (0, error)),
        }
    }
}
