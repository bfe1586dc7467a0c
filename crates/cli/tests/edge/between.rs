//! A bus between the edge and everything else: it counts what the edge asks, and keeps answers from it as a test wants.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prost::Message as _;
use tidings_bus::backend::{Backend, Outcome};
use tidings_bus::kv::KvBackend;
use tidings_bus::log::FollowSetBackend;
use tidings_bus::{
    Append, Committed, DrainReport, Error, ErrorKind, Fence, Followed, From, Headers, LogMessage, Pattern,
    Subject, Subscription,
};
use tidings_protocol::proto::world::v1::{ZoneRequest, zone_request};
use tokio::sync::Notify;

/// What the edge's messaging goes through.
pub struct Between {
    inner: Arc<dyn Backend>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: Mutex<BTreeMap<String, usize>>,
    silent: Mutex<HashSet<String>>,
    panics: Mutex<HashSet<String>>,
    heard_again: Notify,
    stale: Mutex<HashMap<String, Option<Bytes>>>,
    holes: Mutex<Vec<Followed>>,
    holed: Arc<Notify>,
}

impl Between {
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, state: Arc::default() })
    }

    /// Between another edge and its way to the same world: it counts and keeps for both.
    pub fn beside(&self, inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, state: Arc::clone(&self.state) })
    }

    /// How often the edge asked for each thing since the last time: requests by their subject, and `read`, `follow`, `kv`.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.state.asked.lock())
    }

    /// Requests of this subject get no answer, until they get one again; `cmd.zone.<zone> view`: those for a view.
    pub fn silence(&self, subject: &str, silent: bool) {
        if silent {
            self.state.silent.lock().insert(subject.to_owned());
        } else {
            self.state.silent.lock().remove(subject);
            self.state.heard_again.notify_waiters();
        }
    }

    /// The next request of this subject panics in whoever asks.
    pub fn panic(&self, subject: &str) {
        self.state.panics.lock().insert(subject.to_owned());
    }

    /// Requests of this subject are answered as the next one is, whatever changes behind.
    pub fn freeze(&self, subject: &str) {
        self.state.stale.lock().insert(subject.to_owned(), None);
    }

    /// Waits until the edge asks for this.
    pub async fn until_asked(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while !self.asked().contains_key(what) {
            assert!(Instant::now() < until, "{what} was not asked");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether there is an answer that will be given again.
    fn is_frozen(&self, subject: &str) -> bool {
        self.state.stale.lock().get(subject).is_some_and(Option::is_some)
    }

    /// Waits for that.
    pub async fn frozen(&self, subject: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while !self.is_frozen(subject) {
            assert!(Instant::now() < until, "{subject} was not asked");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn thaw(&self, subject: &str) {
        self.state.stale.lock().remove(subject);
    }

    /// The edge is told that messages of a log are gone.
    pub fn hole(&self, subject: Subject, after: u64, first: u64) {
        self.state.holes.lock().push(Followed::Hole { subject, after, first });
        self.state.holed.notify_waiters();
    }
}

impl State {
    fn count(&self, what: &str) {
        *self.asked.lock().entry(what.to_owned()).or_default() += 1;
    }

    async fn until_heard(&self, subject: &str) {
        loop {
            let again = self.heard_again.notified();
            if !self.silent.lock().contains(subject) {
                return;
            }
            again.await;
        }
    }
}

struct Follow {
    inner: Box<dyn FollowSetBackend>,
    state: Arc<State>,
}

impl FollowSetBackend for Follow {
    fn add(&mut self, subject: Subject, from: From) {
        self.state.count("follow");
        self.inner.add(subject, from);
    }

    fn remove(&mut self, subject: &Subject) {
        self.inner.remove(subject);
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Followed, Error>> {
        async move {
            let holed = Arc::clone(&self.state.holed);
            let holed = holed.notified();
            if let Some(hole) = self.state.holes.lock().pop() {
                return Ok(hole);
            }
            tokio::select! {
                next = self.inner.next() => next,
                () = holed => Ok(self.state.holes.lock().pop().expect("one was put there")),
            }
        }
        .boxed()
    }

    fn try_next(&mut self) -> Option<Result<Followed, Error>> {
        self.inner.try_next()
    }

    fn position(&self) -> (u64, Vec<(Subject, u64)>) {
        self.inner.position()
    }
}

impl Backend for Between {
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
        self.state.count(subject.as_str());
        // Views are told from what else a zone is asked.
        let is_view = subject.as_str().starts_with("cmd.zone.")
            && ZoneRequest::decode(payload.clone())
                .is_ok_and(|request| matches!(request.ask, Some(zone_request::Ask::State(_))));
        let view = if is_view { format!("{subject} view") } else { String::new() };
        if is_view {
            self.state.count(&view);
        }
        Box::pin(async move {
            let panics = self.state.panics.lock().remove(subject.as_str());
            assert!(!panics, "as the test wants it");
            let heard = async {
                self.state.until_heard(&view).await;
                self.state.until_heard(subject.as_str()).await;
            };
            if tokio::time::timeout(deadline, heard).await.is_err() {
                return Err(Error::new(ErrorKind::Timeout, "nobody answers"));
            }
            if let Some(Some(stale)) = self.state.stale.lock().get(subject.as_str()) {
                return Ok(stale.clone());
            }
            let answer = self.inner.request(&subject, payload, headers, deadline).await?;
            if let Some(stale) = self.state.stale.lock().get_mut(subject.as_str()) {
                *stale = Some(answer.clone());
            }
            Ok(answer)
        })
    }

    fn commit_each(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        self.inner.commit_each(batch, fences)
    }

    fn is_cheaper_apart(&self, messages: usize) -> bool {
        self.inner.is_cheaper_apart(messages)
    }

    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>> {
        self.inner.commit(batch, fences)
    }

    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>> {
        self.state.count("read");
        self.inner.read(subjects, after, limit)
    }

    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>> {
        self.state.count("read");
        self.inner.last(subject)
    }

    fn retained_after(&self, subject: &Subject) -> BoxFuture<'_, Result<u64, Error>> {
        self.state.count("retained");
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
        Box::new(Follow { inner: self.inner.follow_set(), state: Arc::clone(&self.state) })
    }

    fn epoch(&self) -> String {
        self.inner.epoch()
    }

    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error> {
        self.state.count("kv");
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
