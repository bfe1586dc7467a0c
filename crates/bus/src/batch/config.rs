//! How batches are made, sent again, and kept.

use std::time::Duration;

/// How batches are made, sent again, and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchConfig {
    /// So many messages are sent without waiting for more; no group has more.
    pub messages: usize,
    /// So many bytes likewise.
    pub bytes: usize,
    /// How long a message waits for others.
    pub wait: Duration,
    /// The pauses after a group's failures; after one more it is parked on disk. There is no other retry below.
    pub retries: Vec<Duration>,
    /// Messages in memory: one more is `Overloaded`.
    pub pending_messages: usize,
    /// Their bytes: more are `Overloaded`.
    pub pending_bytes: usize,
    /// How often what is on disk is tried, beside each reconnect and command: a stream may fail while the connection stays.
    pub recover_every: Duration,
    /// Groups on their way at once, each of another subject.
    pub sends: usize,
    /// Bytes of groups on disk. Beyond it they stay in memory, and are tried from there.
    pub failed_bytes: u64,
    /// Bytes of messages on disk that were refused for good. Beyond it they hold their subject.
    pub refused_bytes: u64,
}

/// Messages of one batch.
const BATCH_MESSAGES_DEFAULT: usize = 100;
/// Bytes of one batch: well below what a NATS server takes as one message by default.
const BATCH_BYTES_DEFAULT: usize = 256 * 1024;
/// Messages in memory: a second of a busy writer's while its destination is away, before the disk takes them.
const PENDING_DEFAULT: usize = 10_000;
/// Their bytes.
const PENDING_BYTES_DEFAULT: usize = 16 * 1024 * 1024;
/// Groups on their way at once: as many as open batches of one process, with room for others.
const SENDS_DEFAULT: usize = 8;
/// Bytes of the failed-batch queue: an hour of a hundred messages a second.
const FAILED_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Bytes of messages refused for good: thousands of common ones, since each is somebody's to look at.
const REFUSED_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;

impl Default for BatchConfig {
    /// 100 messages, 256 KiB or 50 ms; again after 100, 200, 400 ms.
    fn default() -> Self {
        Self {
            messages: BATCH_MESSAGES_DEFAULT,
            bytes: BATCH_BYTES_DEFAULT,
            wait: Duration::from_millis(50),
            retries: [100, 200, 400].map(Duration::from_millis).to_vec(),
            pending_messages: PENDING_DEFAULT,
            pending_bytes: PENDING_BYTES_DEFAULT,
            recover_every: Duration::from_secs(30),
            sends: SENDS_DEFAULT,
            failed_bytes: FAILED_BYTES_DEFAULT,
            refused_bytes: REFUSED_BYTES_DEFAULT,
        }
    }
}

impl BatchConfig {
    pub(crate) fn check(&self, wrong: &mut Vec<String>) {
        let least_one = [
            ("messages", self.messages),
            ("bytes", self.bytes),
            ("pending_messages", self.pending_messages),
            ("pending_bytes", self.pending_bytes),
            ("sends", self.sends),
        ];
        for (name, value) in least_one {
            if value == 0 {
                wrong.push(format!("batch.{name} is 0: 1 or more"));
            }
        }
        if self.recover_every.is_zero() {
            wrong.push("batch.recover_every is nothing: some seconds or more".to_owned());
        }
        if self.messages > crate::bus::COMMIT_MESSAGES_MAX {
            let most = crate::bus::COMMIT_MESSAGES_MAX;
            wrong.push(format!("batch.messages is {}: at most {most}", self.messages));
        }
    }
}
