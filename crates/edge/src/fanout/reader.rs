//! What is no longer remembered, read from the stream: a few reads at once for all sessions of the process.

use std::sync::Arc;

use tidings_bus::Bus;
use tidings_service::Subjects;
use tokio::sync::Semaphore;

use super::encode::{Encoded, Encoder};
use super::interner::AudienceInfo;

/// Reads at once: the disk serves a few as fast as many, and their results are bounded by it.
const READS_MAX: usize = 8;
/// Messages of one read.
const PAGE: usize = 512;

/// Reads logs for sessions that resume or open late.
pub struct Reader {
    bus: Bus,
    encoder: Arc<Encoder>,
    permits: Semaphore,
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bus does not answer.
    #[error("the stream cannot be read")]
    Bus(#[from] tidings_bus::Error),
    /// What was asked for is not retained any more, or is more than may be asked for.
    #[error("what was asked for is no longer retained")]
    TooOld,
}

impl Reader {
    /// A reader over a bus.
    pub fn new(bus: Bus, encoder: Arc<Encoder>) -> Self {
        Self { bus, encoder, permits: Semaphore::new(READS_MAX) }
    }

    /// The events of these logs after a sequence up to and with another, in order; `TooOld` where some of them
    /// are gone or where there are more than `most`.
    pub async fn read(
        &self,
        audiences: &[Arc<AudienceInfo>],
        after: u64,
        through: u64,
        most: usize,
    ) -> Result<Vec<Arc<Encoded>>, ReadError> {
        let _permit = self.permits.acquire().await.map_err(|_| ReadError::TooOld)?;
        let subjects = audiences
            .iter()
            .map(|info| Subjects(self.bus.registry()).log(&info.audience))
            .collect::<Result<Vec<_>, _>>()?;
        let mut seen = vec![false; subjects.len()];
        let (mut events, mut from) = (Vec::new(), after);
        while from < through && !subjects.is_empty() {
            let page = self.bus.read(&subjects, from, PAGE).await?;
            let full = page.len() == PAGE;
            for message in page {
                from = message.seq;
                if message.seq > through {
                    break;
                }
                let Some(at) = subjects.iter().position(|subject| *subject == message.subject) else {
                    continue;
                };
                if !std::mem::replace(&mut seen[at], true) && message.prev > after {
                    return Err(ReadError::TooOld);
                }
                events.extend(self.encoder.encode(&audiences[at], &message).map(Arc::new));
                if events.len() > most {
                    return Err(ReadError::TooOld);
                }
            }
            if !full {
                break;
            }
        }
        // Where everything after the place is gone, no message is left to say so; asked last, retention goes on.
        for subject in &subjects {
            if self.bus.retained_after(subject).await? > after {
                return Err(ReadError::TooOld);
            }
        }
        Ok(events)
    }
}
