//! How well a connection does, by round trips: one at each beat, the next at once after one that was missed.
//!
//! With a ping each 10 s that is given 5 s, three misses take 25 s at most: a connection that does not answer is found
//! within three intervals, though its socket looks open. Where a call was left without an answer it is looked at once: one
//! that brings nothing at all for 3 s then is left, so that a server that is frozen is a pause as an election is.

use std::time::Duration;

/// How a connection is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// How often it is pinged.
    pub every: Duration,
    /// How long a ping may take to come back: at most half of `every`, or three misses take longer than three intervals.
    pub pong_wait: Duration,
    /// After so many misses in a row it is stale, and made anew.
    pub misses: u32,
    /// A connection that left a call without an answer and then brings nothing at all for so long, not even what it is
    /// pinged with, is stale as well: at most `pong_wait`. A server that is merely slow brings something.
    pub silence: Duration,
    /// A round trip that long costs as many points as one can.
    pub slow: Duration,
}

impl Default for HealthConfig {
    /// A ping each 10 s, 3 misses.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            pong_wait: Duration::from_secs(5),
            misses: 3,
            silence: Duration::from_secs(3),
            slow: Duration::from_secs(1),
        }
    }
}

impl HealthConfig {
    /// The same beat for everything: each `every`, given half of it.
    pub fn each(every: Duration) -> Self {
        let pong_wait = every / 2;
        let default = Self::default();
        Self { every, pong_wait, silence: default.silence.min(pong_wait), ..default }
    }

    pub(crate) fn check(&self, wrong: &mut Vec<String>) {
        if self.misses == 0 {
            wrong.push("health.misses is 0: 1 or more".to_owned());
        }
        if self.pong_wait.is_zero() || self.pong_wait > self.every / 2 {
            let Self { every, pong_wait, .. } = self;
            wrong.push(format!(
                "health.pong_wait is {pong_wait:?}: more than nothing, at most half of health.every, {every:?}"
            ));
        }
        if self.silence.is_zero() || self.silence > self.pong_wait {
            let Self { pong_wait, silence, .. } = self;
            wrong.push(format!(
                "health.silence is {silence:?}: more than nothing, at most health.pong_wait, {pong_wait:?}"
            ));
        }
        if self.slow.is_zero() {
            wrong.push("health.slow is nothing: a second is usual".to_owned());
        }
    }
}

/// How a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether the last ping came back in time.
    pub healthy: bool,
    /// From 0, stale or none, to 100.
    pub score: u8,
    /// Pings in a row that did not come back in time.
    pub misses: u32,
    /// The round trip of the last ping that came back.
    pub round_trip: Option<Duration>,
}

/// What follows from a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Ping at once again.
    Again,
    /// It is stale: make it anew.
    Stale,
}

/// What is known of a connection's round trips. Pure: it is told what happened.
///
/// ```
/// use std::time::Duration;
/// use tidings_bus::resilience::health::{Health, HealthConfig, Missed};
///
/// let config = HealthConfig::default();
/// let mut health = Health::default();
/// health.pong(Duration::from_millis(1));
/// assert!(health.report(&config, 0).score >= 99);
/// assert_eq!(health.missed(&config), Missed::Again);
/// assert_eq!(health.missed(&config), Missed::Again);
/// assert_eq!(health.missed(&config), Missed::Stale);
/// assert_eq!(health.report(&config, 0).score, 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Health {
    misses: u32,
    round_trip: Option<Duration>,
    answered: bool,
}

/// What each miss costs.
const MISS_COST: u32 = 30;
/// What a slow round trip costs at most.
const SLOW_COST: f64 = 30.0;
/// What an open circuit costs, and how many count.
const CIRCUIT_COST: u32 = 10;
const CIRCUITS_COUNTED: usize = 3;

impl Health {
    /// A ping came back in time.
    pub fn pong(&mut self, round_trip: Duration) {
        *self = Self { misses: 0, round_trip: Some(round_trip), answered: true };
    }

    /// A ping did not come back in time.
    pub fn missed(&mut self, config: &HealthConfig) -> Missed {
        self.misses = self.misses.saturating_add(1);
        self.answered = false;
        if self.misses >= config.misses { Missed::Stale } else { Missed::Again }
    }

    /// The connection is gone: the next one begins without misses, and without an answer.
    pub fn lost(&mut self) {
        *self = Self { round_trip: self.round_trip, ..Self::default() };
    }

    /// How it does, with so many circuits open.
    pub fn report(&self, config: &HealthConfig, circuits: usize) -> HealthReport {
        let (misses, round_trip) = (self.misses, self.round_trip);
        let trip = round_trip.map_or(0.0, |trip| trip.as_secs_f64());
        let slow = (SLOW_COST * (trip / config.slow.as_secs_f64()).min(1.0)).round() as u32;
        let circuits = CIRCUIT_COST * circuits.min(CIRCUITS_COUNTED) as u32;
        let cost = misses.saturating_mul(MISS_COST).saturating_add(slow + circuits);
        let dead = misses >= config.misses || (misses == 0 && !self.answered);
        let score = if dead { 0 } else { 100_u32.saturating_sub(cost).max(1) as u8 };
        HealthReport { healthy: self.answered, score, misses, round_trip }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_falls_with_misses_round_trip_and_circuits() {
        let config = HealthConfig::default();
        let ms = Duration::from_millis;
        for (trip, misses, circuits, expected) in [
            (ms(0), 0, 0, 100),
            (ms(100), 0, 0, 97),
            (ms(1_000), 0, 0, 70),
            (ms(9_000), 0, 0, 70),
            (ms(0), 0, 1, 90),
            (ms(0), 0, 9, 70),
            (ms(0), 1, 0, 70),
            (ms(0), 2, 0, 40),
            (ms(9_000), 2, 9, 1),
            (ms(0), 3, 0, 0),
            (ms(0), 4, 0, 0),
        ] {
            let mut health = Health::default();
            health.pong(trip);
            for _ in 0..misses {
                health.missed(&config);
            }
            let report = health.report(&config, circuits);
            assert_eq!(report.score, expected, "{trip:?}, {misses} misses, {circuits} circuits");
            assert_eq!(report.healthy, misses == 0);
        }
    }

    #[test]
    fn one_that_answers_again_is_healthy_and_a_new_one_is_not_yet() {
        let config = HealthConfig::default();
        let mut health = Health::default();
        assert_eq!(health.report(&config, 0).score, 0, "nothing is known");
        health.pong(Duration::ZERO);
        assert_eq!(health.missed(&config), Missed::Again);
        health.pong(Duration::ZERO);
        assert_eq!(health.report(&config, 0).score, 100);
        health.lost();
        let report = health.report(&config, 0);
        assert_eq!((report.healthy, report.score, report.misses), (false, 0, 0));
    }

    #[test]
    fn three_misses_take_no_longer_than_three_intervals() {
        let HealthConfig { every, pong_wait, misses, .. } = HealthConfig::default();
        assert!(every + pong_wait * misses <= every * 3);
    }
}
