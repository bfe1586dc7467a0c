//! Making the tail whole: what is missing of the live copies is read from the stream.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::nats::connection::jitter;
use crate::nats::hub::Hub;

/// A longer gap is not read into the tail: each follower reads its own logs instead.
pub(crate) const REPAIR_MAX: u64 = 5_000;
/// Logs asked for in one question: the server answers 1,024 at most.
const SUBJECTS_AT_ONCE: usize = 500;
/// The wait before a repair or a waking that failed is tried again: it doubles.
pub(crate) const AGAIN: Duration = Duration::from_millis(50);
/// The longest such wait.
pub(crate) const AGAIN_MOST: Duration = Duration::from_secs(2);

impl Hub {
    /// Reads what is missing up to a sequence; nothing later is shown before.
    pub(crate) async fn repair(&self, up_to: u64) {
        let mut pause = AGAIN;
        loop {
            let end = self.tail.read().end;
            if end >= up_to {
                return;
            }
            if up_to - end > REPAIR_MAX {
                self.leave_to_followers(up_to);
                return;
            }
            match self.read_missing(end, up_to).await {
                Ok(Some(count)) => {
                    metrics::counter!("tidings_bus_follow_repaired_total").increment(count);
                    return;
                }
                Ok(None) => {
                    self.leave_to_followers(up_to);
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    tracing::warn!(%error, end, up_to, "what is missing could not be read yet");
                    tokio::time::sleep(jitter(pause)).await;
                    pause = (pause * 2).min(AGAIN_MOST);
                }
            }
        }
    }

    /// Reads a piece into the tail. `None`: some of it was trimmed or has expired, and a follower of it has to be told of a
    /// hole.
    pub(crate) async fn read_missing(&self, after: u64, up_to: u64) -> Result<Option<u64>, Error> {
        if after == up_to {
            return Ok(Some(0));
        }
        let everything = self.reader.names.everything();
        let found = self.reader.range(&everything, after, up_to, usize::MAX).await?;
        if (found.len() as u64) < up_to - after {
            return Ok(None);
        }
        let mut logs: Vec<String> = found.iter().map(|raw| raw.subject.clone()).collect();
        logs.sort_unstable();
        logs.dedup();
        let mut last: HashMap<String, u64> = HashMap::new();
        for some in logs.chunks(SUBJECTS_AT_ONCE) {
            let before = self.reader.last_of_each(some, after).await?;
            last.extend(before.into_iter().map(|raw| (raw.subject, raw.seq)));
        }
        let count = found.len() as u64;
        for raw in found {
            let prev = last.insert(raw.subject.clone(), raw.seq).unwrap_or(0);
            self.append(&mut self.tail.write(), raw, prev);
        }
        Ok(Some(count))
    }

    /// Each follower reads its own logs up to a sequence, with what is to be told of holes in them.
    fn leave_to_followers(&self, up_to: u64) {
        metrics::counter!("tidings_bus_follow_resets_total").increment(1);
        self.tail.write().reset(up_to);
    }
}
