//! How the embedded backend is set up.

use std::path::PathBuf;
use std::time::Duration;

/// What is kept of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most this many of the newest messages; `None`: as many as there are.
    pub messages: Option<usize>,
    /// None older than this; `None`: however old.
    pub age: Option<Duration>,
}

impl Retention {
    /// Everything, until it is trimmed.
    pub const UNTIL_TRIMMED: Self = Self { messages: None, age: None };
    /// The last message, for ever: a record of a state.
    pub const LAST: Self = Self { messages: Some(1), age: None };
}

impl Default for Retention {
    /// 10,000 messages and 15 minutes.
    fn default() -> Self {
        Self { messages: Some(10_000), age: Some(Duration::from_secs(15 * 60)) }
    }
}

/// Whether a bucket outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In the durable log: stored before a write returns.
    Durable,
    /// In memory.
    Volatile,
}

/// A bucket of key/value.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// Whether it outlives the process.
    pub keep: Keep,
    /// Most keys; a write of one more is `Overloaded`.
    pub keys_max: usize,
    /// Largest value, in bytes.
    pub value_bytes_max: usize,
}

/// Most keys of a bucket unless it says otherwise: ten for each of 100,000 people.
const BUCKET_KEYS_MAX: usize = 1_000_000;
/// Largest value of a bucket unless it says otherwise.
const BUCKET_VALUE_BYTES_MAX: usize = 64 * 1024;

impl BucketConfig {
    /// A bucket with the usual bounds.
    pub fn new(name: impl Into<String>, keep: Keep) -> Self {
        Self { name: name.into(), keep, keys_max: BUCKET_KEYS_MAX, value_bytes_max: BUCKET_VALUE_BYTES_MAX }
    }
}

/// How the embedded backend is set up.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The folder of the log; made where it is missing. `None`: everything is in memory. The caller sees to it
    /// that no other process has it open.
    pub data: Option<PathBuf>,
    /// What the registry puts before every subject.
    pub prefix: Option<String>,
    /// The buckets there are.
    pub buckets: Vec<BucketConfig>,
    /// What is kept of a log that no rule names.
    pub retention: Retention,
    /// What is kept of the logs of a pattern (without the prefix; `*` is any one token): the first that matches
    /// holds. Dead letters are kept 7 days unless a rule says otherwise.
    pub retention_rules: Vec<(String, Retention)>,
    /// Bytes of recent messages kept in memory for followers; a follower further behind reads the disk.
    pub tail_bytes: usize,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// How often the writer looks for what has expired and what is worth compacting.
    pub maintain_every: Duration,
    /// Commits that may wait for the writer; a caller waits for a place, and is refused after
    /// `commit_wait`.
    pub commit_queue: usize,
    /// How long a caller waits for a place in the writer's queue.
    pub commit_wait: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            data: None,
            prefix: None,
            buckets: Vec::new(),
            retention: Retention::default(),
            retention_rules: Vec::new(),
            // A second or more of a saturated world, minutes of a busy one: 25,000 lines of 300 bytes.
            tail_bytes: 8 * 1024 * 1024,
            // Small enough that what has expired is freed soon, large enough that rolling is rare.
            segment_bytes: 16 * 1024 * 1024,
            maintain_every: Duration::from_secs(1),
            // More than one commit a zone for a thousand zones.
            commit_queue: 4_096,
            commit_wait: Duration::from_secs(5),
        }
    }
}

impl EmbeddedConfig {
    /// The same, with one more bucket.
    #[must_use]
    pub fn bucket(mut self, name: &str, keep: Keep) -> Self {
        self.buckets.push(BucketConfig::new(name, keep));
        self
    }

    /// The same, with one more rule of retention.
    #[must_use]
    pub fn retain(mut self, pattern: &str, retention: Retention) -> Self {
        self.retention_rules.push((pattern.to_owned(), retention));
        self
    }
}
