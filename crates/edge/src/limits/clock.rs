//! The time that limits are counted by: the machine's, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    started_unix_ms: u64,
}

#[derive(Clone)]
enum Source {
    System(Instant),
    Manual(Arc<AtomicU64>),
}

/// The hand that moves a manual clock.
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        Self { source: Source::System(Instant::now()), started_unix_ms }
    }

    /// A clock that stands still until it is moved.
    pub fn manual() -> (Self, ManualClock) {
        let nanos = Arc::new(AtomicU64::new(0));
        let clock = Self { source: Source::Manual(Arc::clone(&nanos)), started_unix_ms: 0 };
        (clock, ManualClock(nanos))
    }

    /// Time since the clock was made.
    pub fn now(&self) -> Duration {
        match &self.source {
            Source::System(started) => started.elapsed(),
            Source::Manual(nanos) => Duration::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }

    /// A moment of this clock as Unix milliseconds.
    pub fn unix_ms(&self, moment: Duration) -> u64 {
        self.started_unix_ms.saturating_add(u64::try_from(moment.as_millis()).unwrap_or(u64::MAX))
    }
}

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).expect("a test moves the clock by less than 500 years");
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}
