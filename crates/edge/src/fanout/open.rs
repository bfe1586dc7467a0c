//! One audience that is followed: which shards hold it, and what is remembered of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_bus::Subject;
use tokio_util::task::AbortOnDropHandle;

use super::interner::AudienceInfo;
use super::ring::Ring;

/// One audience that is followed.
pub struct Open {
    /// Which.
    pub info: Arc<AudienceInfo>,
    /// Its log.
    pub subject: Subject,
    /// What is remembered.
    pub ring: Ring,
    holds: Box<[u32]>,
    idle_since: Option<Instant>,
    /// Hears the hints beside the log.
    _hints: Option<AbortOnDropHandle<()>>,
}

impl Open {
    /// Followed after a sequence, held by nobody yet.
    pub fn new(
        info: Arc<AudienceInfo>,
        subject: Subject,
        shards: usize,
        after: u64,
        hints: Option<AbortOnDropHandle<()>>,
    ) -> Self {
        let holds = vec![0; shards].into_boxed_slice();
        Self { info, subject, ring: Ring::new(after), holds, idle_since: Some(Instant::now()), _hints: hints }
    }

    /// The shards that hold it.
    pub fn shards(&self) -> impl Iterator<Item = usize> + '_ {
        self.holds.iter().enumerate().filter(|(_, holds)| **holds > 0).map(|(shard, _)| shard)
    }

    /// One hold more.
    pub fn hold(&mut self, shard: usize) {
        self.holds[shard] += 1;
        self.idle_since = None;
    }

    /// Holds end.
    pub fn release(&mut self, shard: usize, holds: u32) {
        self.holds[shard] = self.holds[shard].saturating_sub(holds);
        if self.holds.iter().all(|holds| *holds == 0) {
            self.idle_since = Some(Instant::now());
        }
    }

    /// Whether nobody has held it for so long.
    pub fn lingered(&self, now: Instant, linger: Duration) -> bool {
        self.idle_since.is_some_and(|since| now.saturating_duration_since(since) >= linger)
    }
}
