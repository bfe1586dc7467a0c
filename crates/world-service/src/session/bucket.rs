//! The bucket of sessions as records, changed by compare-and-set.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tidings_bus::{ErrorKind, Kv};
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::SessionRecord;
use tidings_service::CallError;

/// Tries of one change: more edges than this do not fight for one character at once.
const TRIES: usize = 16;

/// What becomes of a record.
pub(super) enum Change {
    /// It stays as it is.
    Keep,
    /// It is this now; with a time, for that long.
    Put(Box<SessionRecord>, Option<Duration>),
    /// It is gone.
    Delete,
}

/// The bucket.
#[derive(Clone)]
pub(super) struct Records(Kv);

impl Records {
    pub(super) fn new(kv: Kv) -> Self {
        Self(kv)
    }

    pub(super) fn kv(&self) -> &Kv {
        &self.0
    }

    /// A character's record and its revision. One that cannot be read is none: the next write replaces it.
    pub(super) async fn get(&self, character: &str) -> Result<Option<(SessionRecord, u64)>, CallError> {
        Ok(self.0.get(character).await?.and_then(|entry| Some((read(&entry.value)?, entry.revision))))
    }

    /// Changes a character's record: `decide` sees what is there, and is asked again where it changed meanwhile.
    /// Answers what it said last.
    pub(super) async fn change<T>(
        &self,
        character: &str,
        mut decide: impl FnMut(Option<SessionRecord>) -> Result<(Change, T), CallError>,
    ) -> Result<T, CallError> {
        for _ in 0..TRIES {
            let entry = self.0.get(character).await?;
            let revision = entry.as_ref().map(|entry| entry.revision);
            let (change, answer) = decide(entry.and_then(|entry| read(&entry.value)))?;
            let written = match (change, revision) {
                (Change::Keep, _) | (Change::Delete, None) => return Ok(answer),
                (Change::Delete, Some(revision)) => self.0.delete_revision(character, revision).await,
                (Change::Put(record, ttl), revision) => {
                    let value = Bytes::from(record.encode_to_vec());
                    let put = match revision {
                        None => self.0.create(character, value, ttl).await,
                        Some(revision) => self.0.update(character, value, revision, ttl).await,
                    };
                    put.map(drop)
                }
            };
            match written {
                Ok(()) => return Ok(answer),
                Err(error) if error.kind() == ErrorKind::WrongRevision => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CallError::new(ErrorCode::Aborted, "The session is being changed by others. Please try again."))
    }
}

pub(super) fn read(value: &Bytes) -> Option<SessionRecord> {
    SessionRecord::decode(value.clone()).ok()
}
