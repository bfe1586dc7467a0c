//! What a backend does. Two exist: in the process, and NATS; one conformance suite runs against both.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::config::BusConfig;
use crate::drain::DrainReport;
use crate::error::Error;
use crate::kv::KvBackend;
use crate::log::{Append, Committed, Fence, FollowSetBackend, LogMessage};
use crate::message::{Asked, Headers, Subscription};
use crate::resilience::States;
use crate::subject::{Pattern, Subject};
use crate::work::{WorkBackend, WorkConfig};

/// An outcome that is there already, or one to wait for: spares what has room a box a message.
pub enum Outcome<'a, T> {
    /// Done.
    Ready(Result<T, Error>),
    /// Under way.
    Later(BoxFuture<'a, Result<T, Error>>),
}

impl<T> Outcome<'_, T> {
    /// Waits where that is needed.
    pub async fn done(self) -> Result<T, Error> {
        match self {
            Self::Ready(result) => result,
            Self::Later(future) => future.await,
        }
    }
}

/// A backend of the bus. `Bus` checks subjects, classes, sizes and schemas before it calls one.
pub trait Backend: Send + Sync + 'static {
    /// At most once, to everyone subscribed now.
    fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()>;
    /// Messages of a pattern; with `group`, each goes to one of the group. `capacity` bounds the queue.
    fn subscribe(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>>;
    /// As `subscribe` in a group, of class `Request`: what this process asks goes straight to it, where that spares a way.
    fn subscribe_near(
        &self,
        pattern: &Pattern,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        self.subscribe(pattern, Some(group), capacity)
    }
    /// One answer, within the deadline.
    fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, Error>>;
    /// As `request`, for an asker who is told. A backend that knows no better way waits in a task of its own,
    /// which ends with the deadline.
    fn ask(
        self: Arc<Self>,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        asked: Asked,
    ) {
        let subject = subject.clone();
        tokio::spawn(async move {
            let answer = self.request(&subject, payload, headers, deadline).await;
            asked.tell(answer);
        });
    }
    /// All or nothing, in order, while every fence holds.
    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>>;
    /// As `commit`, of messages that were checked by the registry of this number (0: by none): a backend in the process
    /// may spare their readers to check them again.
    fn commit_checked(
        &self,
        batch: Vec<Append>,
        fences: Vec<Fence>,
        by: u64,
    ) -> BoxFuture<'_, Result<Committed, Error>> {
        let _ = by;
        self.commit(batch, fences)
    }
    /// As `commit` of each by itself; answers their sequences. A backend that knows no cheaper way commits all.
    fn commit_each(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        let committing = self.commit(batch, fences);
        Box::pin(async move { committing.await.map(|committed| committed.seqs().collect()) })
    }
    /// Whether so many messages cost less as commits of their own than in one commit, with one message more.
    fn is_cheaper_apart(&self, messages: usize) -> bool {
        let _ = messages;
        false
    }
    /// As `commit` without fences, in one try; `id` is the same for each try of the same messages, and stores them once where
    /// the backend remembers it.
    fn commit_once(&self, id: &str, batch: Vec<Append>) -> BoxFuture<'_, Result<(), Error>> {
        let _ = id;
        let committing = self.commit(batch, Vec::new());
        Box::pin(async move { committing.await.map(drop) })
    }
    /// Stored messages of the logs after a sequence, merged in the order of the stream, at most `limit`.
    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>>;
    /// The last message of a log.
    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>>;
    /// Everything of a log after this sequence is retained, or was never there: a reader whose place is before it may
    /// miss something. A backend that cannot tell says 0.
    fn retained_after(&self, subject: &Subject) -> BoxFuture<'_, Result<u64, Error>> {
        let _ = subject;
        Box::pin(async { Ok(0) })
    }
    /// Forgets a log's messages up to and with a sequence.
    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>>;
    /// The logs of a pattern that hold messages, in order.
    fn logs(&self, pattern: &Pattern) -> BoxFuture<'_, Result<Vec<String>, Error>>;
    /// Puts a dead letter's message back into its queue and appends `note`, that the letter is gone, while the fence
    /// holds: both or neither; or, where the backend has no such commit, the message first, which is stored once
    /// however often this is called with the same `id`, as long as the backend remembers it. Answers the message's
    /// sequence.
    fn replay(
        &self,
        queue: &Subject,
        id: &str,
        envelope: Bytes,
        note: Append,
        fence: Fence,
    ) -> BoxFuture<'_, Result<u64, Error>>;
    /// A follower of several logs.
    fn follow_set(&self) -> Box<dyn FollowSetBackend>;
    /// The stream's epoch.
    fn epoch(&self) -> String;
    /// A bucket of key/value; one that was not declared is refused.
    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error>;
    /// The state of its connection, where it has one.
    fn connection(&self) -> Option<States> {
        None
    }
    /// How a bus over this backend behaves unless it is told otherwise.
    fn config(&self) -> BusConfig {
        BusConfig::default()
    }
    /// A work queue whose dead letters go to the log `dead`.
    fn work(
        &self,
        queue: &Subject,
        dead: &Subject,
        config: WorkConfig,
    ) -> Result<Arc<dyn WorkBackend>, Error>;
    /// Takes nothing new, lets what is under way finish, then closes; says what it gave up on.
    fn drain(&self, deadline: Duration) -> BoxFuture<'_, DrainReport>;
}
