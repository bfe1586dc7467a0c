//! Whether a failed call is made again, and when: exponential with full jitter, inside the deadline, within a budget, and
//! only where the error says that it can help.

use std::time::{Duration, Instant};

use crate::error::ErrorKind;
use crate::resilience::budget::Budget;

/// How calls are repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConfig {
    /// The pause before the second try is drawn between nothing and this; it doubles with each try.
    pub first: Duration,
    /// No pause is drawn from more than this.
    pub most: Duration,
    /// Tries of one call, the first one included.
    pub attempts: u32,
    /// Retries may be this share of the calls within `budget_window`, in percent.
    pub budget_percent: u32,
    /// The window of the budget.
    pub budget_window: Duration,
    /// Retries that are allowed within the window in any case: a process that calls seldom may repeat too.
    pub budget_least: u32,
    /// How long a call repeats while a stream chooses its leader ("no responders", "not leader", or silence where the
    /// repeat is stored once): the store's own protocol, no failure.
    pub settle_for: Duration,
    /// The pause of such a repeat is drawn between nothing and this; it grows by as much each time, to four times it.
    pub settle_pause: Duration,
}

impl Default for RetryConfig {
    /// 1 s doubling to 16 s, 5 attempts, 10 % of the calls over 10 s; 15 s for a stream to choose its leader.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(16),
            attempts: 5,
            budget_percent: 10,
            budget_window: Duration::from_secs(10),
            budget_least: 10,
            settle_for: Duration::from_secs(15),
            settle_pause: Duration::from_millis(250),
        }
    }
}

impl RetryConfig {
    pub(crate) fn check(&self, wrong: &mut Vec<String>) {
        if self.attempts == 0 {
            wrong.push("retry.attempts is 0: 1 is one try and no repeat".to_owned());
        }
        if self.first > self.most {
            wrong.push(format!("retry.first is {:?}: at most retry.most, {:?}", self.first, self.most));
        }
        if self.budget_percent > 100 {
            wrong.push(format!("retry.budget_percent is {}: at most 100", self.budget_percent));
        }
        if self.budget_window.is_zero() {
            wrong.push("retry.budget_window is nothing: a second or more is usual".to_owned());
        }
        if self.settle_pause.is_zero() {
            wrong.push("retry.settle_pause is nothing: repeats would not pause".to_owned());
        }
    }
}

/// Whether a call may arrive twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// It is idempotent, or carries a key by which the receiver knows a repeat.
    Always,
    /// Only what surely was not received is sent again.
    UnlessReceived,
}

/// What went wrong with one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The destination chooses its leader; a repeat is part of its protocol.
    Settling,
    /// It failed in this way.
    Failed(ErrorKind),
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another try after this pause.
    After(Duration),
    /// No more, for this reason.
    GiveUp(Why),
}

/// Why a call is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The same call would fail in the same way, or the one who is overloaded would be more so.
    NoHelp,
    /// It may have been received, and may not arrive twice.
    Received,
    /// It was tried as often as it may be.
    Attempts,
    /// The pause would end after the deadline.
    Deadline,
    /// Retries are too large a share of the calls already.
    Budget,
}

impl Why {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoHelp => "no_help",
            Self::Received => "received",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

/// Whether a repeat can help after an error of this kind, of a call that may arrive twice or not. An overloaded
/// destination is not asked again by the bus: its caller is told at once, and when to come back.
pub fn can_help(kind: ErrorKind, repeats: Repeats) -> Result<(), Why> {
    match kind {
        ErrorKind::Connection | ErrorKind::NoResponders | ErrorKind::HealthCheck => Ok(()),
        ErrorKind::Timeout | ErrorKind::Storage if repeats == Repeats::Always => Ok(()),
        ErrorKind::Timeout | ErrorKind::Storage => Err(Why::Received),
        _ => Err(Why::NoHelp),
    }
}

/// One call's tries. Pure: the time, a random number and the budget are passed in.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tidings_bus::ErrorKind;
/// use tidings_bus::resilience::budget::Budget;
/// use tidings_bus::resilience::retry::{Repeats, Retry, RetryConfig, Trouble, Verdict, Why};
///
/// let now = Instant::now();
/// let config = RetryConfig::default();
/// let mut budget = Budget::new(10, Duration::from_secs(10), 5, now);
/// let mut retry = Retry::new(&config, Repeats::UnlessReceived, Duration::from_secs(30), now);
/// let unheard = Trouble::Failed(ErrorKind::NoResponders);
/// assert_eq!(retry.after(unheard, now, 0.5, &mut budget), Verdict::After(Duration::from_millis(500)));
/// let lost = Trouble::Failed(ErrorKind::Timeout);
/// assert_eq!(retry.after(lost, now, 0.5, &mut budget), Verdict::GiveUp(Why::Received));
/// ```
#[derive(Debug, Clone)]
pub struct Retry {
    config: RetryConfig,
    repeats: Repeats,
    begun: Instant,
    until: Instant,
    failed: u32,
    settling: u32,
}

/// No deadline is longer: far beyond any, and a clock can add it.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Retry {
    /// A call that begins now.
    pub fn new(config: &RetryConfig, repeats: Repeats, deadline: Duration, now: Instant) -> Self {
        let until = now + deadline.min(DEADLINE_MAX);
        Self { config: config.clone(), repeats, begun: now, until, failed: 0, settling: 0 }
    }

    /// What is left of the deadline.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// When the deadline is.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Whether the call may arrive twice.
    pub fn repeats(&self) -> Repeats {
        self.repeats
    }

    /// What follows from a try that failed; `draw` is random, from 0 to 1.
    pub fn after(&mut self, trouble: Trouble, now: Instant, draw: f64, budget: &mut Budget) -> Verdict {
        let kind = match trouble {
            Trouble::Settling if now.saturating_duration_since(self.begun) < self.config.settle_for => {
                self.settling = (self.settling + 1).min(4);
                return self.within(self.config.settle_pause * self.settling, now, draw);
            }
            Trouble::Settling => ErrorKind::NoResponders,
            Trouble::Failed(kind) => kind,
        };
        if let Err(why) = can_help(kind, self.repeats) {
            return Verdict::GiveUp(why);
        }
        self.failed += 1;
        if self.failed >= self.config.attempts {
            return Verdict::GiveUp(Why::Attempts);
        }
        let doubled =
            2_u32.checked_pow(self.failed - 1).and_then(|times| self.config.first.checked_mul(times));
        let verdict =
            self.within(doubled.map_or(self.config.most, |most| most.min(self.config.most)), now, draw);
        if matches!(verdict, Verdict::After(_)) && !budget.take(now) {
            return Verdict::GiveUp(Why::Budget);
        }
        verdict
    }

    /// A pause drawn between nothing and `most`, where it ends before the deadline.
    fn within(&self, most: Duration, now: Instant, draw: f64) -> Verdict {
        let pause = most.mul_f64(draw.clamp(0.0, 1.0));
        if now + pause >= self.until { Verdict::GiveUp(Why::Deadline) } else { Verdict::After(pause) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn ample(now: Instant) -> Budget {
        Budget::new(100, Duration::from_secs(10), 1_000, now)
    }

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn only_where_it_can_help() {
        for (kind, unless_received, always) in [
            (ErrorKind::Connection, Ok(()), Ok(())),
            (ErrorKind::NoResponders, Ok(()), Ok(())),
            (ErrorKind::Timeout, Err(Why::Received), Ok(())),
            (ErrorKind::Storage, Err(Why::Received), Ok(())),
            (ErrorKind::Overloaded, Err(Why::NoHelp), Err(Why::NoHelp)),
            (ErrorKind::CircuitOpen, Err(Why::NoHelp), Err(Why::NoHelp)),
            (ErrorKind::Schema, Err(Why::NoHelp), Err(Why::NoHelp)),
            (ErrorKind::Fenced, Err(Why::NoHelp), Err(Why::NoHelp)),
            (ErrorKind::Closed, Err(Why::NoHelp), Err(Why::NoHelp)),
        ] {
            assert_eq!(can_help(kind, Repeats::UnlessReceived), unless_received, "{kind:?}");
            assert_eq!(can_help(kind, Repeats::Always), always, "{kind:?}, idempotent");
        }
    }

    #[test]
    fn pauses_double_to_the_cap_and_attempts_end() {
        let now = Instant::now();
        let config = RetryConfig { attempts: 7, ..RetryConfig::default() };
        let mut retry = Retry::new(&config, Repeats::Always, HOUR, now);
        let failed = Trouble::Failed(ErrorKind::Timeout);
        let pauses: Vec<_> = (0..7).map(|_| retry.after(failed, now, 1.0, &mut ample(now))).collect();
        let mut expected: Vec<_> =
            [1_000, 2_000, 4_000, 8_000, 16_000, 16_000].map(|pause| Verdict::After(ms(pause))).to_vec();
        expected.push(Verdict::GiveUp(Why::Attempts));
        assert_eq!(pauses, expected);
    }

    #[test]
    fn five_tries_by_default() {
        let now = Instant::now();
        let mut retry = Retry::new(&RetryConfig::default(), Repeats::Always, HOUR, now);
        let failed = Trouble::Failed(ErrorKind::NoResponders);
        let again = (0..10)
            .take_while(|_| matches!(retry.after(failed, now, 0.0, &mut ample(now)), Verdict::After(_)));
        assert_eq!(again.count(), 4);
    }

    #[test]
    fn the_deadline_and_the_budget_end_it() {
        let now = Instant::now();
        let failed = Trouble::Failed(ErrorKind::NoResponders);
        let mut retry = Retry::new(&RetryConfig::default(), Repeats::Always, ms(400), now);
        assert_eq!(retry.after(failed, now, 0.4, &mut ample(now)), Verdict::GiveUp(Why::Deadline));
        let mut retry = Retry::new(&RetryConfig::default(), Repeats::Always, ms(400), now);
        assert_eq!(retry.after(failed, now, 0.3, &mut ample(now)), Verdict::After(ms(300)));
        let mut none = Budget::new(10, Duration::from_secs(10), 0, now);
        let mut retry = Retry::new(&RetryConfig::default(), Repeats::Always, HOUR, now);
        assert_eq!(retry.after(failed, now, 0.3, &mut none), Verdict::GiveUp(Why::Budget));
    }

    #[test]
    fn a_stream_that_settles_costs_neither_attempts_nor_budget() {
        let begun = Instant::now();
        let mut none = Budget::new(10, Duration::from_secs(10), 0, begun);
        let mut retry = Retry::new(&RetryConfig::default(), Repeats::Always, HOUR, begun);
        for (second, most) in [(0, 250), (1, 500), (2, 750), (3, 1_000), (4, 1_000), (14, 1_000)] {
            let now = begun + Duration::from_secs(second);
            assert_eq!(retry.after(Trouble::Settling, now, 1.0, &mut none), Verdict::After(ms(most)));
        }
        let now = begun + Duration::from_secs(15);
        assert_eq!(
            retry.after(Trouble::Settling, now, 1.0, &mut none),
            Verdict::GiveUp(Why::Budget),
            "after 15 s it is a failure like any other"
        );
        assert_eq!(retry.after(Trouble::Settling, now, 1.0, &mut ample(now)), Verdict::After(ms(2_000)));
    }

    proptest! {
        #[test]
        fn never_beyond_the_deadline_and_never_more_than_drawn(
            deadline in 0_u64..60_000,
            draws in prop::collection::vec((0.0..1.0_f64, any::<bool>(), 0_u64..3_000), 1..60),
        ) {
            let begun = Instant::now();
            let config = RetryConfig::default();
            let mut retry = Retry::new(&config, Repeats::Always, ms(deadline), begun);
            let mut now = begun;
            let mut failures = 0;
            for (draw, settling, took) in draws {
                now += ms(took);
                let trouble = if settling { Trouble::Settling } else { Trouble::Failed(ErrorKind::Timeout) };
                match retry.after(trouble, now, draw, &mut ample(now)) {
                    Verdict::After(pause) => {
                        prop_assert!(now + pause < begun + ms(deadline));
                        prop_assert!(pause <= config.most);
                        now += pause;
                        failures += u32::from(!settling);
                        prop_assert!(failures < config.attempts);
                    }
                    Verdict::GiveUp(_) => break,
                }
            }
        }
    }
}
