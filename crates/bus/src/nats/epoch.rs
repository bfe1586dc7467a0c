//! The epoch of the event stream: a name for one life of its sequences.
//!
//! A note beside the stream holds the name, when the stream was made, and a sequence it had reached. A stream made
//! or restored since, or found behind that sequence, gets a new name, so that no position of before is believed.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::nats::api::{Tries, is_passing};
use crate::nats::connection::{Connection, random_name};
use crate::nats::headers;
use crate::nats::names::Names;
use crate::nats::read::Reader;
use crate::nats::stream::StreamInfo;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    epoch: String,
    created: String,
    reached: u64,
}

/// The epoch that holds, and the note of it.
pub(crate) struct Epoch {
    connection: Arc<Connection>,
    reader: Arc<Reader>,
    names: Names,
    current: Mutex<(Note, u64)>,
}

impl Epoch {
    pub(crate) async fn establish(
        connection: Arc<Connection>,
        reader: Arc<Reader>,
        names: Names,
        stream: &StreamInfo,
    ) -> Result<Arc<Self>, Error> {
        let empty = Note { epoch: String::new(), created: String::new(), reached: 0 };
        let epoch = Arc::new(Self { connection, reader, names, current: Mutex::new((empty, 0)) });
        epoch.renew(stream).await?;
        Ok(epoch)
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.current.lock().0.epoch.clone()
    }

    /// Reads the note; writes it where the stream has gone on, anew where it is another one. Answers whether the
    /// epoch is another.
    pub(crate) async fn renew(&self, stream: &StreamInfo) -> Result<bool, Error> {
        let before = self.name();
        let mut tries = Tries::new(self.reader.deadline);
        loop {
            let (found, seq) = self.read().await?;
            let next = match found {
                Some(note) if note.created == stream.created && note.reached <= stream.last_seq => {
                    if note.reached == stream.last_seq {
                        let changed = note.epoch != before;
                        *self.current.lock() = (note, seq);
                        return Ok(changed);
                    }
                    Note { reached: stream.last_seq, ..note }
                }
                _ => {
                    Note { epoch: random_name()?, created: stream.created.clone(), reached: stream.last_seq }
                }
            };
            match self.write(&next, seq, &tries).await {
                Ok(Some(seq)) => {
                    let changed = next.epoch != before;
                    *self.current.lock() = (next, seq);
                    return Ok(changed);
                }
                // Another process wrote it: perhaps what was to be written.
                Ok(None) => tries.again(&self.connection, collided()).await?,
                Err(error) if is_passing(&error) => tries.again(&self.connection, error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&self) -> Result<(Option<Note>, u64), Error> {
        let found = self.reader.last_note(&self.names.epoch_note()).await?;
        Ok(found.map_or((None, 0), |raw| (serde_json::from_slice(&raw.payload).ok(), raw.seq)))
    }

    async fn write(&self, note: &Note, over: u64, tries: &Tries) -> Result<Option<u64>, Error> {
        let mut map = async_nats::HeaderMap::new();
        headers::put(&mut map, headers::EXPECTED, over);
        headers::put(&mut map, headers::ROLLUP, "sub");
        let payload = serde_json::to_vec(note)
            .map_err(|error| Error::new(ErrorKind::Schema, "the note of the epoch").because(error))?;
        let subject = self.names.epoch_note();
        let stored = self.connection.store(&subject, Some(map), Bytes::from(payload), tries.wait()).await?;
        match stored.error {
            None => Ok(Some(stored.seq)),
            Some(error) if error.is_wrong_sequence() => Ok(None),
            Some(error) => Err(error.to_error("the note of the epoch")),
        }
    }
}

fn collided() -> Error {
    Error::new(ErrorKind::Timeout, "other processes write the note of the epoch all the time")
}
