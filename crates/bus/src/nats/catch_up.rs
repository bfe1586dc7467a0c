//! Reading the logs of a follower that are behind, with the holes that retention left in them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use crate::error::{Error, ErrorKind};
use crate::log::{Followed, LogMessage};
use crate::nats::config::NatsConfig;
use crate::nats::connection::jitter;
use crate::nats::read::Reader;
use crate::registry::Registry;
use crate::subject::Subject;

/// Messages of one log read at once.
const LOG_BATCH: usize = 128;
/// Logs read side by side.
const LOGS_AT_ONCE: usize = 32;
/// How long after a read that failed the follower waits.
const AGAIN: Duration = Duration::from_millis(500);

/// A log that is behind, and how far it was delivered.
pub(crate) struct Place {
    pub(crate) log: Subject,
    pub(crate) incarnation: u64,
    pub(crate) after: u64,
    pub(crate) look_for_hole: bool,
}

/// What was read of it.
pub(crate) struct Reading {
    pub(crate) log: Subject,
    pub(crate) incarnation: u64,
    /// The place it was read from.
    pub(crate) after: u64,
    /// A hole before everything else, and the sequence up to which it reaches.
    pub(crate) hole: Option<(u64, Followed)>,
    pub(crate) messages: Vec<LogMessage>,
    /// The sequence up to which nothing more is stored, where that is so.
    pub(crate) complete_to: Option<u64>,
}

pub(crate) struct CatchUp {
    pub(crate) reader: Arc<Reader>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) config: NatsConfig,
}

impl CatchUp {
    /// Reads some of each log up to a sequence. What cannot be read is left out, after a pause.
    pub(crate) async fn read(&self, places: Vec<Place>, up_to: u64) -> Vec<Reading> {
        let reading = places.into_iter().map(|place| self.read_one(place, up_to));
        let mut reading = futures_util::stream::iter(reading).buffer_unordered(LOGS_AT_ONCE);
        let (mut readings, mut failed) = (Vec::new(), false);
        while let Some(one) = reading.next().await {
            match one {
                Ok(one) => readings.push(one),
                Err(error) if error.kind() == ErrorKind::Closed => {}
                Err(error) => {
                    failed = true;
                    tracing::warn!(%error, "a log could not be read: it is tried again");
                }
            }
        }
        if failed && readings.is_empty() {
            tokio::time::sleep(jitter(AGAIN)).await;
        }
        readings
    }

    async fn read_one(&self, place: Place, up_to: u64) -> Result<Reading, Error> {
        let Place { log, incarnation, after, look_for_hole } = place;
        let removed = async { if look_for_hole { self.removed(&log, after).await } else { Ok(None) } };
        let (removed, messages) = tokio::join!(removed, self.reader.log(&log, after, up_to, LOG_BATCH));
        let messages = messages?;
        let complete_to = (messages.len() < LOG_BATCH).then_some(up_to);
        let hole = removed?.map(|through| {
            let first = messages.first().map_or(through + 1, |message| message.seq);
            let through = through.min(first.saturating_sub(1));
            (through, Followed::Hole { subject: log.clone(), after, first })
        });
        Ok(Reading { log, incarnation, after, hole, messages, complete_to })
    }

    /// How far a log's messages are gone, where some after this place are, or may be.
    async fn removed(&self, log: &Subject, after: u64) -> Result<Option<u64>, Error> {
        let trimmed = self.reader.trimmed(log).await?;
        if trimmed > after {
            return Ok(Some(trimmed));
        }
        // From the beginning means from what there is.
        let age = self.config.retention_of(&self.registry, log.as_str()).age;
        match age {
            Some(age) if after > 0 && self.reader.aged(age).await? > after => Ok(Some(after)),
            _ => Ok(None),
        }
    }

    /// Everything of a log after this sequence is retained, or was never there: how far it was trimmed, or may have
    /// expired, or what is before the one message that is kept.
    pub(crate) async fn retained_after(&self, log: &Subject) -> Result<u64, Error> {
        let retention = self.config.retention_of(&self.registry, log.as_str());
        let trimmed = self.reader.trimmed(log);
        let aged = async { if let Some(age) = retention.age { self.reader.aged(age).await } else { Ok(0) } };
        let replaced = async {
            let last = if retention.messages == Some(1) { self.reader.last_raw(log).await? } else { None };
            Ok(last.map_or(0, |raw| raw.seq - 1))
        };
        let (trimmed, aged, replaced) = tokio::try_join!(trimmed, aged, replaced)?;
        Ok(trimmed.max(aged).max(replaced))
    }
}
