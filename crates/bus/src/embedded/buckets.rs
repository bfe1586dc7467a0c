//! Key/value in memory: every bucket's values, their order of change, their time limits.
//!
//! A watcher holds a place in the order of change, not a queue, so that it is bounded by itself: the changes of a
//! key that came while it was away collapse into the last one. Deletions are remembered up to a bound; a watcher
//! older than that begins anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::error::{Error, ErrorKind};
use crate::kv::{Expect, KvEntry, KvEvent, check_expected};
use crate::settings::BucketConfig;

/// Deletions a bucket remembers for its watchers.
const DELETIONS_MAX: usize = 10_000;

pub(crate) struct Bucket {
    pub(crate) config: BucketConfig,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    values: HashMap<Arc<str>, Value>,
    /// Every key by its last change, deleted ones too.
    by_change: BTreeMap<u64, Arc<str>>,
    deleted: HashMap<Arc<str>, (u64, u64)>,
    deletions: BTreeSet<u64>,
    deletions_forgotten: u64,
    changes: u64,
    expiries: BTreeSet<(Instant, Arc<str>)>,
    closed: bool,
}

struct Value {
    value: Bytes,
    revision: u64,
    change: u64,
    expires: Option<Instant>,
}

impl State {
    fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn purge(&mut self) -> bool {
        let now = Instant::now();
        let mut purged = false;
        while let Some((when, key)) = self.expiries.first().cloned()
            && when <= now
        {
            self.expiries.pop_first();
            self.remove(&key);
            purged = true;
        }
        purged
    }

    fn put(&mut self, key: &str, value: Bytes, revision: u64, expires: Option<Instant>) {
        let key: Arc<str> = match self.values.get_key_value(key) {
            Some((key, _)) => key.clone(),
            None => key.into(),
        };
        if let Some(old) = self.values.remove(&key) {
            self.by_change.remove(&old.change);
            if let Some(when) = old.expires {
                self.expiries.remove(&(when, key.clone()));
            }
        }
        if let Some((change, _)) = self.deleted.remove(&key) {
            self.by_change.remove(&change);
            self.deletions.remove(&change);
        }
        let change = self.next_change();
        self.by_change.insert(change, key.clone());
        if let Some(when) = expires {
            self.expiries.insert((when, key.clone()));
        }
        self.values.insert(key, Value { value, revision, change, expires });
    }

    fn remove(&mut self, key: &str) -> Option<u64> {
        let (key, old) = self.values.remove_entry(key)?;
        self.by_change.remove(&old.change);
        if let Some(when) = old.expires {
            self.expiries.remove(&(when, key.clone()));
        }
        let change = self.next_change();
        self.by_change.insert(change, key.clone());
        self.deleted.insert(key, (change, old.revision));
        self.deletions.insert(change);
        if self.deletions.len() > DELETIONS_MAX
            && let Some(oldest) = self.deletions.pop_first()
        {
            self.deletions_forgotten = oldest;
            if let Some(key) = self.by_change.remove(&oldest) {
                self.deleted.remove(&key);
            }
        }
        Some(old.revision)
    }
}

impl Bucket {
    pub(crate) fn new(config: BucketConfig) -> Self {
        Self { config, state: Mutex::default(), changed: Notify::new() }
    }

    /// The current revision of a key.
    pub(crate) fn revision(&self, key: &str) -> Option<u64> {
        let mut state = self.state.lock();
        state.purge();
        state.values.get(key).map(|value| value.revision)
    }

    pub(crate) fn get(&self, key: &str) -> Option<KvEntry> {
        let mut state = self.state.lock();
        state.purge();
        let value = state.values.get(key)?;
        Some(KvEntry { key: key.to_owned(), value: value.value.clone(), revision: value.revision })
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut state = self.state.lock();
        state.purge();
        let mut keys: Vec<String> = state.values.keys().map(|key| key.to_string()).collect();
        keys.sort_unstable();
        keys
    }

    /// Whether a write fits the bucket's bounds.
    pub(crate) fn check_bounds(&self, key: &str, value: &Bytes) -> Result<(), Error> {
        let config = &self.config;
        config.check_value(key, value)?;
        let mut state = self.state.lock();
        state.purge();
        if state.values.len() >= config.keys_max && !state.values.contains_key(key) {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("bucket '{}' holds {} keys: no more fit", config.name, config.keys_max),
            ));
        }
        Ok(())
    }

    /// A volatile write: checked and done under one lock.
    pub(crate) fn write(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> Result<u64, Error> {
        self.check_bounds(key, &value)?;
        let mut state = self.state.lock();
        state.purge();
        check_expected(key, expect, state.values.get(key).map(|value| value.revision))?;
        let revision = state.changes + 1;
        state.put(key, value, revision, ttl.map(|ttl| Instant::now() + ttl));
        drop(state);
        self.changed.notify_waiters();
        Ok(revision)
    }

    /// A volatile deletion.
    pub(crate) fn erase(&self, key: &str, expect: Expect) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.purge();
        check_expected(key, expect, state.values.get(key).map(|value| value.revision))?;
        state.remove(key);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Shows a write that is stored.
    pub(crate) fn apply_put(&self, key: &str, value: Bytes, revision: u64, expires_ms: i64) {
        let left = u64::try_from(expires_ms.saturating_sub(now_ms())).unwrap_or(0);
        let expires = (expires_ms != 0).then(|| Instant::now() + Duration::from_millis(left));
        self.state.lock().put(key, value, revision, expires);
        self.changed.notify_waiters();
    }

    /// The bytes of each value, by revision.
    pub(crate) fn sizes(&self) -> Vec<(u64, usize)> {
        let state = self.state.lock();
        state.values.iter().map(|(key, value)| (value.revision, key.len() + value.value.len())).collect()
    }

    /// Shows a deletion that is stored.
    pub(crate) fn apply_delete(&self, key: &str) {
        self.state.lock().remove(key);
        self.changed.notify_waiters();
    }

    /// Watchers read what there is and end.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_waiters();
    }
}

/// A watcher: a place in a bucket's order of change.
pub(crate) struct Watcher {
    bucket: Arc<Bucket>,
    prefix: String,
    seen: u64,
    /// The change at which everything there was at the start has been told; `None` once told.
    current_at: Option<u64>,
}

/// What a look found.
enum Look {
    Event(KvEvent),
    Closed,
    /// Nothing until a change, or until this time.
    Wait(Option<Instant>),
}

impl Watcher {
    pub(crate) fn new(bucket: Arc<Bucket>, prefix: &str) -> Self {
        let current_at = Some(bucket.state.lock().changes);
        Self { bucket, prefix: prefix.to_owned(), seen: 0, current_at }
    }

    fn look(&mut self) -> Look {
        let mut state = self.bucket.state.lock();
        if state.purge() {
            self.bucket.changed.notify_waiters();
        }
        if self.current_at.is_none() && self.seen < state.deletions_forgotten {
            self.seen = 0;
            self.current_at = Some(state.changes);
            return Look::Event(KvEvent::Resync);
        }
        for (change, key) in state.by_change.range(self.seen + 1..) {
            if self.current_at.is_some_and(|at| *change > at) {
                break;
            }
            self.seen = *change;
            if !key.starts_with(&self.prefix) {
                continue;
            }
            if let Some(value) = state.values.get(key) {
                let (value, revision) = (value.value.clone(), value.revision);
                return Look::Event(KvEvent::Put(KvEntry { key: key.to_string(), value, revision }));
            }
            // What was gone before the watch began is nobody's news.
            if self.current_at.is_none()
                && let Some((_, revision)) = state.deleted.get(key)
            {
                return Look::Event(KvEvent::Delete { key: key.to_string(), revision: *revision });
            }
        }
        if let Some(at) = self.current_at.take() {
            self.seen = self.seen.max(at);
            return Look::Event(KvEvent::Current);
        }
        if state.closed {
            return Look::Closed;
        }
        Look::Wait(state.expiries.first().map(|(when, _)| *when))
    }

    pub(crate) async fn next(&mut self) -> Result<KvEvent, Error> {
        loop {
            let bucket = self.bucket.clone();
            let changed = bucket.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.look() {
                Look::Event(event) => return Ok(event),
                Look::Closed => return Err(Error::closed()),
                Look::Wait(None) => changed.await,
                Look::Wait(Some(when)) => {
                    let _ = tokio::time::timeout_at(when, changed).await;
                }
            }
        }
    }
}
