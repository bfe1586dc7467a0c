//! The backend on a NATS cluster with JetStream: core NATS for what is ephemeral, one event stream for all logs, a
//! stream a bucket and a work queue.
//!
//! Start reading at `commit` and `hub`: how a commit is stored once whatever becomes of its answer, and how what is
//! stored reaches followers without a gap. JetStream is spoken directly, over one inbox of our own: the client's own
//! calls keep entries for answers that never come, and it has no batches.

mod ack;
mod api;
pub mod apply;
mod catch_up;
mod commit;
mod config;
mod connection;
mod digits;
mod ear;
mod epoch;
mod follow;
mod headers;
mod hub;
mod inbox;
pub mod inspect;
mod keep;
mod kv;
mod line;
mod member;
mod names;
mod near;
mod pings;
mod pool;
mod read;
mod refused;
mod repair;
mod request;
mod rights;
mod security;
mod sizes;
mod soon;
mod stream;
mod subscribe;
mod tail;
mod together;
mod tries;
mod trim;
mod unfollowed;
mod wake;
mod watch;
mod work;
mod work_ends;
mod work_pull;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::config::{CLIENT_QUEUE_MIN, NatsConfig, POOL_MAX};
pub(crate) use self::connection::random_name;
pub use self::pool::MemberView;
pub use self::rights::{Part, Rights};
pub use self::security::{Login, Secret, Security};
use crate::backend::{Backend, Outcome};
use crate::config::BusConfig;
use crate::drain::DrainReport;
use crate::error::{Error, ErrorKind};
use crate::kv::KvBackend;
use crate::log::{Append, Committed, Fence, FollowSetBackend, LogMessage};
use crate::message::{Asked, Headers, Subscription};
use crate::nats::catch_up::CatchUp;
use crate::nats::commit::{Committer, Ids};
use crate::nats::connection::Connection;
use crate::nats::epoch::Epoch;
use crate::nats::follow::NatsFollow;
use crate::nats::hub::Hub;
use crate::nats::keep::Keeper;
use crate::nats::kv::{NatsKv, Room};
use crate::nats::names::Names;
use crate::nats::pings::Pings;
use crate::nats::read::Reader;
use crate::nats::stream::Copies;
use crate::nats::subscribe::Subscriptions;
use crate::nats::unfollowed::Unfollowed;
use crate::nats::work::{NatsWork, NatsWorkHandle};
use crate::registry::Registry;
use crate::resilience::{BreakerView, HealthReport, States};
use crate::settings::BucketConfig;
use crate::subject::{Pattern, Subject};
use crate::work::{WorkBackend, WorkConfig};

/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(2);
/// How long closing may take beyond the drain's deadline.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The NATS backend. Drained, it is closed; dropped, its tasks end with it.
pub struct Nats {
    connection: Arc<Connection>,
    subscriptions: Arc<Subscriptions>,
    reader: Arc<Reader>,
    committer: Arc<Committer>,
    hub: Arc<Hub>,
    epoch: Arc<Epoch>,
    catch_up: Arc<CatchUp>,
    names: Names,
    buckets: HashMap<String, (BucketConfig, Arc<Room>)>,
    workers: Mutex<HashMap<String, Arc<NatsWork>>>,
    asking: Arc<AtomicUsize>,
}

impl Nats {
    /// Connects, makes the streams and buckets that are missing, compares those there are, and begins to listen.
    /// `Mismatch`: one is there in another form. A server older than 2.12 is refused.
    pub async fn connect(config: NatsConfig, registry: Arc<Registry>) -> Result<Arc<Self>, Error> {
        config.bus.check()?;
        let names = Names::new(&registry)?;
        let buckets = declared_buckets(&config)?;
        let connection = Connection::open(&config).await?;
        let opened = Self::open(config, registry, names, buckets, connection.clone()).await;
        if opened.is_err() {
            connection.close(CLOSE_WAIT).await;
        }
        opened
    }

    /// Makes the streams and buckets that are missing, and compares those there are.
    async fn declare(
        config: &NatsConfig,
        registry: &Registry,
        names: &Names,
        connection: &Connection,
    ) -> Result<(), Error> {
        let replicas = config.replicas;
        let mut declared =
            vec![stream::events(names, registry, replicas, config.follow), stream::notes(names, replicas)];
        declared.extend(config.buckets.iter().map(|bucket| stream::bucket(names, bucket, replicas)));
        let ensured = declared.iter().map(|one| stream::ensure(connection, one, config.bus.deadline));
        futures_util::future::try_join_all(ensured).await.map(drop)
    }

    async fn open(
        config: NatsConfig,
        registry: Arc<Registry>,
        names: Names,
        buckets: HashMap<String, (BucketConfig, Arc<Room>)>,
        connection: Arc<Connection>,
    ) -> Result<Arc<Self>, Error> {
        sizes::check(&registry, &connection)?;
        connection.tasks.spawn(sizes::watch(registry.clone(), connection.clone()));
        let (copies, deadline) = (Copies::new(config.replicas), config.bus.deadline);
        if config.visits {
            stream::demand_there(&connection, &[names.events(), names.notes()], deadline).await?;
        } else {
            Self::declare(&config, &registry, &names, &connection).await?;
        }
        let reader =
            Arc::new(Reader { connection: connection.clone(), names: names.clone(), copies, deadline });
        let visits = config.visits;
        let epoch = Epoch::establish(connection.clone(), reader.clone(), names.clone(), visits).await?;
        let (hub, ears) =
            Hub::open(connection.clone(), reader.clone(), registry.clone(), config.tail_bytes).await?;
        connection.tasks.spawn(hub.clone().run(ears, epoch.clone(), config.sweep_every));
        let catch_up =
            Arc::new(CatchUp { reader: reader.clone(), registry: registry.clone(), config: config.clone() });
        if config.keeps && !config.visits {
            let keeper =
                Keeper { reader: reader.clone(), registry: registry.clone(), config: config.clone() };
            connection.tasks.spawn(keeper.run());
        }
        for member in &connection.members {
            let pings = Pings::new(connection.clone(), member.clone(), config.bus.health.clone());
            connection.tasks.spawn(pings.run());
        }
        let committer = Arc::new(Committer {
            connection: connection.clone(),
            reader: reader.clone(),
            hub: hub.clone(),
            names: names.clone(),
            registry: registry.clone(),
            open_batches: Semaphore::new(config.open_batches.max(1)),
            under_way: AtomicUsize::new(0),
            ids: Ids::new()?,
            took: metrics::histogram!("tidings_bus_commit_seconds"),
            config,
        });
        Ok(Arc::new(Self {
            subscriptions: Subscriptions::new(connection.clone(), registry),
            connection,
            reader,
            committer,
            hub,
            epoch,
            catch_up,
            names,
            buckets,
            workers: Mutex::default(),
            asking: Arc::default(),
        }))
    }

    /// The version of the server it is connected to.
    pub fn server_version(&self) -> String {
        self.connection.server_info().version
    }

    /// The number under which that server knows this connection: another one after each reconnect.
    pub fn client_id(&self) -> u64 {
        self.connection.server_info().client_id
    }

    /// The name of the server that leads the event stream, where there are several.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        let (stream, deadline) = (self.names.events(), self.reader.deadline);
        Ok(stream::info(&self.connection, &stream, deadline).await?.leader)
    }

    /// What the pool is, and every move of it: to be asked, watched, and shown. With one connection it is that one's
    /// state; with several the pool is connected while one of them is, and degraded while one is not.
    pub fn states(&self) -> States {
        self.connection.together.states.clone()
    }

    /// How the pool does: healthy while a connection is; the score is the mean of theirs.
    pub fn health(&self) -> HealthReport {
        self.connection.health()
    }

    /// Each connection of the pool.
    pub fn members(&self) -> Vec<MemberView> {
        self.connection.views()
    }

    /// The circuits of all destinations in use, those that are not closed first.
    pub fn breakers(&self) -> Vec<BreakerView> {
        self.connection.guard.breakers().list(Instant::now().into_std())
    }

    fn look(&self) -> (DrainReport, bool) {
        let (messages, arrived) = self.subscriptions.under_way();
        let work = self.workers.lock().values().map(|work| work.out_count()).sum();
        let report = DrainReport {
            requests: self.asking.load(Ordering::Acquire),
            messages,
            commits: self.committer.under_way.load(Ordering::Acquire),
            work,
            unsent: self.connection.soon.waiting(),
            unsure: 0,
        };
        let done = report.is_clean() && arrived && self.hub.is_whole();
        (report, done)
    }

    async fn drain_all(&self, deadline: Duration) -> DrainReport {
        let until = Instant::now() + deadline;
        self.connection.shut();
        self.workers.lock().values().for_each(|work| work.stop());
        self.subscriptions.stop();
        let (mut report, mut done) = self.look();
        while !done && Instant::now() < until {
            tokio::time::sleep(DRAIN_LOOK).await;
            (report, done) = self.look();
        }
        let left = until.saturating_duration_since(Instant::now()).max(CLOSE_WAIT);
        report.unsure = tokio::time::timeout(left, self.connection.settle())
            .await
            .unwrap_or_else(|_| self.connection.opened());
        self.connection.close(left).await;
        self.hub.wake();
        report
    }
}

fn declared_buckets(config: &NatsConfig) -> Result<HashMap<String, (BucketConfig, Arc<Room>)>, Error> {
    let mut buckets = HashMap::new();
    for bucket in &config.buckets {
        bucket.check_name()?;
        if buckets.insert(bucket.name.clone(), (bucket.clone(), Arc::default())).is_some() {
            let what = format!("bucket '{}' is declared twice", bucket.name);
            return Err(Error::new(ErrorKind::Subject, what));
        }
    }
    Ok(buckets)
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.connection.end();
        self.connection.soon.end();
    }
}

impl Backend for Nats {
    fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()> {
        self.publish_now(subject, payload, headers)
    }

    fn subscribe(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        let (pattern, group) = (pattern.clone(), group.map(str::to_owned));
        Box::pin(self.subscriptions.subscribe(pattern, group, capacity))
    }

    fn subscribe_near(
        &self,
        pattern: &Pattern,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        let (pattern, group) = (pattern.clone(), group.to_owned());
        Box::pin(self.subscriptions.subscribe_near(pattern, group, capacity))
    }

    fn ask(
        self: Arc<Self>,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        asked: Asked,
    ) {
        self.ask_now(subject, payload, headers, deadline, asked);
    }

    fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, Error>> {
        let subject = subject.clone();
        Box::pin(async move { self.request_now(&subject, payload, headers, deadline).await })
    }

    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>> {
        Box::pin(self.committer.commit(batch, fences))
    }

    fn is_cheaper_apart(&self, messages: usize) -> bool {
        self.committer.is_cheaper_apart(messages)
    }

    fn commit_each(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(self.committer.commit_each(batch, fences))
    }

    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>> {
        Box::pin(self.reader.logs(subjects.to_vec(), after, limit))
    }

    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>> {
        let subject = subject.clone();
        Box::pin(async move { self.reader.last(&subject).await })
    }

    fn retained_after(&self, subject: &Subject) -> BoxFuture<'_, Result<u64, Error>> {
        let subject = subject.clone();
        Box::pin(async move { self.catch_up.retained_after(&subject).await })
    }

    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>> {
        let subject = subject.clone();
        Box::pin(async move {
            self.connection.check_open()?;
            if self.committer.config.visits {
                return Err(Error::new(ErrorKind::Permission, "a visitor trims no logs"));
            }
            let through = self.reader.trim(&subject, through).await?;
            self.hub.trimmed(&subject, through);
            Ok(())
        })
    }

    fn logs(&self, pattern: &Pattern) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let pattern = pattern.as_str().to_owned();
        Box::pin(async move {
            let reader = &self.reader;
            stream::subjects(&self.connection, &self.names.events(), &pattern, reader.deadline).await
        })
    }

    fn replay(
        &self,
        queue: &Subject,
        id: &str,
        envelope: Bytes,
        note: Append,
        fence: Fence,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        let (queue, id) = (queue.clone(), id.to_owned());
        Box::pin(async move { work::replay(&self.committer, &queue, &id, envelope, note, fence).await })
    }

    fn follow_set(&self) -> Box<dyn FollowSetBackend> {
        if !self.committer.config.follow {
            return Box::new(Unfollowed::new(self.hub.clone()));
        }
        Box::new(NatsFollow::new(self.hub.clone(), self.catch_up.clone()))
    }

    fn epoch(&self) -> String {
        self.epoch.name()
    }

    fn commit_once(&self, id: &str, batch: Vec<Append>) -> BoxFuture<'_, Result<(), Error>> {
        let id = id.to_owned();
        Box::pin(async move { self.committer.commit_once(&id, batch).await })
    }

    fn connection(&self) -> Option<States> {
        Some(self.states())
    }

    fn config(&self) -> BusConfig {
        self.committer.config.bus.clone()
    }

    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error> {
        let (config, room) = self.buckets.get(bucket).ok_or_else(|| {
            Error::new(ErrorKind::Subject, format!("no bucket '{}' is declared", bucket.escape_debug()))
        })?;
        Ok(Arc::new(NatsKv {
            reader: self.reader.clone(),
            stream: self.names.bucket_stream(bucket),
            keys: self.names.bucket_keys(bucket),
            config: config.clone(),
            room: room.clone(),
        }))
    }

    fn work(
        &self,
        queue: &Subject,
        dead: &Subject,
        config: WorkConfig,
    ) -> Result<Arc<dyn WorkBackend>, Error> {
        self.connection.check_open()?;
        let mut workers = self.workers.lock();
        let work = workers
            .entry(queue.as_str().to_owned())
            .or_insert_with(|| NatsWork::new(self.committer.clone(), queue.clone(), dead.clone(), config));
        Ok(Arc::new(NatsWorkHandle(work.clone())))
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, DrainReport> {
        Box::pin(self.drain_all(deadline))
    }
}
