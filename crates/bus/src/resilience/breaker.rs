//! A circuit breaker: a destination that fails is left alone for a while, then tried by one call at a time.
//!
//! ```text
//! closed --(5 failures in a row, or 50 % of 20 in 30 s)--> open --(1 s, doubling to 60 s)--> half-open
//! half-open --(a probe fails)--> open        half-open --(2 probes answered)--> closed
//! ```
//!
//! Nothing but time leads out of `open`: the circuit closes by itself once calls come and are answered.

use std::time::{Duration, Instant};

/// When a circuit opens, and how it closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures one after the other open it.
    pub in_a_row: u32,
    /// So many percent of the calls within `window` that failed open it, too.
    pub percent: u32,
    /// But only of so many calls or more.
    pub of: u32,
    /// The window of that share.
    pub window: Duration,
    /// How long it stays open the first time; it doubles with each probe that fails.
    pub open_first: Duration,
    /// How long it stays open at most.
    pub open_most: Duration,
    /// So many probes answered one after the other close it.
    pub successes: u32,
    /// For so long answers of a stream that chooses its leader are no failures.
    pub settle_for: Duration,
    /// Destinations known at once; of more, those without anything to remember and without a call under way are forgotten.
    pub destinations: usize,
}

/// Destinations a process knows at once: every stream, and every subject of a service in use, many times over.
const DESTINATIONS_DEFAULT: usize = 4_096;

impl Default for BreakerConfig {
    /// 5 in a row or 50 % of 20 in 30 s; open 1 s doubling to 60 s; 2 successes close; 15 s to choose a leader.
    fn default() -> Self {
        Self {
            in_a_row: 5,
            percent: 50,
            of: 20,
            window: Duration::from_secs(30),
            open_first: Duration::from_secs(1),
            open_most: Duration::from_secs(60),
            successes: 2,
            settle_for: Duration::from_secs(15),
            destinations: DESTINATIONS_DEFAULT,
        }
    }
}

impl BreakerConfig {
    pub(crate) fn check(&self, wrong: &mut Vec<String>) {
        for (name, value) in [("in_a_row", self.in_a_row), ("of", self.of), ("successes", self.successes)] {
            if value == 0 {
                wrong.push(format!("breaker.{name} is 0: 1 or more"));
            }
        }
        if !(1..=100).contains(&self.percent) {
            wrong.push(format!("breaker.percent is {}: 1 to 100", self.percent));
        }
        if self.window.is_zero() {
            wrong.push("breaker.window is nothing: a second or more is usual".to_owned());
        }
        if self.open_first.is_zero() || self.open_first > self.open_most {
            let Self { open_first, open_most, .. } = self;
            wrong.push(format!(
                "breaker.open_first is {open_first:?}: more than nothing, at most breaker.open_most, {open_most:?}"
            ));
        }
        if self.destinations == 0 {
            wrong.push("breaker.destinations is 0: 1 or more".to_owned());
        }
    }
}

/// What a call says of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, be it with a refusal: it works.
    Answered,
    /// It failed.
    Failed,
    /// It chooses its leader: a failure only if that takes too long.
    Settling,
    /// The call says nothing of it: it was not sent, or was given up by its caller.
    Unknown,
}

/// Where a circuit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call at a time passes, to probe.
    HalfOpen,
}

impl Phase {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Whether a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Go,
    /// It may, as the one that probes: its outcome has to be reported.
    Probe,
    /// Not before this time has passed.
    Refused(Duration),
}

/// Parts of the window: the oldest is forgotten as a whole.
const PARTS: u32 = 10;

/// Calls and failures of one part of the window.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    number: u64,
    calls: u32,
    failures: u32,
}

/// The circuit of one destination. Pure: the time is passed in.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tidings_bus::resilience::breaker::{Admission, Breaker, BreakerConfig, Outcome};
///
/// let (config, now) = (BreakerConfig::default(), Instant::now());
/// let mut breaker = Breaker::new(now);
/// for _ in 0..5 {
///     assert_eq!(breaker.admit(&config, now), Admission::Go);
///     breaker.report(&config, Outcome::Failed, false, now);
/// }
/// assert_eq!(breaker.admit(&config, now), Admission::Refused(Duration::from_secs(1)));
/// let later = now + Duration::from_secs(1);
/// assert_eq!(breaker.admit(&config, later), Admission::Probe);
/// assert!(matches!(breaker.admit(&config, later), Admission::Refused(_)), "one at a time");
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    phase: Phase,
    begun: Instant,
    parts: [Part; PARTS as usize],
    in_a_row: u32,
    open_until: Instant,
    /// How long it was open the last time.
    open_for: Duration,
    probing: bool,
    successes: u32,
    settling_since: Option<Instant>,
    settled_last: Instant,
    used: Instant,
}

impl Breaker {
    /// A closed circuit.
    pub fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Closed,
            begun: now,
            parts: [Part::default(); PARTS as usize],
            in_a_row: 0,
            open_until: now,
            open_for: Duration::ZERO,
            probing: false,
            successes: 0,
            settling_since: None,
            settled_last: now,
            used: now,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When it was last used.
    pub fn used(&self) -> Instant {
        self.used
    }

    /// How long until a call may probe.
    pub fn open_for(&self, now: Instant) -> Duration {
        if self.phase == Phase::Open {
            self.open_until.saturating_duration_since(now)
        } else {
            Duration::ZERO
        }
    }

    /// Whether a call may go.
    pub fn admit(&mut self, config: &BreakerConfig, now: Instant) -> Admission {
        self.used = now;
        match self.phase {
            Phase::Closed => return Admission::Go,
            Phase::Open if now < self.open_until => {
                return Admission::Refused(self.open_until.duration_since(now));
            }
            Phase::Open => {
                self.phase = Phase::HalfOpen;
                (self.successes, self.probing) = (0, false);
            }
            Phase::HalfOpen => {}
        }
        if self.probing {
            return Admission::Refused(config.open_first);
        }
        self.probing = true;
        Admission::Probe
    }

    /// What became of a call; `probe` as it was admitted. Calls that began before the circuit opened say nothing
    /// afterwards.
    pub fn report(&mut self, config: &BreakerConfig, outcome: Outcome, probe: bool, now: Instant) {
        let failed = match outcome {
            Outcome::Answered => false,
            Outcome::Failed => true,
            Outcome::Settling => self.has_settled_too_long(config, now),
            Outcome::Unknown => false,
        };
        if outcome == Outcome::Answered {
            self.settling_since = None;
        }
        let counts = failed || outcome == Outcome::Answered;
        match self.phase {
            Phase::Closed if counts => self.count(config, failed, now),
            Phase::HalfOpen if probe => {
                self.probing = false;
                if failed {
                    self.open(config, now);
                } else if counts {
                    self.successes += 1;
                    if self.successes >= config.successes {
                        let used = self.used;
                        *self = Self { used, ..Self::new(now) };
                    }
                }
            }
            _ => {}
        }
    }

    /// The reason may be gone: the next call may probe at once.
    pub fn probe_now(&mut self, now: Instant) {
        if self.phase == Phase::Open {
            self.open_until = self.open_until.min(now);
        }
    }

    /// Whether it remembers anything: one that does not may be forgotten.
    pub fn is_blank(&self, config: &BreakerConfig, now: Instant) -> bool {
        self.phase == Phase::Closed && now.saturating_duration_since(self.used) >= config.window
    }

    fn has_settled_too_long(&mut self, config: &BreakerConfig, now: Instant) -> bool {
        // Long ago is another story.
        if now.saturating_duration_since(self.settled_last) > config.settle_for {
            self.settling_since = None;
        }
        self.settled_last = now;
        let since = *self.settling_since.get_or_insert(now);
        now.saturating_duration_since(since) >= config.settle_for
    }

    fn count(&mut self, config: &BreakerConfig, failed: bool, now: Instant) {
        let length = (config.window / PARTS).max(Duration::from_millis(1)).as_nanos();
        let number = now.saturating_duration_since(self.begun).as_nanos() / length;
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let place = usize::try_from(number % u64::from(PARTS)).expect("a remainder by ten");
        if self.parts[place].number != number {
            self.parts[place] = Part { number, ..Part::default() };
        }
        self.parts[place].calls += 1;
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        if !failed {
            return;
        }
        self.parts[place].failures += 1;
        let recent = self.parts.iter().filter(|part| part.number + u64::from(PARTS) > number);
        let (calls, failures) = recent
            .fold((0_u64, 0_u64), |(c, f), part| (c + u64::from(part.calls), f + u64::from(part.failures)));
        let share = calls >= u64::from(config.of) && failures * 100 >= calls * u64::from(config.percent);
        if share || self.in_a_row >= config.in_a_row {
            self.open(config, now);
        }
    }

    fn open(&mut self, config: &BreakerConfig, now: Instant) {
        self.open_for = (self.open_for * 2).clamp(config.open_first, config.open_most);
        self.open_until = now + self.open_for;
        self.phase = Phase::Open;
        self.parts = [Part::default(); PARTS as usize];
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays a story: `a`nswered, `f`ailed, `s`ettling, `u`nknown, a digit: so many seconds pass. Tells what each call met:
    /// `.` passed, `p` as a probe, `!` refused.
    fn play(story: &str) -> String {
        let config = BreakerConfig::default();
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now);
        let mut met = String::new();
        for step in story.chars() {
            let outcome = match step {
                'a' => Outcome::Answered,
                'f' => Outcome::Failed,
                's' => Outcome::Settling,
                'u' => Outcome::Unknown,
                _ => {
                    now += Duration::from_secs(step.to_digit(36).unwrap().into());
                    continue;
                }
            };
            let admission = breaker.admit(&config, now);
            met.push(match admission {
                Admission::Go => '.',
                Admission::Probe => 'p',
                Admission::Refused(_) => '!',
            });
            if !matches!(admission, Admission::Refused(_)) {
                breaker.report(&config, outcome, admission == Admission::Probe, now);
            }
        }
        met
    }

    #[test]
    fn stories() {
        for (story, expected) in [
            ("fffff a", ".....!"),
            ("ffffaffffa", ".........."),
            // Half of twenty within the window, never five in a row.
            ("afafafafafafafafafafa", "....................!"),
            ("afafafafafafafafafaaa", "....................."),
            // The window passes: what is longer ago does not count.
            ("afafafafafafafafaf9999afafa", "......................."),
            // Two probes answered close it; one failed opens it for twice as long.
            ("fffff1aaa", ".....pp."),
            ("fffff1aff", ".....pp!"),
            ("fffff1f1a1a", ".....p!p"),
            ("fffff1f2f3a1a", ".....pp!p"),
            // What says nothing changes nothing, and lets the next one probe.
            ("fffff1uuaa", ".....pppp"),
            ("uuuuuuuuuu", ".........."),
            // A stream may choose its leader for 15 s; then it fails like any other.
            ("ssssssssss", ".........."),
            ("sssss9s5sssssa", "............"),
            ("sssss9s6sssssa", "...........!"),
            ("s9a9sssssss", "........."),
            ("szsssss", "......"),
        ] {
            assert_eq!(play(&story.replace(' ', "")), expected, "{story}");
        }
    }

    #[test]
    fn it_stays_open_longer_each_time_up_to_a_minute() {
        let config = BreakerConfig::default();
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now);
        (0..5).for_each(|_| breaker.report(&config, Outcome::Failed, false, now));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let open = Duration::from_secs(seconds);
            assert_eq!(breaker.admit(&config, now), Admission::Refused(open));
            now += open;
            assert_eq!(breaker.admit(&config, now), Admission::Probe);
            breaker.report(&config, Outcome::Failed, true, now);
        }
        breaker.probe_now(now);
        for _ in 0..2 {
            assert_eq!(breaker.admit(&config, now), Admission::Probe);
            breaker.report(&config, Outcome::Answered, true, now);
        }
        (0..5).for_each(|_| breaker.report(&config, Outcome::Failed, false, now));
        assert_eq!(breaker.open_for(now), Duration::from_secs(1), "closed, it begins anew");
    }

    #[test]
    fn who_began_before_it_opened_says_nothing() {
        let (config, now) = (BreakerConfig::default(), Instant::now());
        let mut breaker = Breaker::new(now);
        (0..9).for_each(|_| breaker.report(&config, Outcome::Failed, false, now));
        assert_eq!(breaker.open_for(now), config.open_first);
        let later = now + config.open_first;
        assert_eq!(breaker.admit(&config, later), Admission::Probe);
        (0..9).for_each(|_| breaker.report(&config, Outcome::Answered, false, later));
        assert_eq!(breaker.phase(), Phase::HalfOpen);
    }

    proptest! {
        #[test]
        fn at_most_one_probe_and_always_a_way_back(
            steps in prop::collection::vec((0_u64..5_000, 0_u8..5), 1..400),
        ) {
            let config = BreakerConfig::default();
            let mut now = Instant::now();
            let mut breaker = Breaker::new(now);
            let mut out: Vec<bool> = Vec::new();
            for (wait, step) in steps {
                now += Duration::from_millis(wait);
                let outcome = match step {
                    0 => {
                        match breaker.admit(&config, now) {
                            Admission::Go => out.push(false),
                            Admission::Probe => out.push(true),
                            Admission::Refused(wait) => {
                                prop_assert!(!wait.is_zero() && wait <= config.open_most);
                            }
                        }
                        prop_assert!(out.iter().filter(|probe| **probe).count() <= 1);
                        continue;
                    }
                    1 => Outcome::Answered,
                    2 => Outcome::Failed,
                    3 => Outcome::Settling,
                    _ => Outcome::Unknown,
                };
                if let Some(probe) = out.pop() {
                    breaker.report(&config, outcome, probe, now);
                }
            }
            // Whatever happened: once calls are answered it closes.
            for probe in out {
                breaker.report(&config, Outcome::Unknown, probe, now);
            }
            now += config.open_most;
            for _ in 0..config.successes {
                let admission = breaker.admit(&config, now);
                prop_assert!(!matches!(admission, Admission::Refused(_)));
                breaker.report(&config, Outcome::Answered, admission == Admission::Probe, now);
            }
            prop_assert_eq!(breaker.admit(&config, now), Admission::Go);
        }
    }
}
