//! Those who go on after a refusal: warned, then delayed, then closed.
//!
//! Refusals within a second are one breach, so that a client which sends a burst too large is warned once and no
//! more. A second breach within a minute delays: nothing passes for two seconds. A third closes. A flood within
//! one breach counts as breaches too, by its number.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Breaches are forgotten after this time: "repeated within a minute".
const WINDOW: Duration = Duration::from_secs(60);
/// Refusals closer together than this are one breach.
const BREACH_SPACING: Duration = Duration::from_secs(1);
/// How long nothing passes after a second breach.
const DELAY: Duration = Duration::from_secs(2);
/// Refusals in one breach that make another: this many bursts. No client that waits for replies gets there.
pub const FLOOD_BURSTS: u32 = 5;

/// What one more refusal leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// An error that says when to try again.
    Warned,
    /// The same, and nothing passes for this long.
    Delayed(Duration),
    /// The end of the connection.
    Closed,
}

struct Offender {
    first: Duration,
    breach: Duration,
    breaches: u32,
    refused: u32,
    delayed_until: Duration,
}

/// Offenders by key, bounded.
pub struct Offenders<K> {
    flood: u32,
    max: usize,
    by_key: HashMap<K, Offender>,
}

impl<K: Hash + Eq> Offenders<K> {
    /// At most `max` at once; `flood` refusals in one breach are another breach.
    pub fn new(flood: u32, max: usize) -> Self {
        Self { flood, max, by_key: HashMap::new() }
    }

    /// How much longer nothing of this key passes.
    pub fn delayed(&self, key: &K, now: Duration) -> Option<Duration> {
        let left = self.by_key.get(key)?.delayed_until.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// Something of this key was refused.
    pub fn refused(&mut self, key: K, now: Duration) -> Stage {
        if self.by_key.len() >= self.max {
            self.by_key.retain(|_, known| now.saturating_sub(known.first) < WINDOW);
        }
        if self.by_key.len() >= self.max && !self.by_key.contains_key(&key) {
            return Stage::Warned;
        }
        let fresh =
            Offender { first: now, breach: now, breaches: 1, refused: 0, delayed_until: Duration::ZERO };
        let known = self.by_key.entry(key).or_insert(fresh);
        if now.saturating_sub(known.first) >= WINDOW {
            *known =
                Offender { first: now, breach: now, breaches: 1, refused: 0, delayed_until: Duration::ZERO };
        }
        known.refused += 1;
        if now.saturating_sub(known.breach) >= BREACH_SPACING || known.refused > self.flood {
            (known.breach, known.refused) = (now, 1);
            known.breaches += 1;
            known.delayed_until = now + DELAY;
        }
        match known.breaches {
            1 => Stage::Warned,
            2 => Stage::Delayed(known.delayed_until.saturating_sub(now)),
            _ => {
                known.breaches = 1; // who comes back at once and goes on is not warned again
                Stage::Closed
            }
        }
    }
}
