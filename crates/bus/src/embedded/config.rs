//! How the embedded backend is set up.

use std::path::PathBuf;
use std::time::Duration;

use crate::settings::{BucketConfig, Keep, Retention};

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
    /// Bytes of recent messages kept in memory for followers; a follower further behind reads the disk. What is younger than
    /// a second may take three times as much.
    pub tail_bytes: usize,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// How often the writer looks for what has expired and what is worth compacting.
    pub maintain_every: Duration,
    /// How long after opening nothing is forgotten by its age: a reader that was behind when the process stopped, and did
    /// not run since, reads on from its place.
    pub forget_after: Duration,
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
            // Readers are a fraction of a second behind, and begin within seconds.
            forget_after: Duration::from_secs(60),
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
