//! The epoch of the event stream: a name for one life of its sequences.
//!
//! A note beside the stream holds the name, when the stream was made, and a sequence it had reached. A stream made
//! or restored since, or found behind that sequence or one that a process knows, gets a new name, so that no position
//! of before is believed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::nats::connection::{Connection, random_name};
use crate::nats::headers;
use crate::nats::names::Names;
use crate::nats::read::Reader;
use crate::nats::stream::{self, StreamInfo};
use crate::nats::tries::{Tries, is_passing};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    epoch: String,
    created: String,
    reached: u64,
}

/// How often a stream that is found behind is looked at again before that is believed: a leader that was frozen and
/// does not know yet that it is none any more tells an older state.
const LOOKS: u32 = 3;
/// How long before each such look.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The epoch that holds, and the note of it.
pub(crate) struct Epoch {
    connection: Arc<Connection>,
    reader: Arc<Reader>,
    names: Names,
    /// Whether the note is only read: a visitor leaves nothing behind.
    visits: bool,
    current: Mutex<String>,
}

impl Epoch {
    pub(crate) async fn establish(
        connection: Arc<Connection>,
        reader: Arc<Reader>,
        names: Names,
        visits: bool,
    ) -> Result<Arc<Self>, Error> {
        let epoch = Arc::new(Self { connection, reader, names, visits, current: Mutex::default() });
        epoch.renew(0).await?;
        Ok(epoch)
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.current.lock().clone()
    }

    /// Looks at the stream, of which this process knows that it had reached `known`, and at the note. Writes the note
    /// where the stream has gone on, anew where it is another one. Answers what the stream is, and whether the epoch
    /// is another.
    pub(crate) async fn renew(&self, known: u64) -> Result<(StreamInfo, bool), Error> {
        let before = self.name();
        let (notes, until) = (self.names.notes(), Instant::now() + self.reader.deadline);
        loop {
            let (stream, found, seq) = self.look(known).await?;
            if self.visits {
                let noted = found.filter(|note| note.created == stream.created).map(|note| note.epoch);
                let epoch = noted.unwrap_or_else(|| stream.created.clone());
                return Ok((stream, self.set(epoch, &before)));
            }
            let next = match found {
                Some(note)
                    if note.created == stream.created && note.reached.max(known) <= stream.last_seq =>
                {
                    if note.reached == stream.last_seq {
                        return Ok((stream, self.set(note.epoch, &before)));
                    }
                    Note { reached: stream.last_seq, ..note }
                }
                _ => {
                    Note { epoch: random_name()?, created: stream.created.clone(), reached: stream.last_seq }
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            let mut tries = self.connection.to_stream(&notes, left)?;
            match self.write(&next, seq, &tries).await {
                Ok(true) => return tries.ended(Ok((stream, self.set(next.epoch, &before)))),
                // Another process wrote it: perhaps what was to be written.
                Ok(false) => tries.again(collided()).await?,
                Err(error) if is_passing(&error) => tries.again(error).await?,
                // The epoch is the same: a server that stores no more can still be read and heard.
                Err(error) if next.epoch == before && is_refused(&error) => {
                    tracing::warn!(%error, "the note of the epoch stays behind");
                    return tries.ended(Ok((stream, false)));
                }
                Err(error) => return tries.ended(Err(error)),
            }
        }
    }

    fn set(&self, epoch: String, before: &str) -> bool {
        let changed = epoch != before;
        *self.current.lock() = epoch;
        changed
    }

    /// The stream and the note; where the stream is behind, only after several looks.
    async fn look(&self, known: u64) -> Result<(StreamInfo, Option<Note>, u64), Error> {
        let mut looks = 0;
        loop {
            // The note first: the stream only goes on meanwhile.
            let (found, seq) = self.read().await?;
            let name = self.names.events();
            let stream = stream::info(&self.connection, &name, self.reader.deadline).await?;
            self.reader.copies.learn(stream.copies);
            let reached =
                found.as_ref().filter(|note| note.created == stream.created).map(|note| note.reached);
            looks += 1;
            if reached.is_none_or(|reached| reached.max(known) <= stream.last_seq) || looks > LOOKS {
                return Ok((stream, found, seq));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn read(&self) -> Result<(Option<Note>, u64), Error> {
        let found = self.reader.last_note(&self.names.epoch_note()).await?;
        Ok(found.map_or((None, 0), |raw| (serde_json::from_slice(&raw.payload).ok(), raw.seq)))
    }

    async fn write(&self, note: &Note, over: u64, tries: &Tries<'_>) -> Result<bool, Error> {
        let mut map = async_nats::HeaderMap::new();
        headers::put(&mut map, headers::EXPECTED, over);
        headers::put(&mut map, headers::ROLLUP, "sub");
        let payload = serde_json::to_vec(note)
            .map_err(|error| Error::new(ErrorKind::Schema, "the note of the epoch").because(error))?;
        let subject = self.names.epoch_note();
        let stored = self
            .connection
            .store(subject.as_str().into(), Some(map), Bytes::from(payload), tries.wait())
            .await?;
        match stored.error {
            None => Ok(true),
            Some(error) if error.is_wrong_sequence() => Ok(false),
            Some(error) => Err(error.to_error("the note of the epoch")),
        }
    }
}

/// The server answers, and stores no more.
fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Storage | ErrorKind::Overloaded | ErrorKind::Publish)
}

fn collided() -> Error {
    Error::new(ErrorKind::Overloaded, "other processes write the note of the epoch all the time")
}
