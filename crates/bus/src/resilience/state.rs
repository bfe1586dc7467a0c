//! What a connection is, and which moves lead from where to where. Everything else is refused.
//!
//! ```text
//! disconnected --connect--> connecting --established--> connected <--recover/falter--> degraded
//!                             |                            |  lost                        | lost
//!                             +--failed--> disconnected    +------> reconnecting <--------+
//! reconnecting --established--> connected                             | opened (attempts keep failing)
//! circuit-open --established--> connected                             +------> circuit-open
//! each but disconnected --drain--> draining          each --close--> closed
//! ```
//!
//! The open circuit closes by itself: attempts to connect go on, one at a time, and the first that succeeds leads to
//! `connected`.

use std::fmt;
use std::time::{Duration, Instant};

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// None was tried yet, or the first attempt failed.
    Disconnected,
    /// The first attempt is under way.
    Connecting,
    /// There is one, and its last ping came back in time.
    Connected,
    /// There is one, and its last ping did not come back in time.
    Degraded,
    /// It was lost; attempts are under way.
    Reconnecting,
    /// It was lost and attempts keep failing: calls are refused at once until one succeeds.
    CircuitOpen,
    /// It takes nothing new, and finishes what is under way.
    Draining,
    /// It is over.
    Closed,
}

/// What leads from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// The first attempt begins.
    Connect,
    /// An attempt succeeded.
    Established,
    /// The first attempt failed.
    Failed,
    /// The connection was lost.
    Lost,
    /// Attempts keep failing.
    Opened,
    /// A ping did not come back in time.
    Falter,
    /// A ping came back in time again.
    Recover,
    /// Nothing new is taken.
    Drain,
    /// It ends.
    Close,
}

impl State {
    /// Every state, in the order of `code`.
    pub const ALL: [Self; 8] = [
        Self::Disconnected,
        Self::Connecting,
        Self::Connected,
        Self::Degraded,
        Self::Reconnecting,
        Self::CircuitOpen,
        Self::Draining,
        Self::Closed,
    ];

    /// Its name in metrics and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Degraded => "degraded",
            Self::Reconnecting => "reconnecting",
            Self::CircuitOpen => "circuit-open",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }

    /// Its number in the gauge of the state.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Where a move leads from here; nowhere, if it is not one from here.
    pub fn after(self, by: Move) -> Option<Self> {
        use State::{
            CircuitOpen, Closed, Connected, Connecting, Degraded, Disconnected, Draining, Reconnecting,
        };
        Some(match (self, by) {
            (Disconnected, Move::Connect) => Connecting,
            (Connecting, Move::Failed) => Disconnected,
            (Connecting | Reconnecting | CircuitOpen, Move::Established) => Connected,
            (Connected, Move::Falter) => Degraded,
            (Degraded, Move::Recover) => Connected,
            (Connected | Degraded, Move::Lost) => Reconnecting,
            (Reconnecting, Move::Opened) => CircuitOpen,
            (Connecting | Connected | Degraded | Reconnecting | CircuitOpen, Move::Drain) => Draining,
            (Closed, Move::Close) => return None,
            (_, Move::Close) => Closed,
            _ => return None,
        })
    }
}

impl Move {
    /// Every move.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Established,
        Self::Failed,
        Self::Lost,
        Self::Opened,
        Self::Falter,
        Self::Recover,
        Self::Drain,
        Self::Close,
    ];

    /// Its name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Established => "established",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Opened => "opened",
            Self::Falter => "falter",
            Self::Recover => "recover",
            Self::Drain => "drain",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A move that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// How many there were before it.
    pub number: u64,
    /// Where it led from.
    pub from: State,
    /// Where it led to.
    pub to: State,
    /// What it was.
    pub by: Move,
    /// How long the state before it lasted.
    pub lasted: Duration,
}

/// A move that leads nowhere from where the connection is; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("'{}' leads nowhere from '{from}'", by.as_str())]
pub struct Illegal {
    /// The state there is.
    pub from: State,
    /// The move that was refused.
    pub by: Move,
}

/// A state, since when, and the only way to another. Pure: the time is passed in.
///
/// ```
/// use std::time::Instant;
/// use tidings_bus::resilience::state::{Machine, Move, State};
///
/// let mut machine = Machine::new(Instant::now());
/// assert!(machine.make(Move::Lost, Instant::now()).is_err(), "there was none to lose");
/// machine.make(Move::Connect, Instant::now()).unwrap();
/// machine.make(Move::Established, Instant::now()).unwrap();
/// assert_eq!(machine.state(), State::Connected);
/// ```
#[derive(Debug, Clone)]
pub struct Machine {
    state: State,
    since: Instant,
    moves: u64,
}

impl Machine {
    /// Disconnected.
    pub fn new(now: Instant) -> Self {
        Self { state: State::Disconnected, since: now, moves: 0 }
    }

    /// What it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Makes a move, or refuses it.
    pub fn make(&mut self, by: Move, now: Instant) -> Result<Transition, Illegal> {
        let from = self.state;
        let to = from.after(by).ok_or(Illegal { from, by })?;
        let lasted = now.saturating_duration_since(self.since);
        let transition = Transition { number: self.moves, from, to, by, lasted };
        (self.state, self.since, self.moves) = (to, now, self.moves + 1);
        Ok(transition)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_pair_is_decided() {
        let mut legal = Vec::new();
        for from in State::ALL {
            for by in Move::ALL {
                if let Some(to) = from.after(by) {
                    legal.push(format!("{from} {} {to}", by.as_str()));
                }
            }
        }
        let expected = "\
            disconnected connect connecting, disconnected close closed, \
            connecting established connected, connecting failed disconnected, connecting drain draining, \
            connecting close closed, \
            connected lost reconnecting, connected falter degraded, connected drain draining, \
            connected close closed, \
            degraded lost reconnecting, degraded recover connected, degraded drain draining, \
            degraded close closed, \
            reconnecting established connected, reconnecting opened circuit-open, reconnecting drain draining, \
            reconnecting close closed, \
            circuit-open established connected, circuit-open drain draining, circuit-open close closed, \
            draining close closed";
        assert_eq!(legal.join(", "), expected);
    }

    #[test]
    fn codes_are_places() {
        for (place, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.code()), place);
        }
    }

    proptest! {
        #[test]
        fn closed_is_the_end_and_every_state_can_end(moves in prop::collection::vec(0..Move::ALL.len(), 0..60)) {
            let now = Instant::now();
            let mut machine = Machine::new(now);
            let mut made = 0;
            for place in moves {
                let (before, by) = (machine.state(), Move::ALL[place]);
                match machine.make(by, now) {
                    Ok(transition) => {
                        prop_assert_eq!((transition.from, transition.number), (before, made));
                        prop_assert_ne!(before, State::Closed);
                        made += 1;
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused, Illegal { from: before, by });
                        prop_assert_eq!(machine.state(), before);
                    }
                }
            }
            if machine.state() != State::Closed {
                prop_assert!(machine.make(Move::Close, now).is_ok());
            }
        }
    }
}
