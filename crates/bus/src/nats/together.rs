//! What the members of a pool are together: the state and the link that everyone else sees.
//!
//! With one member it is that member's. With several the pool is connected while any of them is, and degraded while one is
//! not as it should be.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Gauge;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::nats::line::Link;
use crate::resilience::{Move, State, States};

pub(crate) struct Together {
    pub(crate) states: States,
    link: watch::Sender<Link>,
    up: AtomicUsize,
    members: Mutex<Vec<Member>>,
    up_shown: Gauge,
}

/// A member as it is seen from here.
#[derive(Debug, Clone, Copy)]
struct Member {
    state: State,
    /// It failed or was lost, and has had no connection since.
    missing: bool,
}

impl Member {
    fn is_up(&self) -> bool {
        matches!(self.state, State::Connected | State::Degraded)
    }

    /// One that is on its way for the first time is not missing yet.
    fn is_missing(&self) -> bool {
        self.missing || !matches!(self.state, State::Connected | State::Connecting)
    }
}

impl Together {
    /// Of so many members, none connected yet.
    pub(crate) fn new(size: usize) -> Self {
        metrics::gauge!("tidings_bus_pool_size").set(size as f64);
        Self {
            states: States::new(),
            link: watch::Sender::new(Link::default()),
            up: AtomicUsize::new(0),
            members: Mutex::new(vec![Member { state: State::Disconnected, missing: false }; size]),
            up_shown: metrics::gauge!("tidings_bus_pool_up"),
        }
    }

    /// Watches whether there is a connection.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Whether a member has a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire) > 0
    }

    /// A member got its connection, or lost it.
    pub(crate) fn linked(&self, change: Linked) {
        let up = match change {
            Linked::Up => self.up.fetch_add(1, Ordering::AcqRel) + 1,
            Linked::Down => self.up.fetch_sub(1, Ordering::AcqRel) - 1,
            Linked::Gap => self.up.load(Ordering::Acquire),
        };
        self.up_shown.set(up as f64);
        self.link.send_modify(|link| {
            link.up = self.is_up();
            link.gaps += u64::from(change != Linked::Down);
        });
    }

    /// A member made a move.
    pub(crate) fn moved(&self, member: usize, by: Move, to: State) {
        let mut members = self.members.lock();
        let missing = match by {
            Move::Failed | Move::Lost | Move::Opened => true,
            Move::Established => false,
            _ => members[member].missing,
        };
        members[member] = Member { state: to, missing };
        let any = members.iter().any(Member::is_up);
        let whole = members.iter().all(|member| member.state == State::Connected);
        match by {
            Move::Lost | Move::Failed | Move::Opened if any => self.states.try_make(Move::Falter),
            Move::Failed if members.iter().any(|member| member.state == State::Connecting) => false,
            Move::Recover if !whole => false,
            Move::Established => {
                self.states.try_make(Move::Established);
                let missing = members.iter().any(Member::is_missing);
                self.states.try_make(if missing { Move::Falter } else { Move::Recover })
            }
            by => self.states.try_make(by),
        };
    }
}

/// What became of a member's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    Up,
    Down,
    /// It stands, but messages may have been missed.
    Gap,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members and their moves, and the pool's states after each.
    fn check(size: usize, moves: &[(usize, Move, State)]) {
        let pool = Together::new(size);
        let mut members = vec![State::Disconnected; size];
        for (step, (member, by, expected)) in moves.iter().enumerate() {
            members[*member] = members[*member].after(*by).expect("a legal move");
            pool.moved(*member, *by, members[*member]);
            assert_eq!(pool.states.now(), *expected, "step {step} of {size}");
        }
    }

    #[test]
    fn a_pool_of_one_is_its_member() {
        check(
            1,
            &[
                (0, Move::Connect, State::Connecting),
                (0, Move::Established, State::Connected),
                (0, Move::Falter, State::Degraded),
                (0, Move::Recover, State::Connected),
                (0, Move::Lost, State::Reconnecting),
                (0, Move::Opened, State::CircuitOpen),
                (0, Move::Established, State::Connected),
                (0, Move::Drain, State::Draining),
                (0, Move::Close, State::Closed),
            ],
        );
        check(1, &[(0, Move::Connect, State::Connecting), (0, Move::Failed, State::Disconnected)]);
    }

    #[test]
    fn a_pool_is_degraded_while_a_member_is_missing() {
        check(
            2,
            &[
                (0, Move::Connect, State::Connecting),
                (1, Move::Connect, State::Connecting),
                (1, Move::Failed, State::Connecting),
                (0, Move::Established, State::Degraded),
                (1, Move::Connect, State::Degraded),
                (1, Move::Established, State::Connected),
                (0, Move::Lost, State::Degraded),
                (1, Move::Falter, State::Degraded),
                (1, Move::Recover, State::Degraded),
                (1, Move::Lost, State::Reconnecting),
                (0, Move::Opened, State::CircuitOpen),
                (1, Move::Established, State::Degraded),
                (0, Move::Established, State::Connected),
            ],
        );
        check(
            3,
            &[
                (0, Move::Connect, State::Connecting),
                (1, Move::Connect, State::Connecting),
                (2, Move::Connect, State::Connecting),
                (0, Move::Established, State::Connected),
                (1, Move::Established, State::Connected),
                (2, Move::Failed, State::Degraded),
                (2, Move::Connect, State::Degraded),
                (2, Move::Failed, State::Degraded),
                (2, Move::Connect, State::Degraded),
                (0, Move::Lost, State::Degraded),
                (0, Move::Established, State::Degraded),
                (2, Move::Established, State::Connected),
            ],
        );
        check(
            2,
            &[
                (0, Move::Connect, State::Connecting),
                (1, Move::Connect, State::Connecting),
                (1, Move::Failed, State::Connecting),
                (0, Move::Failed, State::Disconnected),
            ],
        );
    }

    #[test]
    fn a_pool_is_up_while_a_member_is() {
        let pool = Together::new(2);
        let link = pool.link();
        let seen = |change| {
            pool.linked(change);
            (link.borrow().up, link.borrow().gaps)
        };
        assert_eq!(seen(Linked::Up), (true, 1));
        assert_eq!(seen(Linked::Up), (true, 2));
        assert_eq!(seen(Linked::Down), (true, 2));
        assert_eq!(seen(Linked::Gap), (true, 3));
        assert_eq!(seen(Linked::Down), (false, 3));
    }
}
