//! A bus over the embedded one, whose commits and answers fail as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidings_bus::backend::{Backend, Outcome};
use tidings_bus::kv::KvBackend;
use tidings_bus::log::FollowSetBackend;
use tidings_bus::{
    Append, Committed, DrainReport, Embedded, Error, ErrorKind, Fence, Headers, LogMessage, Pattern, Subject,
    Subscription,
};
use tokio::sync::Mutex;

/// What happens to the next commits of zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCommit {
    #[default]
    Store,
    /// It is never heard of again, nor stored.
    Vanish,
    /// It is stored, and never heard of again.
    StoreAndVanish,
    /// It is refused, so often.
    Fail(u32),
    /// It is stored and said to have failed, once.
    StoreAndFail,
    /// It is stored once it is let go on; those after it are stored meanwhile.
    Hold,
}

#[derive(Default)]
pub struct Faults {
    pub on_commit: Mutex<OnCommit>,
    /// What comes after one that is held.
    pub after_held: Mutex<OnCommit>,
    /// Answers of this subject that get lost, so many.
    pub lost_answers: Mutex<Option<(String, u32)>>,
    /// Told when a commit has vanished, or is held.
    pub vanished: tokio::sync::Notify,
    /// Lets a commit go on that is held.
    pub go_on: tokio::sync::Notify,
    /// Whether lines are commits of their own.
    pub apart: AtomicBool,
    /// Lines that went together of which some were stored, so often.
    pub in_part: AtomicUsize,
}

impl Faults {
    pub async fn set(&self, fault: OnCommit) {
        *self.on_commit.lock().await = fault;
    }

    /// Happens to the commit after the one that is held.
    pub async fn after_held(&self, fault: OnCommit) {
        *self.after_held.lock().await = fault;
    }

    pub async fn lose_answers(&self, subject: &str, times: u32) {
        *self.lost_answers.lock().await = Some((subject.to_owned(), times));
    }

    async fn next(&self) -> OnCommit {
        let mut fault = self.on_commit.lock().await;
        let now = *fault;
        *fault = match now {
            OnCommit::Fail(times) if times > 1 => OnCommit::Fail(times - 1),
            OnCommit::Hold => std::mem::take(&mut *self.after_held.lock().await),
            OnCommit::Fail(_) | OnCommit::StoreAndFail => OnCommit::Store,
            other => other,
        };
        now
    }

    /// A commit under a fault.
    async fn around<T>(
        &self,
        fault: OnCommit,
        commit: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match fault {
            OnCommit::Store => commit.await,
            OnCommit::Fail(_) => Err(Error::new(ErrorKind::Storage, "the disk is full")),
            OnCommit::StoreAndFail => {
                commit.await?;
                Err(Error::new(ErrorKind::Timeout, "no answer"))
            }
            OnCommit::Hold => {
                self.vanished.notify_one();
                self.go_on.notified().await;
                commit.await
            }
            OnCommit::Vanish => {
                self.vanished.notify_one();
                std::future::pending().await
            }
            OnCommit::StoreAndVanish => {
                commit.await?;
                self.vanished.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn loses(&self, subject: &str) -> bool {
        match &mut *self.lost_answers.lock().await {
            Some((lost, times)) if lost == subject && *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }
}

pub struct Faulty {
    pub inner: Arc<Embedded>,
    pub faults: Arc<Faults>,
}

/// A zone's record comes first, or a line in a room is all.
fn is_zones(batch: &[Append]) -> bool {
    let subject = batch[0].subject.as_str();
    let log = ["zone.", "room."].iter().any(|scope| subject.starts_with(scope));
    log && subject.ends_with(".log")
}

impl Backend for Faulty {
    fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()> {
        self.inner.publish(subject, payload, headers)
    }

    fn subscribe(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        self.inner.subscribe(pattern, group, capacity)
    }

    fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, Error>> {
        let subject = subject.clone();
        Box::pin(async move {
            let answer = self.inner.request(&subject, payload, headers, deadline).await?;
            if self.faults.loses(subject.as_str()).await {
                return Err(Error::new(ErrorKind::Timeout, "the answer was lost"));
            }
            Ok(answer)
        })
    }

    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>> {
        Box::pin(async move {
            let fault = if is_zones(&batch) { self.faults.next().await } else { OnCommit::Store };
            self.faults.around(fault, self.inner.commit(batch, fences)).await
        })
    }

    fn is_cheaper_apart(&self, _messages: usize) -> bool {
        self.faults.apart.load(Ordering::Relaxed)
    }

    /// Under a fault some are stored, every other one to begin with, and some are not.
    fn commit_each(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move {
            let fault = if is_zones(&batch) { self.faults.next().await } else { OnCommit::Store };
            let in_part = batch.len() > 1 && !matches!(fault, OnCommit::Store | OnCommit::Hold);
            if in_part {
                self.faults.in_part.fetch_add(1, Ordering::Relaxed);
                for some in batch.iter().step_by(2) {
                    self.inner.commit(vec![some.clone()], fences.clone()).await?;
                }
            }
            let rest = async {
                // They are there already, in part: who is told that they are stored would be told so falsely.
                if in_part {
                    return Ok(Vec::new());
                }
                self.inner.commit_each(batch, fences).await
            };
            self.faults.around(fault, rest).await
        })
    }

    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>> {
        self.inner.read(subjects, after, limit)
    }

    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>> {
        self.inner.last(subject)
    }

    fn retained_after(&self, subject: &Subject) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.retained_after(subject)
    }

    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.trim(subject, through)
    }

    fn logs(&self, pattern: &Pattern) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        self.inner.logs(pattern)
    }

    fn replay(
        &self,
        queue: &Subject,
        id: &str,
        envelope: Bytes,
        note: Append,
        fence: Fence,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.replay(queue, id, envelope, note, fence)
    }

    fn follow_set(&self) -> Box<dyn FollowSetBackend> {
        self.inner.follow_set()
    }

    fn epoch(&self) -> String {
        self.inner.epoch()
    }

    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error> {
        self.inner.kv(bucket)
    }

    fn work(
        &self,
        queue: &Subject,
        dead: &Subject,
        config: tidings_bus::work::WorkConfig,
    ) -> Result<Arc<dyn tidings_bus::work::WorkBackend>, Error> {
        self.inner.work(queue, dead, config)
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, DrainReport> {
        self.inner.drain(deadline)
    }
}
