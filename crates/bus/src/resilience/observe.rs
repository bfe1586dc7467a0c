//! A connection's state for everyone who asks: counted, timed, kept for a while, and told to any number of observers,
//! none of whom can hold it up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::resilience::state::{Illegal, Machine, Move, State, Transition};

/// Moves that are remembered: some hours of an unquiet connection, to be shown.
const HISTORY_MAX: usize = 64;

/// The state of one connection: cheap to clone.
///
/// ```
/// use tidings_bus::resilience::{Move, State, States};
///
/// let states = States::new();
/// let observer = states.watch();
/// states.make(Move::Connect).unwrap();
/// states.make(Move::Established).unwrap();
/// assert_eq!(observer.now(), State::Connected);
/// assert_eq!(states.history().len(), 2, "who looks seldom reads what was between");
/// ```
#[derive(Debug, Clone)]
pub struct States(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    told: watch::Sender<State>,
    gauge: Gauge,
    illegal: Counter,
}

struct Inner {
    machine: Machine,
    history: VecDeque<(i64, Transition)>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &*self.told.borrow()).finish_non_exhaustive()
    }
}

/// One observer of a connection's state. It is told of the newest; the history has what was between.
#[derive(Debug, Clone)]
pub struct Watching(watch::Receiver<State>);

impl Watching {
    /// What it is.
    pub fn now(&self) -> State {
        *self.0.borrow()
    }

    /// Waits for another state than the one that was seen last; `None`: the connection is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<State> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }

    /// Waits until the state is one of which this holds; `None`: the connection is gone. Cancel safe.
    pub async fn until(&mut self, holds: impl FnMut(&State) -> bool) -> Option<State> {
        self.0.wait_for(holds).await.ok().map(|state| *state)
    }
}

impl Default for States {
    fn default() -> Self {
        Self::new()
    }
}

impl States {
    /// Disconnected.
    pub fn new() -> Self {
        Self::shown_by(metrics::gauge!("tidings_bus_connection_state"))
    }

    /// Disconnected: one connection of a pool.
    pub(crate) fn of_member(number: usize) -> Self {
        Self::shown_by(metrics::gauge!("tidings_bus_pool_member_state", "member" => number.to_string()))
    }

    fn shown_by(gauge: Gauge) -> Self {
        let machine = Machine::new(Instant::now());
        gauge.set(machine.state().code());
        Self(Arc::new(Shared {
            told: watch::Sender::new(machine.state()),
            inner: Mutex::new(Inner { machine, history: VecDeque::new() }),
            gauge,
            illegal: metrics::counter!("tidings_bus_connection_illegal_moves_total"),
        }))
    }

    /// What it is.
    pub fn now(&self) -> State {
        *self.0.told.borrow()
    }

    /// Makes a move, or refuses and counts it.
    pub fn make(&self, by: Move) -> Result<Transition, Illegal> {
        let mut inner = self.0.inner.lock();
        let made = inner.machine.make(by, Instant::now()).inspect_err(|_| self.0.illegal.increment(1))?;
        if inner.history.len() == HISTORY_MAX {
            inner.history.pop_front();
        }
        inner.history.push_back((now_ms(), made));
        // Told within the lock: observers see moves in their order.
        self.0.told.send_replace(made.to);
        self.0.gauge.set(made.to.code());
        drop(inner);
        metrics::counter!("tidings_bus_connection_moves_total", "to" => made.to.as_str()).increment(1);
        metrics::histogram!("tidings_bus_connection_state_seconds", "state" => made.from.as_str())
            .record(made.lasted);
        tracing::info!(from = %made.from, to = %made.to, "the connection");
        Ok(made)
    }

    /// Makes a move where it leads somewhere: for news that may come late or twice.
    pub fn try_make(&self, by: Move) -> bool {
        let leads = self.now().after(by).is_some();
        leads && self.make(by).is_ok()
    }

    /// An observer.
    pub fn watch(&self) -> Watching {
        Watching(self.0.told.subscribe())
    }

    /// The last moves, oldest first, each with its time, Unix milliseconds.
    pub fn history(&self) -> Vec<(i64, Transition)> {
        self.0.inner.lock().history.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn observers_hold_nothing_up() {
        let states = States::new();
        let (mut first, mut never_reads) = (states.watch(), states.watch());
        states.make(Move::Connect).unwrap();
        assert_eq!(first.next().await, Some(State::Connecting));
        states.make(Move::Established).unwrap();
        for _ in 0..500 {
            states.make(Move::Falter).unwrap();
            states.make(Move::Recover).unwrap();
        }
        assert_eq!(first.next().await, Some(State::Connected), "the newest, whatever was between");
        let history = states.history();
        assert_eq!(history.len(), HISTORY_MAX);
        assert_eq!(history.last().unwrap().1.number, 1_001);
        assert_eq!(never_reads.until(|state| *state == State::Connected).await, Some(State::Connected));
        drop(states);
        assert_eq!(first.next().await, None);
    }

    #[test]
    fn what_leads_nowhere_changes_nothing() {
        let states = States::new();
        assert_eq!(states.make(Move::Lost), Err(Illegal { from: State::Disconnected, by: Move::Lost }));
        assert!(!states.try_make(Move::Recover));
        assert!(states.try_make(Move::Connect));
        assert_eq!((states.now(), states.history().len()), (State::Connecting, 1));
    }
}
