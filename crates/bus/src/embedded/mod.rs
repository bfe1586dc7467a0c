//! The backend in the process: routing in memory, one durable log on disk, key/value, work queues.

mod buckets;
mod config;
mod disk;
mod follow;
mod handle;
mod kv;
mod open;
mod queues;
mod shared;
mod signal;
mod view;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::config::EmbeddedConfig;
pub use self::disk::files;
pub use self::disk::recover::{Damage, RecoveryReport};
use crate::backend::{Backend, Outcome};
use crate::drain::DrainReport;
use crate::embedded::disk::files::{FileLayer, Folder, MemoryFiles};
use crate::embedded::disk::inbox::{Condition, NewRecord, Target};
use crate::embedded::follow::EmbeddedFollow;
use crate::embedded::handle::LogHandle;
use crate::embedded::kv::EmbeddedKv;
use crate::embedded::shared::{Loaded, Shared};
use crate::embedded::view::Found;
use crate::embedded::worker::EmbeddedWork;
use crate::error::{Error, ErrorKind};
use crate::kv::KvBackend;
use crate::log::{Append, Committed, Fence, FollowSetBackend, LogMessage};
use crate::message::{Asked, Headers, Subscription};
use crate::router::Router;
use crate::subject::{Pattern, Subject, matches_text};
use crate::work::{WorkBackend, WorkConfig};

/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(2);

/// The embedded backend. Dropped or drained, its writer finishes what it was given and ends.
pub struct Embedded {
    router: Arc<Router>,
    shared: Arc<Shared>,
    log: LogHandle,
    workers: Mutex<HashMap<String, Arc<EmbeddedWork>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    epoch: String,
    report: RecoveryReport,
}

impl Embedded {
    /// Opens the log in its folder, or makes one. The caller sees to it that nobody else has it open.
    pub fn open(config: EmbeddedConfig) -> Result<Arc<Self>, Error> {
        let files: Arc<dyn FileLayer> = match &config.data {
            Some(path) => Arc::new(Folder::open(path).map_err(|error| {
                Error::new(ErrorKind::Storage, format!("the folder {} cannot be opened", path.display()))
                    .because(error)
            })?),
            None => Arc::new(MemoryFiles::default()),
        };
        Self::open_on(config, files)
    }

    /// Opens the log on other files than those of a folder.
    pub fn open_on(config: EmbeddedConfig, files: Arc<dyn FileLayer>) -> Result<Arc<Self>, Error> {
        let opened = open::open(&config, files)?;
        Ok(Arc::new(Self {
            router: Router::new(),
            shared: opened.shared,
            log: LogHandle::new(opened.inbox, config.commit_queue.max(1), config.commit_wait),
            workers: Mutex::default(),
            writer: Mutex::new(Some(opened.writer)),
            epoch: opened.epoch,
            report: opened.report,
        }))
    }

    /// What was found when the log was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    async fn load(&self, found: Vec<Found>) -> Result<Vec<Loaded>, Error> {
        if !self.shared.reads_block() || found.iter().all(|one| one.message.is_some()) {
            return Ok(self.shared.load(found));
        }
        let shared = self.shared.clone();
        let loading = tokio::task::spawn_blocking(move || shared.load(found));
        loading.await.map_err(|error| Error::closed().because(error))
    }

    async fn read_logs(
        &self,
        subjects: Vec<Subject>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogMessage>, Error> {
        let mut names = HashMap::new();
        let found = {
            let view = self.shared.view.read();
            for subject in &subjects {
                if let Some(id) = view.id(subject) {
                    names.insert(id, subject.clone());
                }
            }
            let wanted: Vec<_> = names.keys().map(|id| (*id, after)).collect();
            view.merge(&wanted, view.visible, limit, usize::MAX).found
        };
        let named = |loaded: Loaded| {
            let subject = names[&loaded.log].clone();
            loaded.message.map(|message| LogMessage { subject, ..message })
        };
        self.load(found).await?.into_iter().map(named).collect()
    }

    async fn read_last(&self, subject: Subject) -> Result<Option<LogMessage>, Error> {
        let found = {
            let view = self.shared.view.read();
            view.id(&subject).and_then(|id| {
                let log = view.log(id)?;
                log.entries.len().checked_sub(1).map(|place| view.found(id, log, place))
            })
        };
        let Some(found) = found else { return Ok(None) };
        let loaded = self.load(vec![found]).await?.pop();
        loaded.map(|loaded| loaded.message.map(|message| LogMessage { subject, ..message })).transpose()
    }

    async fn drain_all(&self, deadline: Duration) -> DrainReport {
        self.router.stop();
        self.log.stop();
        let queues: Vec<_> = self.shared.queues.lock().values().cloned().collect();
        queues.iter().for_each(|queue| queue.stop());
        let until = Instant::now() + deadline;
        let look = || {
            let (requests, messages) = self.router.under_way();
            let work = queues.iter().map(|queue| queue.out_count()).sum();
            DrainReport { requests, messages, commits: self.log.under_way(), work, ..DrainReport::default() }
        };
        let mut report = look();
        while !report.is_clean() && Instant::now() < until {
            tokio::time::sleep(DRAIN_LOOK).await;
            report = look();
        }
        self.close();
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let ended = tokio::task::spawn_blocking(move || writer.join());
            let _ = tokio::time::timeout(left, ended).await;
        }
        report
    }

    fn close(&self) {
        self.router.close();
        self.log.close();
        self.shared.close();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

impl Backend for Embedded {
    fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()> {
        Outcome::Ready(self.router.publish(subject, payload, headers))
    }

    fn subscribe(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        let subscription = self.router.subscribe(pattern, group, capacity);
        Box::pin(std::future::ready(subscription))
    }

    fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, Error>> {
        let subject = subject.clone();
        Box::pin(async move { self.router.request(&subject, payload, headers, deadline).await })
    }

    fn ask(
        self: Arc<Self>,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        asked: Asked,
    ) {
        self.router.ask(subject, payload, headers, deadline, asked);
    }

    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>> {
        self.commit_checked(batch, fences, 0)
    }

    fn commit_checked(
        &self,
        batch: Vec<Append>,
        fences: Vec<Fence>,
        by: u64,
    ) -> BoxFuture<'_, Result<Committed, Error>> {
        let records = batch
            .into_iter()
            .map(|append| NewRecord {
                subject: append.subject,
                aux: 0,
                payload: append.payload,
                target: Target::Log { checked: by },
            })
            .collect();
        let conditions = fences.into_iter().map(|fence| Condition::Fence(fence.subject, fence.seq)).collect();
        Box::pin(self.log.commit(records, conditions))
    }

    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>> {
        Box::pin(self.read_logs(subjects.to_vec(), after, limit))
    }

    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>> {
        Box::pin(self.read_last(subject.clone()))
    }

    fn retained_after(&self, subject: &Subject) -> BoxFuture<'_, Result<u64, Error>> {
        let removed = self.shared.view.read().removed(subject);
        Box::pin(async move { Ok(removed) })
    }

    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>> {
        let record = NewRecord {
            subject: subject.clone(),
            aux: i64::try_from(through).unwrap_or(i64::MAX),
            payload: Bytes::new(),
            target: Target::Trim,
        };
        Box::pin(async move { self.log.commit(vec![record], Vec::new()).await.map(drop) })
    }

    fn logs(&self, pattern: &Pattern) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let view = self.shared.view.read();
        let found = view.logs().filter(|log| !log.entries.is_empty()).map(|log| log.subject.as_str());
        let mut names: Vec<String> =
            found.filter(|name| matches_text(pattern.as_str(), name)).map(str::to_owned).collect();
        drop(view);
        names.sort();
        Box::pin(std::future::ready(Ok(names)))
    }

    fn replay(
        &self,
        queue: &Subject,
        _id: &str,
        envelope: Bytes,
        note: Append,
        fence: Fence,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        // Whoever works on the queue says how it behaves; nobody has to.
        let worker = self.workers.lock().get(queue.as_str()).cloned().unwrap_or_else(|| {
            let (state, dead) = (self.shared.queue(queue), note.subject.clone());
            Arc::new(EmbeddedWork::new(state, dead, WorkConfig::default(), self.log.clone()))
        });
        Box::pin(async move { worker.replay(envelope, note, fence).await })
    }

    fn follow_set(&self) -> Box<dyn FollowSetBackend> {
        Box::new(EmbeddedFollow::new(self.shared.clone()))
    }

    fn epoch(&self) -> String {
        self.epoch.clone()
    }

    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error> {
        let bucket = self.shared.buckets.get(bucket).ok_or_else(|| {
            Error::new(ErrorKind::Subject, format!("no bucket '{}' is declared", bucket.escape_debug()))
        })?;
        Ok(Arc::new(EmbeddedKv { bucket: bucket.clone(), log: self.log.clone() }))
    }

    fn work(
        &self,
        queue: &Subject,
        dead: &Subject,
        config: WorkConfig,
    ) -> Result<Arc<dyn WorkBackend>, Error> {
        self.log.check_open()?;
        let mut workers = self.workers.lock();
        let worker = workers.entry(queue.as_str().to_owned()).or_insert_with(|| {
            let state = self.shared.queue(queue);
            Arc::new(EmbeddedWork::new(state, dead.clone(), config, self.log.clone()))
        });
        Ok(worker.clone())
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, DrainReport> {
        Box::pin(self.drain_all(deadline))
    }
}
