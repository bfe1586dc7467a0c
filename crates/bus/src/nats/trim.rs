//! Forgetting: a log is trimmed at the server, and a note says how far, so that a follower of before is told of a
//! hole; what has expired by age is told by the age of the place it asks for.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::clock::now_ms;
use crate::error::{Error, ErrorKind};
use crate::nats::headers;
use crate::nats::read::Reader;
use crate::subject::Subject;

/// How much sooner a place counts as expired than its messages do: clocks differ, and the server removes what has
/// expired some time after.
const AGE_MARGIN: Duration = Duration::from_millis(500);

impl Reader {
    /// Forgets a log's messages up to and with a sequence; answers the last one that went.
    pub(crate) async fn trim(&self, log: &Subject, through: u64) -> Result<u64, Error> {
        // The end from the leader: a replica may not have it yet.
        let Some(end) = self.last_raw(log).await? else { return Ok(0) };
        let last = if end.seq <= through {
            end.seq
        } else {
            let kept = self.last_of_each(&[log.as_str().to_owned()], through).await?;
            let Some(last) = kept.first() else { return Ok(0) };
            last.seq
        };
        if self.trimmed(log).await? < last {
            self.note_trim(log, last).await?;
        }
        let question = json!({"filter": log.as_str(), "seq": last + 1});
        let stream = self.names.events();
        self.connection.demand(&format!("STREAM.PURGE.{stream}"), &question, self.deadline).await?;
        Ok(last)
    }

    async fn note_trim(&self, log: &Subject, through: u64) -> Result<(), Error> {
        let (stream, subject) = (self.names.notes(), self.names.trim_note(log));
        let mut map = async_nats::HeaderMap::new();
        headers::put(&mut map, headers::ROLLUP, "sub");
        let (payload, what) = (Bytes::from(through.to_string()), "the note of a trim");
        self.connection.store_surely(&stream, &subject, &map, &payload, self.deadline, what).await.map(drop)
    }

    /// How far a log was trimmed.
    pub(crate) async fn trimmed(&self, log: &Subject) -> Result<u64, Error> {
        let Some(raw) = self.last_note(&self.names.trim_note(log)).await? else { return Ok(0) };
        std::str::from_utf8(&raw.payload).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Error::new(ErrorKind::Storage, format!("the note of how far '{log}' was trimmed cannot be read"))
        })
    }

    /// The sequence up to which something of a log that is kept for this age may have expired: everything stored later
    /// is younger.
    pub(crate) async fn aged(&self, age: Duration) -> Result<u64, Error> {
        let age_ms = i64::try_from(age.saturating_sub(AGE_MARGIN).as_millis()).unwrap_or(i64::MAX);
        if let Some(young) = self.first_since(now_ms().saturating_sub(age_ms)).await? {
            return Ok(young.seq - 1);
        }
        let stream = self.names.events();
        Ok(crate::nats::stream::info(&self.connection, &stream, self.deadline).await?.last_seq)
    }
}
