//! Keeping no more of each log than its retention says: by age the server forgets by itself, by count it is told to.
//!
//! The stream's own limit would hold for every log alike, and a zone's log must not lose what no checkpoint has. So the
//! counts are looked at now and then, by every process: what one has trimmed the next finds in order.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::Error;
use crate::nats::config::NatsConfig;
use crate::nats::connection::jitter;
use crate::nats::read::Reader;
use crate::registry::Registry;
use crate::settings::Retention;

/// A log is trimmed when it holds this much more than it may, in percent: not for every message.
const EXCESS_PERCENT: u64 = 10;

pub(crate) struct Keeper {
    pub(crate) reader: Arc<Reader>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) config: NatsConfig,
}

/// How many of the oldest messages are too many.
fn excess(count: u64, retention: Retention) -> Option<u64> {
    let most = u64::try_from(retention.messages?).unwrap_or(u64::MAX).max(1);
    let slack = most.saturating_mul(EXCESS_PERCENT) / 100;
    (count > most.saturating_add(slack)).then(|| count - most)
}

impl Keeper {
    pub(crate) async fn run(self) {
        let stop = self.reader.connection.stop.clone();
        let work = async {
            loop {
                tokio::time::sleep(jitter(2 * self.config.maintain_every)).await;
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "the counts of logs could not be looked at");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Looks at every log once.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let subject = format!("STREAM.INFO.{}", self.reader.names.events());
        let mut offset = 0;
        loop {
            let question = json!({"subjects_filter": self.reader.names.everything(), "offset": offset});
            let info = self.reader.connection.demand(&subject, &question, self.reader.deadline).await?;
            let Some(counts) = info["state"]["subjects"].as_object() else { return Ok(()) };
            for (log, count) in counts {
                self.keep(log, count).await?;
            }
            offset += counts.len();
            let total = info["total"].as_u64().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
            if counts.is_empty() || offset >= total {
                return Ok(());
            }
        }
    }

    async fn keep(&self, log: &str, count: &Value) -> Result<(), Error> {
        let Ok((subject, _)) = self.registry.parse(log) else { return Ok(()) };
        let retention = self.config.retention_of(&self.registry, log);
        let Some(excess) = excess(count.as_u64().unwrap_or(0), retention) else { return Ok(()) };
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        if let Some(last) = self.reader.range(log, 0, u64::MAX, excess).await?.last() {
            self.reader.trim(&subject, last.seq).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much() {
        let most = |messages| Retention { messages, age: None };
        for (count, messages, expected) in [
            (10, None, None),
            (10_999, Some(10_000), None),
            (11_000, Some(10_000), None),
            (11_001, Some(10_000), Some(1_001)),
            (3, Some(1), Some(2)),
            (1, Some(0), None),
        ] {
            assert_eq!(excess(count, most(messages)), expected, "{count} of {messages:?}");
        }
    }
}
