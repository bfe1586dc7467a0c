//! Key/value over streams, as other NATS clients keep it: a key is a subject of which the last message holds.
//!
//! Reads are the leader's: a lease read from a replica that is behind would be somebody else's. Time limits are the
//! server's, in whole seconds.
//!
//! A refusal may be of what this very write has left: the answer of a first try was lost, or, for a moment after a partition,
//! the leader of before refused from what it knew while the other stored. So it is asked about as a commit is: the write's id
//! is stored on a key that is none, which the server does once for each id, and which only a leader that can store answers.

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
use crate::nats::api::Stored;
use crate::nats::commit::whole_seconds;
use crate::nats::connection::random_name;
use crate::nats::headers;
use crate::nats::read::{Raw, Reader};
use crate::nats::stream::{self, KEY_MARK};
use crate::nats::tries::{Tries, is_passing};
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

/// Where it is asked whether a write is stored: no caller's key has such a name, and the question is a mark that watchers pass
/// over.
const ASKED: &str = "~asked";
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
        let mut write = Self { value, headers: HeaderMap::new(), id: String::new() };
        if let Some(ttl) = ttl {
            headers::put_ttl(&mut write.headers, whole_seconds(ttl));
        }
        write.take_id()?;
        Ok(write)
    }

    fn deletion() -> Result<Self, Error> {
        let mut write = Self::new(Bytes::new(), Some(KEY_MARK))?;
        headers::put(&mut write.headers, headers::OPERATION, "DEL");
        Ok(write)
    }

    /// The question whether a write of this id is stored.
    fn question(id: &str) -> Result<Self, Error> {
        let mut write = Self::deletion()?;
        headers::put(&mut write.headers, headers::MESSAGE_ID, id);
        Ok(write)
    }

    /// Another id, under which nothing is stored.
    fn take_id(&mut self) -> Result<(), Error> {
        self.id = random_name()?;
        headers::put(&mut self.headers, headers::MESSAGE_ID, &self.id);
        Ok(())
    }
}

/// What a write came to.
enum Written {
    At(u64),
    /// Nothing was stored: the key's last message, this one, is another than the write expected.
    Moved(Option<Raw>),
}

fn not_known(why: Error) -> Error {
    Error::new(ErrorKind::Timeout, "whether the key was written is not known").because(why)
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
        // What was asked is no key.
        let (connection, asked) = (&self.reader.connection, self.subject(ASKED));
        let asked = stream::subjects(connection, &self.stream, &asked, self.reader.deadline).await?;
        let count = count - asked.len().min(count);
        if count < most {
            return Ok(());
        }
        let what = format!("bucket '{}' holds {count} keys: no more fit", self.config.name);
        Err(Error::new(ErrorKind::Overloaded, what))
    }

    /// Writes over the message `over`; safe to repeat after a lost answer.
    async fn write_over(&self, key: &str, write: &mut Write, over: Option<u64>) -> Result<Written, Error> {
        let (subject, connection) = (self.subject(key), &self.reader.connection);
        let mut tries = connection.to_stream(&self.stream, self.reader.deadline)?;
        loop {
            let mut map = write.headers.clone();
            if let Some(over) = over {
                headers::put(&mut map, headers::EXPECTED, over);
            }
            let stored =
                connection.store(subject.as_str().into(), Some(map), write.value.clone(), tries.wait()).await;
            let error = match stored {
                Err(error) if is_passing(&error) => error,
                Err(error) => return tries.ended(Err(error)),
                Ok(stored) => match stored.error {
                    None => return tries.ended(Ok(Written::At(stored.seq))),
                    Some(error) if error.is_wrong_sequence() => {
                        tries.heard();
                        match self.refused(key, write, &tries).await? {
                            // Nobody has moved it: another write was under way, or a leader of before refused.
                            Written::Moved(found)
                                if over == Some(found.as_ref().map_or(0, |raw| raw.seq)) =>
                            {
                                let what = format!("other writes of '{key}' are under way");
                                Error::new(ErrorKind::Overloaded, what)
                            }
                            written => return Ok(written),
                        }
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

    /// What a write came to that was refused for what the key holds. One leader that was asked once knows.
    async fn refused(&self, key: &str, write: &mut Write, tries: &Tries<'_>) -> Result<Written, Error> {
        if tries.done > 0 || self.reader.may_lag() {
            let wait = tries.left().max(self.reader.connection.try_wait);
            if let Some(seq) = self.find(write, wait).await.map_err(not_known)? {
                return Ok(Written::At(seq));
            }
            // Asking took the id: under it nothing can be stored any more.
            write.take_id()?;
        }
        Ok(Written::Moved(self.last(key).await?))
    }

    /// The sequence under which a write is stored; asked while the server surely remembers its id.
    async fn find(&self, write: &Write, wait: Duration) -> Result<Option<u64>, Error> {
        let (question, asked) = (Write::question(&write.id)?, self.subject(ASKED));
        let connection = &self.reader.connection;
        let mut tries = connection.to_stream(&self.stream, wait)?;
        let mut unsure = false;
        loop {
            let map = Some(question.headers.clone());
            let error = match connection
                .store(asked.as_str().into(), map, question.value.clone(), tries.wait())
                .await
            {
                Ok(Stored { error: Some(error), .. }) => {
                    let told = error.to_error("whether a key was written");
                    if !error.is_passing() {
                        return tries.ended(Err(told));
                    }
                    told
                }
                Ok(Stored { duplicate: false, .. }) => return tries.ended(Ok(None)),
                // It may be the question itself, asked when its answer was lost.
                Ok(Stored { seq, .. }) if unsure => {
                    tries.heard();
                    return self.unless_question(seq, &asked).await;
                }
                Ok(Stored { seq, .. }) => return tries.ended(Ok(Some(seq))),
                Err(error) if is_passing(&error) => {
                    unsure = true;
                    error
                }
                Err(error) => return tries.ended(Err(error)),
            };
            tries.again(error).await?;
        }
    }

    /// A sequence, unless it is that of a question. What is gone may have been either.
    async fn unless_question(&self, seq: u64, asked: &str) -> Result<Option<u64>, Error> {
        match self.reader.leader_has(&self.stream, &json!({"seq": seq})).await? {
            Some(raw) => Ok((raw.subject != asked).then_some(seq)),
            None => Err(Error::new(ErrorKind::Timeout, format!("what was stored at {seq} is gone"))),
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
        let mut write = Write::new(value, ttl)?;
        let mut over = match expect {
            Expect::Any => None,
            Expect::Revision(revision) => Some(revision),
            // Looked at first: who waits for a key to be free writes nothing meanwhile.
            Expect::Absent => Some(free(key, self.last(key).await?)?),
        };
        loop {
            match (expect, self.write_over(key, &mut write, over).await?) {
                (_, Written::At(seq)) => return Ok(seq),
                (Expect::Absent, Written::Moved(found)) => over = Some(free(key, found)?),
                (_, Written::Moved(found)) => return Err(wrong_revision(key, expect, standing(found))),
            }
        }
    }

    async fn delete_now(&self, key: &str, expect: Expect) -> Result<(), Error> {
        self.reader.connection.check_open()?;
        let mut write = Write::deletion()?;
        if let Expect::Revision(revision) = expect {
            return match self.write_over(key, &mut write, Some(revision)).await? {
                Written::At(_) => Ok(()),
                Written::Moved(found) => Err(wrong_revision(key, expect, standing(found))),
            };
        }
        let mut found = standing(self.last(key).await?);
        while let Some(over) = found {
            if expect == Expect::Absent {
                return Err(wrong_revision(key, expect, found));
            }
            found = match self.write_over(key, &mut write, Some(over)).await? {
                Written::At(_) => None,
                Written::Moved(found) => standing(found),
            };
        }
        Ok(())
    }
}

/// The revision of a value that is there.
fn standing(found: Option<Raw>) -> Option<u64> {
    found.filter(|raw| !raw.gone).map(|raw| raw.seq)
}

/// What a value goes over where there is none: a key that is gone leaves a mark for a while.
fn free(key: &str, found: Option<Raw>) -> Result<u64, Error> {
    match found {
        Some(raw) if !raw.gone => Err(wrong_revision(key, Expect::Absent, Some(raw.seq))),
        found => Ok(found.map_or(0, |mark| mark.seq)),
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
