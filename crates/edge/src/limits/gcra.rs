//! The generic cell rate algorithm over a bounded table: a burst, then a steady rate, one number a key.
//!
//! Written here rather than taken from a crate because of the bound: a full table of keys that are all still being
//! counted refuses the newcomer instead of growing, which is what an attacker with many addresses meets.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Keys that nothing is counted for any more are looked for after so many checks that added one.
const PRUNE_EVERY: usize = 4096;
/// What a newcomer to a full table is told to wait: half of it has been forgotten by then.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    tolerance: Duration,
}

impl Rate {
    /// `count` a minute, `burst` of them at once (0: all of them). `None` where `count` is 0: no limit.
    pub fn per_minute(count: u32, burst: u32) -> Option<Self> {
        let interval = Duration::from_secs(60).checked_div(count)?;
        let burst = if burst == 0 { count } else { burst };
        Some(Self { interval, tolerance: interval.saturating_mul(burst - 1) })
    }

    /// Checks one event against the time at which everything so far is paid for; moves that time if it passes.
    fn check(self, paid_at: &mut Duration, now: Duration) -> Result<(), Duration> {
        let wait = paid_at.saturating_sub(now.saturating_add(self.tolerance));
        if wait.is_zero() {
            *paid_at = (*paid_at).max(now).saturating_add(self.interval);
            Ok(())
        } else {
            Err(wait)
        }
    }
}

/// A rate for each of many keys.
pub struct Keyed<K> {
    rate: Rate,
    paid_at: HashMap<K, Duration>,
    max: usize,
    added: usize,
}

impl<K: Hash + Eq> Keyed<K> {
    /// A rate for each of at most `max` keys at once.
    pub fn new(rate: Rate, max: usize) -> Self {
        Self { rate, paid_at: HashMap::new(), max, added: 0 }
    }

    /// One event of a key: passes, or the time to wait.
    pub fn check(&mut self, key: K, now: Duration) -> Result<(), Duration> {
        if let Some(paid_at) = self.paid_at.get_mut(&key) {
            return self.rate.check(paid_at, now);
        }
        self.added += 1;
        if self.added >= PRUNE_EVERY || self.paid_at.len() >= self.max {
            self.prune(now);
        }
        if self.paid_at.len() >= self.max {
            return Err(FULL_RETRY);
        }
        let mut paid_at = now;
        let checked = self.rate.check(&mut paid_at, now);
        self.paid_at.insert(key, paid_at);
        checked
    }

    fn prune(&mut self, now: Duration) {
        self.added = 0;
        self.paid_at.retain(|_, paid_at| *paid_at > now);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.paid_at.len()
    }
}
