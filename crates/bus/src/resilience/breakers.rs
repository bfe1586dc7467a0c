//! The circuits of all destinations: a bounded table, and passes that report what became of a call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use parking_lot::Mutex;

use crate::resilience::breaker::{Admission, Breaker, BreakerConfig, Outcome, Phase};

/// A circuit as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerView {
    /// What it leads to.
    pub destination: String,
    /// Where it is.
    pub phase: Phase,
    /// How long until a call may probe it.
    pub open_for: Duration,
}

/// The circuits of a process.
pub struct Breakers {
    config: BreakerConfig,
    table: Mutex<HashMap<Arc<str>, Arc<Circuit>>>,
    not_closed: AtomicUsize,
    opened: Counter,
    half_opened: Counter,
    closed: Counter,
    refused: Counter,
    unguarded: Counter,
    open: Gauge,
}

/// The circuit of one destination: calls find it in the table once, and tell it what became of them.
#[derive(Debug)]
struct Circuit {
    destination: Arc<str>,
    breaker: Mutex<Breaker>,
}

/// A call's way through its circuit. Dropped without a report it says nothing of the destination.
#[derive(Debug)]
pub struct Pass<'a> {
    breakers: &'a Breakers,
    /// None: the table was full.
    circuit: Option<Arc<Circuit>>,
    probe: bool,
}

impl std::fmt::Debug for Breakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breakers").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Breakers {
    /// All closed.
    pub fn new(config: BreakerConfig) -> Self {
        let moves = |to: Phase| metrics::counter!("tidings_bus_breaker_moves_total", "to" => to.as_str());
        Self {
            config,
            table: Mutex::default(),
            not_closed: AtomicUsize::new(0),
            opened: moves(Phase::Open),
            half_opened: moves(Phase::HalfOpen),
            closed: moves(Phase::Closed),
            refused: metrics::counter!("tidings_bus_breaker_refused_total"),
            unguarded: metrics::counter!("tidings_bus_breaker_unguarded_total"),
            open: metrics::gauge!("tidings_bus_breakers_open"),
        }
    }

    /// Lets a call pass, or says how long not.
    pub fn admit(&self, destination: &str, now: Instant) -> Result<Pass<'_>, Duration> {
        let Some(circuit) = self.circuit(destination, now) else {
            self.unguarded.increment(1);
            return Ok(Pass { breakers: self, circuit: None, probe: false });
        };
        let admission = self.change(&circuit, |breaker| breaker.admit(&self.config, now));
        match admission {
            Admission::Go => Ok(Pass { breakers: self, circuit: Some(circuit), probe: false }),
            Admission::Probe => Ok(Pass { breakers: self, circuit: Some(circuit), probe: true }),
            Admission::Refused(wait) => {
                self.refused.increment(1);
                Err(wait)
            }
        }
    }

    /// Each open circuit may be probed at once: the reason of all of them may be gone, as after connecting anew.
    pub fn probe_now(&self, now: Instant) {
        self.table.lock().values().for_each(|circuit| circuit.breaker.lock().probe_now(now));
    }

    /// Who serves these destinations is there anew: what those before came to says nothing of it.
    pub(crate) fn renew(&self, is_one: impl Fn(&str) -> bool, now: Instant) {
        let of_these = |circuit: &&Arc<Circuit>| is_one(&circuit.destination);
        let circuits: Vec<_> = self.table.lock().values().filter(of_these).cloned().collect();
        for circuit in circuits {
            self.change(&circuit, |breaker| *breaker = Breaker::new(now));
        }
    }

    /// The circuits that are not closed.
    pub fn not_closed(&self) -> usize {
        self.not_closed.load(Ordering::Acquire)
    }

    /// Whether any number of calls to a destination may pass at once.
    pub fn is_closed(&self, destination: &str) -> bool {
        self.not_closed() == 0
            || self
                .table
                .lock()
                .get(destination)
                .is_none_or(|one| one.breaker.lock().phase() == Phase::Closed)
    }

    /// Every circuit there is, those that are not closed first.
    pub fn list(&self, now: Instant) -> Vec<BreakerView> {
        let view = |circuit: &Arc<Circuit>| {
            let breaker = circuit.breaker.lock();
            BreakerView {
                destination: circuit.destination.to_string(),
                phase: breaker.phase(),
                open_for: breaker.open_for(now),
            }
        };
        let mut views: Vec<_> = self.table.lock().values().map(view).collect();
        views.sort_by(|one, other| {
            let key = |view: &BreakerView| (view.phase == Phase::Closed, view.destination.clone());
            key(one).cmp(&key(other))
        });
        views
    }

    /// The destination's circuit, made where it is new and there is room. A full table forgets what remembers nothing, then
    /// what is closed and was not used for longest; open circuits stay, and so does what a call is under way to.
    fn circuit(&self, destination: &str, now: Instant) -> Option<Arc<Circuit>> {
        let mut table = self.table.lock();
        if let Some(circuit) = table.get(destination) {
            return Some(circuit.clone());
        }
        let is_idle = |circuit: &Arc<Circuit>| Arc::strong_count(circuit) == 1;
        if table.len() >= self.config.destinations {
            table.retain(|_, circuit| {
                !(is_idle(circuit) && circuit.breaker.lock().is_blank(&self.config, now))
            });
        }
        if table.len() >= self.config.destinations {
            let idle = table.values().filter(|circuit| is_idle(circuit));
            let closed = idle.filter(|circuit| circuit.breaker.lock().phase() == Phase::Closed);
            let oldest = closed.min_by_key(|circuit| circuit.breaker.lock().used());
            let oldest = oldest.map(|circuit| circuit.destination.clone())?;
            table.remove(&oldest);
        }
        let destination: Arc<str> = destination.into();
        let breaker = Mutex::new(Breaker::new(now));
        let circuit = Arc::new(Circuit { destination: destination.clone(), breaker });
        table.insert(destination, circuit.clone());
        Some(circuit)
    }

    /// Changes a circuit, and tells what that made of it.
    fn change<T>(&self, circuit: &Circuit, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = circuit.breaker.lock();
        let before = breaker.phase();
        let changed = change(&mut breaker);
        self.note(&circuit.destination, before, breaker.phase());
        changed
    }

    fn note(&self, destination: &str, before: Phase, after: Phase) {
        if before == after {
            return;
        }
        match (before, after) {
            (Phase::Closed, _) => {
                self.not_closed.fetch_add(1, Ordering::AcqRel);
                self.open.increment(1.0);
            }
            (_, Phase::Closed) => {
                self.not_closed.fetch_sub(1, Ordering::AcqRel);
                self.open.decrement(1.0);
            }
            _ => {}
        }
        match after {
            Phase::Open => {
                self.opened.increment(1);
                tracing::warn!(destination, "the circuit is open: calls are refused for a while");
            }
            Phase::HalfOpen => self.half_opened.increment(1),
            Phase::Closed => {
                self.closed.increment(1);
                tracing::info!(destination, "the circuit is closed again");
            }
        }
    }
}

impl Pass<'_> {
    /// What became of the call.
    pub fn report(mut self, outcome: Outcome, now: Instant) {
        self.tell(outcome, now);
    }

    fn tell(&mut self, outcome: Outcome, now: Instant) {
        if let Some(circuit) = self.circuit.take() {
            let config = &self.breakers.config;
            self.breakers.change(&circuit, |breaker| breaker.report(config, outcome, self.probe, now));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // A probe that was given up makes way for the next one.
        if self.probe {
            self.tell(Outcome::Unknown, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breakers: &Breakers, destination: &str, now: Instant) {
        for _ in 0..5 {
            breakers.admit(destination, now).unwrap().report(Outcome::Failed, now);
        }
    }

    #[test]
    fn each_destination_has_its_own() {
        let (breakers, now) = (Breakers::new(BreakerConfig::default()), Instant::now());
        fail(&breakers, "a", now);
        assert_eq!(breakers.admit("a", now).unwrap_err(), Duration::from_secs(1));
        assert!(breakers.admit("b", now).is_ok());
        let shown: Vec<_> =
            breakers.list(now).into_iter().map(|view| (view.destination, view.phase)).collect();
        assert_eq!(shown, [("a".to_owned(), Phase::Open), ("b".to_owned(), Phase::Closed)]);
        assert_eq!(breakers.not_closed(), 1);
        assert_eq!(["a", "b", "c"].map(|one| breakers.is_closed(one)), [false, true, true]);
        breakers.admit("a", now + Duration::from_secs(1)).unwrap().report(Outcome::Answered, now);
        assert!(!breakers.is_closed("a"), "another has to be answered");
        breakers.admit("a", now).unwrap().report(Outcome::Answered, now);
        assert!(breakers.is_closed("a"));
    }

    #[test]
    fn a_probe_that_is_given_up_makes_way() {
        let (breakers, now) = (Breakers::new(BreakerConfig::default()), Instant::now());
        fail(&breakers, "a", now);
        breakers.probe_now(now);
        let probe = breakers.admit("a", now).unwrap();
        assert!(breakers.admit("a", now).is_err(), "one at a time");
        drop(probe);
        breakers.admit("a", now).unwrap().report(Outcome::Answered, now);
        breakers.admit("a", now).unwrap().report(Outcome::Answered, now);
        assert_eq!(breakers.not_closed(), 0);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_open() {
        let config = BreakerConfig { destinations: 3, ..BreakerConfig::default() };
        let (breakers, now) = (Breakers::new(config), Instant::now());
        fail(&breakers, "open", now);
        for number in 0..100 {
            let at = now + Duration::from_millis(number);
            breakers.admit(&format!("d{number}"), at).unwrap().report(Outcome::Answered, at);
        }
        let known: Vec<_> = breakers.list(now).into_iter().map(|view| view.destination).collect();
        assert_eq!(known, ["open", "d98", "d99"]);
        for name in ["x", "y"] {
            fail(&breakers, name, now);
        }
        assert_eq!(breakers.not_closed(), 3);
        // No room: it passes, without a circuit.
        fail(&breakers, "z", now);
        assert!(breakers.admit("z", now).is_ok());
        assert_eq!(breakers.list(now).len(), 3);
    }
}
