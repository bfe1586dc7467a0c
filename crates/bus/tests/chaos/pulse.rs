//! How long each part of the load was silent: its recovery time, as its users saw it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What a part of the load does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Publish,
    Commit,
    Follow,
    Consume,
    Request,
}

/// One part's successes.
pub struct Pulse {
    pub verb: Verb,
    pub name: String,
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    last: Instant,
    longest: Duration,
    /// When the latest of what succeeded was begun, from the start of all.
    born: Duration,
}

impl Pulse {
    pub fn new(verb: Verb, name: String, begun: Instant) -> Self {
        let state = State { last: Instant::now(), longest: Duration::ZERO, born: Duration::ZERO };
        Self { verb, name, begun, state: Mutex::new(state) }
    }

    /// Something succeeded that was begun then.
    pub fn beat(&self, born: Duration) {
        let mut state = self.state.lock();
        state.longest = state.longest.max(state.last.elapsed());
        state.last = Instant::now();
        state.born = state.born.max(born);
    }

    /// Whether something succeeded that was begun since.
    pub fn beats_since(&self, since: Instant) -> bool {
        self.begun + self.state.lock().born >= since
    }

    /// Forgets the silences of before.
    pub fn reset(&self) {
        self.state.lock().longest = Duration::ZERO;
    }

    fn longest(&self) -> Duration {
        let state = self.state.lock();
        state.longest.max(state.last.elapsed())
    }
}

/// The longest silence of each verb, of all its parts.
#[derive(Debug, Clone, Default)]
pub struct Silences(BTreeMap<Verb, Duration>);

impl Silences {
    pub fn of<'a>(pulses: impl Iterator<Item = &'a Pulse>) -> Self {
        let mut all = Self::default();
        for pulse in pulses {
            let longest = all.0.entry(pulse.verb).or_default();
            *longest = pulse.longest().max(*longest);
        }
        all
    }
}

impl fmt::Display for Silences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (verb, longest) in &self.0 {
            write!(f, "{between}{} {:.1} s", format!("{verb:?}").to_lowercase(), longest.as_secs_f64())?;
            between = ", ";
        }
        Ok(())
    }
}
