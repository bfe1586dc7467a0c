//! Key/value: buckets of small values with revisions, compare-and-set, time limits and watchers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::counts::{Counted, Sent, count_error};
use crate::error::{Error, ErrorKind};

/// Longest key, in bytes: with the bucket's name it stays within a subject.
pub const KEY_BYTES_MAX: usize = 200;

/// A value as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// Its key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// Its revision: grows with every change of the bucket, never reused.
    pub revision: u64,
}

/// What a watcher is told. Changes of one key that follow each other fast may come as the last one only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvEvent {
    /// A value: current at first, changed later.
    Put(KvEntry),
    /// The key was deleted, or its time ran out.
    Delete {
        /// The key.
        key: String,
        /// The revision of the value that is gone.
        revision: u64,
    },
    /// Every value there was when the watch began (or began anew) has been told.
    Current,
    /// The watcher was too far behind: everything it knows is to be forgotten; all current values follow, then
    /// `Current`.
    Resync,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// No value.
    Absent,
    /// The value of this revision.
    Revision(u64),
}

/// A compare-and-set found something else.
pub(crate) fn wrong_revision(key: &str, expect: Expect, found: Option<u64>) -> Error {
    let expected = match expect {
        Expect::Any => "anything".to_owned(),
        Expect::Absent => "no value".to_owned(),
        Expect::Revision(revision) => format!("revision {revision}"),
    };
    let found = found.map_or("no value".to_owned(), |revision| format!("revision {revision}"));
    Error::new(ErrorKind::WrongRevision, format!("'{key}': expected {expected}, found {found}"))
}

/// Whether what is found is what a write expects.
pub(crate) fn check_expected(key: &str, expect: Expect, found: Option<u64>) -> Result<(), Error> {
    match (expect, found) {
        (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
        (Expect::Revision(wanted), Some(revision)) if wanted == revision => Ok(()),
        _ => Err(wrong_revision(key, expect, found)),
    }
}

/// What a backend's bucket does. Keys are checked before.
pub trait KvBackend: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<KvEntry>, Error>>;
    /// Writes a value; answers its revision.
    fn put(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> BoxFuture<'_, Result<u64, Error>>;
    /// Deletes a key; one that is absent is deleted already, unless a revision is expected.
    fn delete(&self, key: &str, expect: Expect) -> BoxFuture<'_, Result<(), Error>>;
    /// Every key, in order.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<String>, Error>>;
    /// Watches the keys that start with `prefix`.
    fn watch(&self, prefix: &str) -> Box<dyn KvWatchBackend>;
}

/// What a backend's watcher does.
pub trait KvWatchBackend: Send {
    /// The next event; cancel safe.
    fn next(&mut self) -> BoxFuture<'_, Result<KvEvent, Error>>;
}

/// A bucket: cheap to clone.
#[derive(Clone)]
pub struct Kv {
    backend: Arc<dyn KvBackend>,
    written: Sent,
}

/// Keys are made of letters, digits and `-_=.`, with no dot at an end and no two together: safe as tokens.
fn check_key(key: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    let fits = key.len() <= KEY_BYTES_MAX
        && key.split('.').all(|token| !token.is_empty() && token.bytes().all(plain));
    if fits {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Subject,
        format!(
            "'{}' is no key: 1 to {KEY_BYTES_MAX} of letters, digits and -_=. with no empty part",
            key.escape_debug()
        ),
    ))
}

/// What a caller is told of a write. That the key holds something else is an answer to who asks for that, and no error.
trait Told {
    fn told(self) -> Self;
}

impl<T> Told for Result<T, Error> {
    fn told(self) -> Self {
        self.inspect_err(|error| {
            if error.kind() != ErrorKind::WrongRevision {
                count_error(error);
            }
        })
    }
}

impl Kv {
    pub(crate) fn new(backend: Arc<dyn KvBackend>) -> Self {
        Self { backend, written: Sent::kept() }
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Result<Option<KvEntry>, Error> {
        check_key(key).counted()?;
        self.backend.get(key).await.counted()
    }

    /// Writes a value where there is none; `WrongRevision` where there is one.
    pub async fn create(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<u64, Error> {
        self.write(key, value, Expect::Absent, ttl).await
    }

    /// Writes a value, whatever was there. Without `ttl` it stays until it is changed. NATS counts time limits in
    /// whole seconds, rounded up.
    pub async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<u64, Error> {
        self.write(key, value, Expect::Any, ttl).await
    }

    /// Writes a value over the one of `revision`; `WrongRevision` where it is not that any more.
    pub async fn update(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
        ttl: Option<Duration>,
    ) -> Result<u64, Error> {
        self.write(key, value, Expect::Revision(revision), ttl).await
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
        ttl: Option<Duration>,
    ) -> Result<u64, Error> {
        check_key(key).counted()?;
        let bytes = value.len();
        let written = self.backend.put(key, value, expect, ttl).await.told();
        if written.is_ok() {
            self.written.count(bytes);
        }
        written
    }

    /// Deletes a key, whatever was there.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        check_key(key).counted()?;
        self.backend.delete(key, Expect::Any).await.told()
    }

    /// Deletes the value of `revision`; `WrongRevision` where it is not that any more.
    pub async fn delete_revision(&self, key: &str, revision: u64) -> Result<(), Error> {
        check_key(key).counted()?;
        self.backend.delete(key, Expect::Revision(revision)).await.told()
    }

    /// Every key, in order.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        self.backend.keys().await.counted()
    }

    /// Watches every key: the current values first, then [`KvEvent::Current`], then changes.
    pub fn watch(&self) -> KvWatch {
        KvWatch { backend: self.backend.watch("") }
    }

    /// Watches the keys that start with `prefix`, as [`Kv::watch`].
    pub fn watch_prefix(&self, prefix: &str) -> KvWatch {
        KvWatch { backend: self.backend.watch(prefix) }
    }
}

/// A watcher of a bucket. Holds a place, not a queue: it is never behind by more than the bucket's size.
pub struct KvWatch {
    backend: Box<dyn KvWatchBackend>,
}

impl KvWatch {
    /// The next event; waits where there is none. Cancel safe. Ends with `Closed`.
    pub async fn next(&mut self) -> Result<KvEvent, Error> {
        self.backend.next().await.counted()
    }
}
