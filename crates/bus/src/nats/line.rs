//! What becomes of a connection: the client's events as moves of its state, and when it is tried anew.
//!
//! Attempts that keep failing open the connection's circuit: calls that cannot wait are refused at once, and told when
//! the next attempt is made. Attempts go on, one at a time, so it closes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{ClientError, Event};
use metrics::Counter;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::BusConfig;
use crate::error::{Error, ErrorKind};
use crate::nats::connection::jitter;
use crate::nats::refused::Refusals;
use crate::nats::together::{Linked, Together};
use crate::resilience::{Guard, Move, State, States};

/// What those who have to look again are told of the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Whether there is one.
    pub(crate) up: bool,
    /// Grows with each moment at which messages may have been missed: connected anew, reader too slow.
    pub(crate) gaps: u64,
}

pub(crate) struct Line {
    pub(crate) states: States,
    /// Its place in the pool.
    number: usize,
    together: Arc<Together>,
    pub(crate) refusals: Refusals,
    link: watch::Sender<Link>,
    up: AtomicBool,
    /// Set while a client is being made: its attempt is not put off.
    making: AtomicBool,
    /// The client has given up: another one has to be made.
    pub(crate) given_up: Notify,
    guard: Arc<Guard>,
    first: Duration,
    most: Duration,
    /// Attempts in a row that fail before the circuit opens.
    tolerated: usize,
    next_attempt: Mutex<Option<Instant>>,
    dropped: Counter,
    refused: Counter,
    attempts: Counter,
}

impl Line {
    pub(crate) fn new(
        config: &BusConfig,
        guard: Arc<Guard>,
        number: usize,
        together: Arc<Together>,
    ) -> Arc<Self> {
        Arc::new(Self {
            states: States::of_member(number),
            number,
            together,
            link: watch::Sender::new(Link::default()),
            up: AtomicBool::new(false),
            making: AtomicBool::new(false),
            given_up: Notify::new(),
            refusals: Refusals::new(),
            guard,
            first: config.reconnect_first,
            most: config.reconnect_most,
            tolerated: usize::try_from(config.breaker.in_a_row).unwrap_or(usize::MAX),
            next_attempt: Mutex::new(None),
            dropped: metrics::counter!("tidings_bus_client_dropped_total"),
            refused: metrics::counter!("tidings_bus_server_refused_total"),
            attempts: metrics::counter!("tidings_bus_connection_attempts_total"),
        })
    }

    /// Watches whether there is a connection.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Makes a move where it leads somewhere.
    pub(crate) fn make(&self, by: Move) {
        if self.states.try_make(by) {
            self.together.moved(self.number, by, self.states.now());
        }
    }

    /// A client is being made; with `false`: no more.
    pub(crate) fn making(&self, now: bool) {
        self.making.store(now, Ordering::Release);
    }

    /// There is a connection.
    pub(crate) fn joined(&self) {
        *self.next_attempt.lock() = None;
        self.refusals.joined();
        // What failed may have failed for want of a connection.
        self.guard.breakers().probe_now(Instant::now().into_std());
        let new = !self.up.swap(true, Ordering::AcqRel);
        // The state last: who sees it finds the rest done.
        self.link.send_modify(|link| *link = Link { up: true, gaps: link.gaps + 1 });
        self.together.linked(if new { Linked::Up } else { Linked::Gap });
        self.make(Move::Established);
    }

    fn lost(&self) {
        self.link.send_modify(|link| link.up = false);
        if self.up.swap(false, Ordering::AcqRel) {
            self.together.linked(Linked::Down);
        }
        self.make(Move::Lost);
    }

    /// The client tells what happened; never waits.
    pub(crate) fn note(&self, event: &Event) {
        tracing::debug!(%event, "the connection to NATS");
        match event {
            // Of a client that is being made it is told once everything is ready.
            Event::Connected if self.making.load(Ordering::Acquire) => {}
            Event::Connected => self.joined(),
            Event::Disconnected | Event::Closed => self.lost(),
            Event::ClientError(ClientError::MaxReconnects) => {
                self.lost();
                self.given_up.notify_one();
            }
            Event::SlowConsumer(_) => {
                self.dropped.increment(1);
                self.link.send_modify(|link| link.gaps += 1);
                self.together.linked(Linked::Gap);
            }
            // Most of all: that this process's user may not do something.
            Event::ServerError(error) => {
                self.refused.increment(1);
                self.refusals.note(&error.to_string());
                tracing::warn!(%error, "the NATS server refused something");
            }
            _ => {}
        }
    }

    /// An attempt to connect is made after the delay; `number` counts those since the last that succeeded, from 1.
    pub(crate) fn attempt(&self, number: usize) -> Duration {
        self.attempts.increment(1);
        // The first connection is somebody's wait, and one that is being made has waited already.
        if self.making.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        let failed = number.saturating_sub(1);
        if failed >= self.tolerated {
            self.make(Move::Opened);
        }
        let delay = jitter(most_delay(self.first, self.most, failed));
        *self.next_attempt.lock() = Some(Instant::now() + delay);
        delay
    }

    /// Refuses while attempts to connect keep failing.
    pub(crate) fn check_circuit(&self) -> Result<(), Error> {
        if self.states.now() != State::CircuitOpen {
            return Ok(());
        }
        let next = self.next_attempt.lock().map(|at| at.saturating_duration_since(Instant::now()));
        let wait = next.unwrap_or_default().max(self.first);
        Err(Error::new(ErrorKind::CircuitOpen, "attempts to connect to NATS keep failing").after(wait))
    }
}

/// What the delay after so many failures is drawn from.
fn most_delay(first: Duration, most: Duration, failed: usize) -> Duration {
    let doublings = u32::try_from(failed).unwrap_or(u32::MAX).min(30);
    first.saturating_mul(2_u32.pow(doublings)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Arc<Line> {
        let config = BusConfig::default();
        let guard = Arc::new(Guard::new(config.retry.clone(), config.breaker.clone()));
        let line = Line::new(&config, guard, 0, Arc::new(Together::new(1)));
        line.make(Move::Connect);
        line
    }

    #[test]
    fn delays_double_to_the_cap() {
        let ms = Duration::from_millis;
        for (failed, expected) in [(0, 100), (1, 200), (3, 800), (6, 5_000), (1_000_000, 5_000)] {
            assert_eq!(most_delay(ms(100), ms(5_000), failed), ms(expected), "{failed}");
        }
    }

    #[test]
    fn the_circuit_opens_after_five_attempts_and_closes_by_itself() {
        let line = line();
        let mut link = line.link();
        line.making(true);
        assert_eq!(line.attempt(1), Duration::ZERO, "nobody waits before the first connection");
        line.making(false);
        line.note(&Event::Connected);
        assert_eq!(line.states.now(), State::Connected);
        line.note(&Event::Disconnected);
        assert!(!link.borrow_and_update().up);
        for number in 1..=5 {
            line.attempt(number);
            assert_eq!(line.states.now(), State::Reconnecting, "attempt {number}");
            assert!(line.check_circuit().is_ok());
        }
        let delay = line.attempt(6);
        assert_eq!(line.states.now(), State::CircuitOpen);
        let error = line.check_circuit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CircuitOpen);
        assert!(error.retry_after().is_some_and(|wait| wait <= delay.max(Duration::from_millis(100))));
        line.note(&Event::Connected);
        assert_eq!(line.states.now(), State::Connected);
        assert!(line.check_circuit().is_ok());
        assert_eq!(*link.borrow(), Link { up: true, gaps: 2 });
    }

    #[test]
    fn news_that_comes_twice_is_no_illegal_move() {
        let line = line();
        line.note(&Event::Connected);
        line.note(&Event::Connected);
        line.note(&Event::Disconnected);
        line.note(&Event::Disconnected);
        let moves = line.states.history().len();
        assert_eq!((moves, line.states.now()), (3, State::Reconnecting));
    }
}
