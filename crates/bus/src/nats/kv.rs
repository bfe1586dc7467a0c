//! Key/value over streams, as other NATS clients keep it: a key is a subject of which the last message holds.
//!
//! Reads are the leader's: a lease read from a replica that is behind would be somebody else's. Time limits are the
//! server's, in whole seconds.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::kv::{Expect, KvBackend, KvEntry, KvWatchBackend, wrong_revision};
use crate::nats::commit::whole_seconds;
use crate::nats::connection::random_name;
use crate::nats::headers;
use crate::nats::read::{Raw, Reader};
use crate::nats::stream::{self, KEY_MARK};
use crate::nats::tries::is_passing;
use crate::nats::watch::{NatsWatch, all_keys};
use crate::settings::BucketConfig;

pub(crate) struct NatsKv {
    pub(crate) reader: Arc<Reader>,
    pub(crate) config: BucketConfig,
    /// The bucket's stream.
    pub(crate) stream: String,
    /// What goes before its keys.
    pub(crate) keys: String,
    pub(crate) room: Arc<Room>,
}

/// How many keys a bucket may hold is looked up where it may be full: from this part of the bound on, in percent.
const ROOM_LOOK_PERCENT: usize = 90;
/// How long a count is believed.
const ROOM_FOR: Duration = Duration::from_secs(1);

/// What is known of a bucket's room: a count, when it was true, and writes of this process since.
#[derive(Default)]
pub(crate) struct Room(Mutex<Option<(Instant, usize)>>);

impl Room {
    /// Whether one more surely fits; counts it.
    fn is_ample(&self, most: usize) -> bool {
        match &mut *self.0.lock() {
            Some((at, count)) if at.elapsed() < ROOM_FOR && *count < most / 100 * ROOM_LOOK_PERCENT => {
                *count += 1;
                true
            }
            _ => false,
        }
    }
}

/// A write as it is sent.
struct Write {
    value: Bytes,
    headers: HeaderMap,
    id: String,
}

impl Write {
    fn new(value: Bytes, ttl: Option<Duration>) -> Result<Self, Error> {
        let id = random_name()?;
        let mut map = HeaderMap::new();
        headers::put(&mut map, headers::MESSAGE_ID, &id);
        headers::put(&mut map, headers::COMMIT, &id);
        if let Some(ttl) = ttl {
            headers::put(&mut map, headers::TTL, format_args!("{}s", whole_seconds(ttl)));
        }
        Ok(Self { value, headers: map, id })
    }

    fn deletion() -> Result<Self, Error> {
        let mut write = Self::new(Bytes::new(), Some(KEY_MARK))?;
        headers::put(&mut write.headers, headers::OPERATION, "DEL");
        Ok(write)
    }
}

/// What a write came to.
enum Written {
    At(u64),
    /// The key's last message is another one than the write expected.
    Moved,
}

impl NatsKv {
    fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.keys)
    }

    /// The last message of a key, a mark of its end included.
    async fn last(&self, key: &str) -> Result<Option<Raw>, Error> {
        self.reader.leader_has(&self.stream, &json!({"last_by_subj": self.subject(key)})).await
    }

    /// Refuses one key too many. What several processes write at one moment may go beyond the bound by as much.
    async fn check_room(&self, key: &str) -> Result<(), Error> {
        let most = self.config.keys_max;
        if self.room.is_ample(most) {
            return Ok(());
        }
        let info = stream::info(&self.reader.connection, &self.stream, self.reader.deadline).await?;
        let count = usize::try_from(info.messages).unwrap_or(usize::MAX);
        *self.room.0.lock() = Some((Instant::now(), count));
        if count < most || self.last(key).await?.is_some() {
            return Ok(());
        }
        let what = format!("bucket '{}' holds {count} keys: no more fit", self.config.name);
        Err(Error::new(ErrorKind::Overloaded, what))
    }

    /// Writes over the message `over`; safe to repeat after a lost answer.
    async fn write_over(&self, key: &str, write: &Write, over: Option<u64>) -> Result<Written, Error> {
        let mut map = write.headers.clone();
        if let Some(over) = over {
            headers::put(&mut map, headers::EXPECTED, over);
        }
        let (subject, connection) = (self.subject(key), &self.reader.connection);
        let mut tries = connection.to_stream(&self.stream, self.reader.deadline)?;
        loop {
            let stored = connection
                .store(subject.as_str().into(), Some(map.clone()), write.value.clone(), tries.wait())
                .await;
            let error = match stored {
                Err(error) if is_passing(&error) => error,
                Err(error) => return tries.ended(Err(error)),
                Ok(stored) => match stored.error {
                    None => return tries.ended(Ok(Written::At(stored.seq))),
                    Some(error) if error.is_wrong_sequence() => {
                        tries.heard();
                        // After a lost answer it may be this very write that is there.
                        let found = if tries.done > 0 { self.last(key).await? } else { None };
                        return Ok(match found {
                            Some(raw) if raw.commit.as_deref() == Some(write.id.as_str()) => {
                                Written::At(raw.seq)
                            }
                            _ => Written::Moved,
                        });
                    }
                    Some(error) => {
                        let told = error.to_error(&format!("bucket '{}'", self.config.name));
                        if !error.is_passing() {
                            return tries.ended(Err(told));
                        }
                        told
                    }
                },
            };
            tries.again(error).await?;
        }
    }

    async fn put_now(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> Result<u64, Error> {
        self.reader.connection.check_open()?;
        self.config.check_value(key, &value)?;
        if !matches!(expect, Expect::Revision(_)) {
            self.check_room(key).await?;
        }
        let write = Write::new(value, ttl)?;
        let mut over = match expect {
            Expect::Any => None,
            Expect::Absent => Some(0),
            Expect::Revision(revision) => Some(revision),
        };
        loop {
            if let Written::At(seq) = self.write_over(key, &write, over).await? {
                return Ok(seq);
            }
            let found = self.last(key).await?;
            match (expect, found) {
                // A key that is gone leaves a mark for a while.
                (Expect::Absent, Some(mark)) if mark.gone => over = Some(mark.seq),
                (Expect::Absent, None) => over = Some(0),
                (_, found) => {
                    let found = found.filter(|raw| !raw.gone).map(|raw| raw.seq);
                    return Err(wrong_revision(key, expect, found));
                }
            }
        }
    }

    async fn delete_now(&self, key: &str, expect: Expect) -> Result<(), Error> {
        self.reader.connection.check_open()?;
        let write = Write::deletion()?;
        loop {
            let found = self.last(key).await?.filter(|raw| !raw.gone).map(|raw| raw.seq);
            let over = match (expect, found) {
                (Expect::Revision(wanted), Some(found)) if wanted == found => found,
                (Expect::Any, Some(found)) => found,
                (Expect::Any | Expect::Absent, None) => return Ok(()),
                _ => return Err(wrong_revision(key, expect, found)),
            };
            if let Written::At(_) = self.write_over(key, &write, Some(over)).await? {
                return Ok(());
            }
        }
    }
}

impl KvBackend for NatsKv {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<KvEntry>, Error>> {
        let key = key.to_owned();
        Box::pin(async move {
            let found = self.last(&key).await?.filter(|raw| !raw.gone);
            Ok(found.map(|raw| KvEntry { key, value: raw.payload, revision: raw.seq }))
        })
    }

    fn put(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> BoxFuture<'_, Result<u64, Error>> {
        let key = key.to_owned();
        Box::pin(async move { self.put_now(&key, value, expect, ttl).await })
    }

    fn delete(&self, key: &str, expect: Expect) -> BoxFuture<'_, Result<(), Error>> {
        let key = key.to_owned();
        Box::pin(async move { self.delete_now(&key, expect).await })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(async move {
            self.reader.connection.check_up().map_err(|error| {
                Error::new(ErrorKind::Connection, format!("bucket '{}'", self.config.name)).because(error)
            })?;
            all_keys(&self.reader.connection, &self.stream, &self.keys, self.reader.deadline).await
        })
    }

    fn watch(&self, prefix: &str) -> Box<dyn KvWatchBackend> {
        Box::new(NatsWatch::start(&self.reader, &self.stream, &self.keys, prefix))
    }
}
