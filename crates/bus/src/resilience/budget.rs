//! A budget of retries: a share of the calls of the last seconds, so that repeats cannot multiply a load that is too much
//! already.

use std::time::{Duration, Instant};

/// Parts of the window: the oldest is forgotten as a whole.
const PARTS: usize = 10;

/// Counts calls and retries of a sliding window, and says whether one more retry fits.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tidings_bus::resilience::budget::Budget;
///
/// let now = Instant::now();
/// let mut budget = Budget::new(10, Duration::from_secs(10), 0, now);
/// (0..20).for_each(|_| budget.call(now));
/// assert!(budget.take(now) && budget.take(now), "10 % of 20 calls");
/// assert!(!budget.take(now));
/// ```
#[derive(Debug, Clone)]
pub struct Budget {
    percent: u32,
    least: u32,
    part: Duration,
    begun: Instant,
    /// The number of the newest part.
    newest: u128,
    parts: [(u64, u64); PARTS],
    calls: u64,
    retries: u64,
}

impl Budget {
    /// Retries of at most `percent` of the calls within `window`, and `least` in any case: a process that calls
    /// seldom may repeat too.
    pub fn new(percent: u32, window: Duration, least: u32, now: Instant) -> Self {
        let part = (window / PARTS as u32).max(Duration::from_millis(1));
        Self { percent, least, part, begun: now, newest: 0, parts: [(0, 0); PARTS], calls: 0, retries: 0 }
    }

    /// A call is made, whatever becomes of it.
    pub fn call(&mut self, now: Instant) {
        let place = self.pass_time(now);
        self.parts[place].0 += 1;
        self.calls += 1;
    }

    /// Takes one retry, where one is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let place = self.pass_time(now);
        let share = self.calls.saturating_mul(u64::from(self.percent)) / 100;
        if self.retries >= share.max(u64::from(self.least)) {
            return false;
        }
        self.parts[place].1 += 1;
        self.retries += 1;
        true
    }

    /// Forgets what has left the window; the place of the part that is now.
    fn pass_time(&mut self, now: Instant) -> usize {
        let number = now.saturating_duration_since(self.begun).as_nanos() / self.part.as_nanos();
        let passed = usize::try_from(number.saturating_sub(self.newest)).unwrap_or(PARTS).min(PARTS);
        for step in 1..=passed as u128 {
            let (calls, retries) = std::mem::take(&mut self.parts[place_of(self.newest + step)]);
            self.calls -= calls;
            self.retries -= retries;
        }
        self.newest = self.newest.max(number);
        if passed == PARTS {
            self.parts = [(0, 0); PARTS];
            (self.calls, self.retries) = (0, 0);
        }
        place_of(self.newest)
    }
}

fn place_of(number: u128) -> usize {
    usize::try_from(number % PARTS as u128).expect("a remainder by ten")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_of_the_calls_and_a_few_in_any_case() {
        let now = Instant::now();
        for (percent, least, calls, expected) in
            [(10, 0, 9, 0), (10, 0, 10, 1), (10, 3, 10, 3), (10, 3, 100, 10), (0, 0, 100, 0), (100, 0, 7, 7)]
        {
            let mut budget = Budget::new(percent, Duration::from_secs(10), least, now);
            (0..calls).for_each(|_| budget.call(now));
            let taken = (0..200).filter(|_| budget.take(now)).count();
            assert_eq!(taken, expected, "{percent} % of {calls}, {least} at least");
        }
    }

    #[test]
    fn what_is_past_counts_no_more() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut budget = Budget::new(10, Duration::from_secs(10), 0, now);
        (0..10).for_each(|_| budget.call(now));
        assert!(budget.take(at(500)));
        assert!(!budget.take(at(9_900)), "still within the window");
        assert!(!budget.take(at(10_000)), "the calls are past too");
        (0..10).for_each(|_| budget.call(at(11_000)));
        assert!(budget.take(at(11_000)));
        assert!(!budget.take(at(1_000_000)));
    }

    proptest! {
        #[test]
        fn never_more_than_its_share(steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..300)) {
            let begun = Instant::now();
            let window = Duration::from_secs(10);
            let mut budget = Budget::new(10, window, 2, begun);
            let (mut now, mut calls, mut retries) = (begun, Vec::new(), Vec::new());
            for (wait, is_call) in steps {
                now += Duration::from_millis(wait);
                if is_call {
                    budget.call(now);
                    calls.push(now);
                } else if budget.take(now) {
                    retries.push(now);
                }
                let within = |times: &[Instant], span: Duration| {
                    times.iter().filter(|at| now.duration_since(**at) < span).count()
                };
                // The window moves by parts: retries are counted in the shorter one, calls in the longer.
                let allowed = (within(&calls, window) / 10).max(2);
                prop_assert!(within(&retries, window - window / 10) <= allowed.max(2) + usize::from(!is_call));
            }
        }
    }
}
