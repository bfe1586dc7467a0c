//! The backend in the process: routing in memory, one durable log, key/value.

mod buckets;
mod config;
mod follow;
mod router;
mod shared;
mod signal;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

pub use self::config::{BucketConfig, EmbeddedConfig, Keep, Retention};
use crate::backend::{Backend, Outcome};
use crate::drain::DrainReport;
use crate::embedded::buckets::{Bucket, Watcher};
use crate::embedded::follow::EmbeddedFollow;
use crate::embedded::router::Router;
use crate::embedded::shared::Shared;
use crate::embedded::view::{Place, View};
use crate::error::{Error, ErrorKind};
use crate::kv::{Expect, KvBackend, KvEntry, KvWatchBackend};
use crate::log::{Append, Committed, Fence, FollowSetBackend, LogMessage};
use crate::message::{Headers, Subscription};
use crate::subject::{Pattern, Subject};

/// The embedded backend.
pub struct Embedded {
    router: Arc<Router>,
    shared: Arc<Shared>,
    buckets: HashMap<String, Arc<Bucket>>,
    writing: Mutex<u64>,
    epoch: String,
}

impl Embedded {
    /// Opens the log, or makes one.
    pub fn open(config: EmbeddedConfig) -> Result<Arc<Self>, Error> {
        let prefix = config.prefix.as_ref().map(|prefix| format!("{prefix}.")).unwrap_or_default();
        let rules = config
            .retention_rules
            .iter()
            .map(|(pattern, retention)| (format!("{prefix}{pattern}"), *retention))
            .collect();
        let view = View::new(usize::MAX, config.retention, rules);
        let buckets = config
            .buckets
            .into_iter()
            .map(|bucket| (bucket.name.clone(), Arc::new(Bucket::new(bucket))))
            .collect();
        Ok(Arc::new(Self {
            router: Router::new(),
            shared: Arc::new(Shared::new(view)),
            buckets,
            writing: Mutex::new(0),
            epoch: format!("{:016x}", now_ms()),
        }))
    }

    fn commit_now(&self, batch: Vec<Append>, fences: &[Fence]) -> Result<Committed, Error> {
        if self.shared.is_closed() {
            return Err(Error::closed());
        }
        let mut last = self.writing.lock();
        let mut view = self.shared.view.write();
        for fence in fences {
            let found = view.last(&fence.subject);
            if found != fence.seq {
                return Err(Error::new(
                    ErrorKind::Fenced,
                    format!("'{}' is at {found}, not at {}", fence.subject, fence.seq),
                ));
            }
        }
        let first = *last + 1;
        for append in batch {
            *last += 1;
            let prev = view.last(&append.subject);
            let message = LogMessage {
                subject: append.subject,
                seq: *last,
                prev,
                time_ms: now_ms(),
                payload: append.payload,
            };
            view.append(message, Place { segment: 0, offset: 0, len: 1 });
        }
        view.visible = *last;
        view.expire(now_ms());
        Ok(Committed { first, last: *last })
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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

    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>> {
        Box::pin(std::future::ready(self.commit_now(batch, &fences)))
    }

    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>> {
        let view = self.shared.view.read();
        let wanted: Vec<_> =
            subjects.iter().filter_map(|subject| view.id(subject)).map(|id| (id, after)).collect();
        let merged = view.merge(&wanted, view.visible, limit, usize::MAX);
        drop(view);
        let loaded = self.shared.load(merged.found).into_iter().map(|loaded| loaded.message).collect();
        Box::pin(std::future::ready(loaded))
    }

    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>> {
        let view = self.shared.view.read();
        let found = view.id(subject).and_then(|id| {
            let log = view.log(id)?;
            log.entries.len().checked_sub(1).map(|place| view.found(id, log, place))
        });
        drop(view);
        let loaded = found.and_then(|found| self.shared.load(vec![found]).pop());
        Box::pin(std::future::ready(loaded.map(|loaded| loaded.message).transpose()))
    }

    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>> {
        self.shared.view.write().trim(subject, through);
        Box::pin(std::future::ready(Ok(())))
    }

    fn follow_set(&self) -> Box<dyn FollowSetBackend> {
        Box::new(EmbeddedFollow::new(self.shared.clone()))
    }

    fn epoch(&self) -> String {
        self.epoch.clone()
    }

    fn kv(&self, bucket: &str) -> Result<Arc<dyn KvBackend>, Error> {
        let bucket = self.buckets.get(bucket).ok_or_else(|| {
            Error::new(ErrorKind::Subject, format!("no bucket '{}' is declared", bucket.escape_debug()))
        })?;
        Ok(Arc::new(EmbeddedKv { bucket: bucket.clone() }))
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, DrainReport> {
        Box::pin(async move {
            self.router.stop();
            let until = tokio::time::Instant::now() + deadline;
            let mut under_way = self.router.under_way();
            while under_way != (0, 0) && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(2)).await;
                under_way = self.router.under_way();
            }
            self.router.close();
            self.shared.close();
            for bucket in self.buckets.values() {
                bucket.close();
            }
            DrainReport { requests: under_way.0, messages: under_way.1, ..DrainReport::default() }
        })
    }
}

struct EmbeddedKv {
    bucket: Arc<Bucket>,
}

impl KvBackend for EmbeddedKv {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<KvEntry>, Error>> {
        Box::pin(std::future::ready(Ok(self.bucket.get(key))))
    }

    fn put(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(std::future::ready(self.bucket.write(key, value, expect, ttl)))
    }

    fn delete(&self, key: &str, expect: Expect) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(self.bucket.erase(key, expect)))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(std::future::ready(Ok(self.bucket.keys())))
    }

    fn watch(&self, prefix: &str) -> Box<dyn KvWatchBackend> {
        Box::new(EmbeddedWatch(Watcher::new(self.bucket.clone(), prefix)))
    }
}

struct EmbeddedWatch(Watcher);

impl KvWatchBackend for EmbeddedWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<crate::kv::KvEvent, Error>> {
        Box::pin(self.0.next())
    }
}
