//! How often a username may be tried: a bucket of attempts by name, refilled evenly. The address is the edge's
//! affair; this holds where one name is tried from many.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Names remembered; beyond it those that are full again are forgotten, and if none is, the attempt is refused.
const NAMES_MAX: usize = 50_000;
const MINUTE_MS: i64 = 60_000;

/// Attempts by name.
pub(crate) struct Attempts {
    per_minute: i64,
    /// By name, when its bucket would be full again.
    full_at: Mutex<HashMap<String, i64>>,
}

impl Attempts {
    /// So many a minute, as many at once; 0: without limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: i64::from(per_minute), full_at: Mutex::new(HashMap::new()) }
    }

    /// Takes one; the error says how long to wait.
    pub(crate) fn take(&self, name: &str, now_ms: i64) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let one = MINUTE_MS / self.per_minute;
        let mut names = self.full_at.lock();
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            names.retain(|_, full_at| *full_at > now_ms);
            if names.len() >= NAMES_MAX {
                return Err(millis(one));
            }
        }
        let full_at = names.get(name).copied().unwrap_or(0).max(now_ms);
        let wait = full_at + one - now_ms - one * self.per_minute;
        if wait > 0 {
            return Err(millis(wait));
        }
        names.insert(name.to_owned(), full_at + one);
        Ok(())
    }

    /// A success gives all back: who knows the password is not guessing.
    pub(crate) fn forget(&self, name: &str) {
        self.full_at.lock().remove(name);
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let attempts = Attempts::new(6);
        for _ in 0..6 {
            assert_eq!(attempts.take("ann", 1_000), Ok(()));
        }
        assert_eq!(attempts.take("ann", 1_000), Err(Duration::from_secs(10)));
        assert_eq!(attempts.take("ben", 1_000), Ok(()), "another name has its own");
        assert_eq!(attempts.take("ann", 10_999), Err(Duration::from_millis(1)));
        assert_eq!(attempts.take("ann", 11_000), Ok(()));
        assert!(attempts.take("ann", 11_000).is_err());
        attempts.forget("ann");
        assert_eq!(attempts.take("ann", 11_000), Ok(()));
    }

    #[test]
    fn none_is_no_limit_and_memory_is_bounded() {
        assert!((0..1000).all(|_| Attempts::new(0).take("ann", 0).is_ok()));
        let attempts = Attempts::new(60);
        for n in 0..NAMES_MAX {
            attempts.take(&n.to_string(), 1).expect("room");
        }
        assert!(attempts.take("one more", 1).is_err());
        assert!(attempts.take("one more", 5_000).is_ok(), "the others are full again, and forgotten");
        assert!(attempts.full_at.lock().len() <= 1);
    }
}
