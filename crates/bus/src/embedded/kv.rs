//! Key/value of the embedded backend: volatile buckets at once, durable ones through the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::clock::now_ms;
use crate::embedded::buckets::{Bucket, Watcher};
use crate::embedded::disk::inbox::{Condition, NewRecord, Target};
use crate::embedded::handle::LogHandle;
use crate::embedded::shared::key_subject;
use crate::error::Error;
use crate::kv::{Expect, KvBackend, KvEntry, KvEvent, KvWatchBackend};
use crate::settings::Keep;

pub(crate) struct EmbeddedKv {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) log: LogHandle,
}

impl EmbeddedKv {
    fn is_durable(&self) -> bool {
        self.bucket.config.keep == Keep::Durable
    }

    async fn store(&self, key: String, expect: Expect, write: Option<(Bytes, i64)>) -> Result<u64, Error> {
        let subject = key_subject(&self.bucket.config.name, &key);
        let key: Box<str> = key.into();
        let condition = Condition::Value(subject.clone(), self.bucket.clone(), key.clone(), expect);
        let (payload, aux, target) = match write {
            Some((value, expires)) => (value, expires, Target::Put(self.bucket.clone(), key)),
            None => (Bytes::new(), 0, Target::Delete(self.bucket.clone(), key)),
        };
        let record = NewRecord { subject, aux, payload, target };
        Ok(self.log.commit(vec![record], vec![condition]).await?.last)
    }
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
        if let Err(error) = self.log.check_open() {
            return Box::pin(std::future::ready(Err(error)));
        }
        if !self.is_durable() {
            return Box::pin(std::future::ready(self.bucket.write(key, value, expect, ttl)));
        }
        if let Err(error) = self.bucket.check_bounds(key, &value) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let expires = ttl.map_or(0, |ttl| now_ms() + i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2));
        Box::pin(self.store(key.to_owned(), expect, Some((value, expires))))
    }

    fn delete(&self, key: &str, expect: Expect) -> BoxFuture<'_, Result<(), Error>> {
        if let Err(error) = self.log.check_open() {
            return Box::pin(std::future::ready(Err(error)));
        }
        if !self.is_durable() {
            return Box::pin(std::future::ready(self.bucket.erase(key, expect)));
        }
        let key = key.to_owned();
        Box::pin(async move { self.store(key, expect, None).await.map(drop) })
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
    fn next(&mut self) -> BoxFuture<'_, Result<KvEvent, Error>> {
        Box::pin(self.0.next())
    }
}
