//! The handle that everything uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::backend::{Backend, Outcome};
use crate::batch::Group;
use crate::checks::Checks;
use crate::config::BusConfig;
use crate::counts::{Counted, Counts, Sent};
use crate::dead_letters::DeadLetters;
use crate::drain::DrainReport;
use crate::error::{Error, ErrorKind};
use crate::kv::Kv;
use crate::log::{Append, Committed, Fence, FollowSet, From, LogMessage};
use crate::message::{Asked, Asker, Headers, Subscription};
use crate::registry::{Class, Registry};
use crate::resilience::States;
use crate::subject::{Pattern, Subject};
use crate::work::{Work, WorkConfig};

/// The bus: cheap to clone, over either backend.
#[derive(Clone)]
pub struct Bus {
    backend: Arc<dyn Backend>,
    checks: Arc<Checks>,
    counts: Arc<Counts>,
}

impl Bus {
    /// A bus over a backend, as the backend was configured; unless that says otherwise everything is checked both
    /// ways, but for what this process commits or asks and hears itself, which is checked on its way out.
    pub fn new(backend: Arc<dyn Backend>, registry: Arc<Registry>) -> Self {
        let config = backend.config();
        Self::with_config(backend, registry, config)
    }

    /// A bus over a backend, checking what `config` says.
    pub fn with_config(backend: Arc<dyn Backend>, registry: Arc<Registry>, config: BusConfig) -> Self {
        let checks = Arc::new(Checks::new(registry, config));
        Self { backend, checks, counts: Arc::new(Counts::new()) }
    }

    /// The registry its subjects come from.
    pub fn registry(&self) -> &Registry {
        self.checks.registry()
    }

    /// How it behaves.
    pub fn config(&self) -> &BusConfig {
        self.checks.config()
    }

    /// At most once, to everyone subscribed now. A subject of class `Ephemeral`.
    pub async fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Result<(), Error> {
        self.counts.published.count(payload.len());
        let checked = Checks::class(subject.class(), &[Class::Ephemeral], subject.as_str())
            .and_then(|()| self.checks.outbound(subject, &payload));
        let published = match checked.map(|()| self.backend.publish(subject, payload, headers)) {
            Ok(Outcome::Ready(published)) => published,
            Ok(Outcome::Later(publishing)) => publishing.await,
            Err(error) => Err(error),
        };
        published.counted()
    }

    /// Messages of a pattern, at most `capacity` waiting. Of class `Ephemeral` or `Request`.
    pub async fn subscribe(&self, pattern: &Pattern, capacity: usize) -> Result<Subscription, Error> {
        self.subscribe_as(pattern, None, capacity).await
    }

    /// As `subscribe`, each message to one of the group.
    pub async fn queue_subscribe(
        &self,
        pattern: &Pattern,
        group: &str,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        self.subscribe_as(pattern, Some(group), capacity).await
    }

    /// As `queue_subscribe`, of class `Request`, for what is best served where it is asked: requests of this process come
    /// straight to it, past the servers, while it has room: they are not spread over the group, and on NATS nobody else
    /// who subscribes to the subject hears of them. Where several groups of the process serve it so, they go over the
    /// servers, to all.
    pub async fn queue_subscribe_near(
        &self,
        pattern: &Pattern,
        group: &str,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        Checks::class(pattern.class(), &[Class::Request], pattern.as_str())?;
        let subscription = self.backend.subscribe_near(pattern, group, capacity).await.counted()?;
        Ok(subscription.checked(self.checks.clone()))
    }

    async fn subscribe_as(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        Checks::class(pattern.class(), &[Class::Ephemeral, Class::Request], pattern.as_str())?;
        let subscription = self.backend.subscribe(pattern, group, capacity).await.counted()?;
        Ok(subscription.checked(self.checks.clone()))
    }

    /// One answer, within the deadline, which travels with the request. A subject of class `Request`.
    pub async fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        self.counts.requested.count(payload.len());
        let begun = Instant::now();
        let checked = Checks::class(subject.class(), &[Class::Request], subject.as_str())
            .and_then(|()| self.checks.outbound(subject, &payload));
        let answer = match checked {
            Ok(()) => self.backend.request(subject, payload, headers, deadline).await,
            Err(error) => Err(error),
        };
        self.counts.request_seconds.record(begun.elapsed());
        answer.counted()
    }

    /// As `request`, for an asker who has many requests under way and is told of each answer by its number, once: no
    /// task waits for it. The deadline travels with the request, but who asks so keeps the time: an answer may come
    /// after the deadline, or never where the request was lost.
    pub fn ask(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        asker: Arc<dyn Asker>,
        number: u64,
    ) {
        self.counts.requested.count(payload.len());
        let asked = Asked::new(asker, number, self.checks.mark());
        let checked = Checks::class(subject.class(), &[Class::Request], subject.as_str())
            .and_then(|()| self.checks.outbound(subject, &payload));
        match checked {
            Ok(()) => Arc::clone(&self.backend).ask(subject, payload, headers, deadline, asked),
            Err(error) => asked.tell(Err(error)),
        }
    }

    /// Appends to several logs atomically, in order, or not at all, while every fence holds. Stored when it
    /// returns. `Fenced`: a fence moved, nothing was stored.
    pub async fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> Result<Committed, Error> {
        self.counts.committed.count(bytes_of(&batch));
        let checked = self.check_batch(&batch, &fences);
        let result = match checked {
            Ok(()) => self.backend.commit_checked(batch, fences, self.checks.mark()).await,
            Err(error) => Err(error),
        };
        result.counted()
    }

    /// Appends to logs, each as a commit of its own, while every fence holds; answers their sequences. For what need not be
    /// all or nothing, since a backend may have it cheaper than a commit of all. They are sent in order, but for
    /// one that has to be sent again, and those that go by another connection of a pool: the sequences are in the order of the
    /// batch, and need not ascend. An error: some of them, or all, may be stored, though none twice.
    pub async fn commit_each(&self, batch: Vec<Append>, fences: Vec<Fence>) -> Result<Vec<u64>, Error> {
        self.counts.committed.count_many(batch.len(), bytes_of(&batch));
        let checked = self.check_batch(&batch, &fences);
        let result = match checked {
            Ok(()) => self.backend.commit_each(batch, fences).await,
            Err(error) => Err(error),
        };
        result.counted()
    }

    /// Whether so many messages cost less by [`commit_each`](Self::commit_each) than in one commit, with one message more:
    /// where one commit of several is staged before it is stored, and one of one is not.
    pub fn is_cheaper_apart(&self, messages: usize) -> bool {
        self.backend.is_cheaper_apart(messages)
    }

    fn check_batch(&self, batch: &[Append], fences: &[Fence]) -> Result<(), Error> {
        if batch.is_empty() || batch.len() > COMMIT_MESSAGES_MAX {
            return Err(Error::new(
                ErrorKind::Publish,
                format!("a commit of {} messages: 1 to {COMMIT_MESSAGES_MAX}", batch.len()),
            ));
        }
        for append in batch {
            Checks::class(append.subject.class(), &[Class::Durable], append.subject.as_str())?;
            self.checks.outbound(&append.subject, &append.payload)?;
        }
        fences.iter().try_for_each(|fence| {
            Checks::class(fence.subject.class(), &[Class::Durable], fence.subject.as_str())
        })
    }

    /// What a message of a batch has to be.
    pub(crate) fn check_batched(&self, subject: &Subject, payload: &[u8]) -> Result<(), Error> {
        Checks::class(subject.class(), &[Class::Durable, Class::Ephemeral], subject.as_str())?;
        self.checks.outbound(subject, payload)
    }

    /// A group's messages, checked before, in one commit and one try.
    pub(crate) async fn commit_batched(&self, group: &Group) -> Result<(), Error> {
        let append = |payload: &Bytes| Append { subject: group.subject.clone(), payload: payload.clone() };
        let batch: Vec<_> = group.messages.iter().map(append).collect();
        self.counts.committed.count(bytes_of(&batch));
        self.backend.commit_once(&group.id, batch).await.counted()
    }

    /// A message of a group, checked before.
    pub(crate) async fn publish_batched(&self, subject: &Subject, payload: Bytes) -> Result<(), Error> {
        self.counts.published.count(payload.len());
        self.backend.publish(subject, payload, Headers::new()).done().await.counted()
    }

    /// The state of the backend's connection, where it has one.
    pub(crate) fn connection_states(&self) -> Option<States> {
        self.backend.connection()
    }

    /// A commit of one message, without a fence; answers its sequence.
    pub async fn append(&self, subject: &Subject, payload: Bytes) -> Result<u64, Error> {
        let batch = vec![Append { subject: subject.clone(), payload }];
        Ok(self.commit(batch, Vec::new()).await?.last)
    }

    /// Stored messages of the logs after a sequence, merged in the order of the stream, at most `limit`. A
    /// message without its form is counted and skipped: an answer may hold fewer than there are.
    pub async fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogMessage>, Error> {
        for subject in subjects {
            Checks::class(subject.class(), &[Class::Durable], subject.as_str())?;
        }
        let mut found = self.backend.read(subjects, after, limit).await.counted()?;
        found.retain(|message| self.checks.is_logged_well(message));
        Ok(found)
    }

    /// The last message of a log.
    pub async fn last(&self, subject: &Subject) -> Result<Option<LogMessage>, Error> {
        Checks::class(subject.class(), &[Class::Durable], subject.as_str())?;
        self.backend.last(subject).await.counted()
    }

    /// Everything of a log after this sequence is retained, or was never there. A reader whose place is before it may
    /// miss something, even where `read` gives nothing; 0 where the backend cannot tell.
    pub async fn retained_after(&self, subject: &Subject) -> Result<u64, Error> {
        Checks::class(subject.class(), &[Class::Durable], subject.as_str())?;
        self.backend.retained_after(subject).await.counted()
    }

    /// Forgets a log's messages up to and with a sequence.
    pub async fn trim(&self, subject: &Subject, through: u64) -> Result<(), Error> {
        Checks::class(subject.class(), &[Class::Durable], subject.as_str())?;
        self.backend.trim(subject, through).await.counted()
    }

    /// The logs of a pattern that hold messages, in order. Of class `Durable`.
    pub async fn logs(&self, pattern: &Pattern) -> Result<Vec<Subject>, Error> {
        Checks::class(pattern.class(), &[Class::Durable], pattern.as_str())?;
        let names = self.backend.logs(pattern).await.counted()?;
        Ok(names.iter().filter_map(|name| self.registry().parse_as(pattern.template(), name)).collect())
    }

    /// What `queue` could not work off, in the log `dead`: to look at, replay, take out and put in.
    pub fn dead_letters(&self, queue: &Subject, dead: &Subject) -> Result<DeadLetters, Error> {
        Checks::class(queue.class(), &[Class::Work], queue.as_str())?;
        Checks::class(dead.class(), &[Class::Durable], dead.as_str())?;
        Ok(DeadLetters::new(self.clone(), queue.clone(), dead.clone()))
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn checks(&self) -> &Checks {
        &self.checks
    }

    /// A follower of several logs.
    pub fn follow_set(&self) -> FollowSet {
        FollowSet::new(self.backend.follow_set(), self.checks.clone())
    }

    /// A follower of one log.
    pub fn follow(&self, subject: &Subject, from: From) -> FollowSet {
        let mut set = self.follow_set();
        set.add(subject.clone(), from);
        set
    }

    /// The stream's epoch: part of every position.
    pub fn epoch(&self) -> String {
        self.backend.epoch()
    }

    /// A bucket of key/value; one that was not declared is refused.
    pub fn kv(&self, bucket: &str) -> Result<Kv, Error> {
        Ok(Kv::new(self.backend.kv(bucket)?))
    }

    /// A work queue: a subject of class `Work`, its dead letters in a log of class `Durable`. The first handle of a
    /// queue in a process fixes its configuration; `Config` where that cannot be.
    pub fn work(&self, queue: &Subject, dead: &Subject, config: WorkConfig) -> Result<Work, Error> {
        Checks::class(queue.class(), &[Class::Work], queue.as_str())?;
        Checks::class(dead.class(), &[Class::Durable], dead.as_str())?;
        config.check()?;
        let backend = self.backend.work(queue, dead, config)?;
        let (checks, enqueued) = (self.checks.clone(), Sent::enqueued());
        Ok(Work { backend, checks, subject: queue.clone(), enqueued })
    }

    /// Takes nothing new, lets what is under way finish, then closes. Every handle of the backend is closed
    /// with it. Says what it gave up on at the deadline.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.backend.drain(deadline).await
    }
}

fn bytes_of(batch: &[Append]) -> usize {
    batch.iter().map(|append| append.payload.len()).sum()
}

/// Most messages of one commit: what a NATS atomic batch takes.
pub const COMMIT_MESSAGES_MAX: usize = 1_000;
