//! Whether the hub hears what is stored: only while somebody in the process follows. Who only commits would pay for
//! hearing copies of its own.
//!
//! A follower begins without waiting, though a hub that is asleep has to subscribe and to look first. So it leaves
//! here what it begins with, and is served once the hub is awake. *From a place* needs no more. *From now on* is the
//! moment it was asked for: what the process knew to be stored then is before it, and the rest is told by the time at
//! which each message was stored, on the clock of the stream's leader.

use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::log::From;
use crate::nats::repair::REPAIR_MAX;

/// How long the hub hears on after its last follower has gone: who follows now and then would else pay for a waking,
/// some round trips, each time.
pub(crate) const SLEEP_AFTER: Duration = Duration::from_secs(10);
/// How much older than a moment the time of a message may be that replicas store after it: it is given its time before
/// a majority has it, and by the leader of then, whose clock another one's need not agree with.
const REPLICAS_APART_MS: i64 = 1_000;
/// The same where the leader changed meanwhile, or may have: what the one of before took, and a majority had not yet
/// confirmed, is stored when the next one is elected. That takes 4 to 9 seconds.
const ELECTION_APART_MS: i64 = 15_000;

/// A moment of this process, by both of its clocks: one stands still while the machine sleeps, the other may be set. Not
/// tokio's, by which everything is waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    instant: Instant,
    wall_ms: i64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall_ms: now_ms() }
    }

    /// Milliseconds from then to a later one, at most: the longer of what the clocks say.
    fn most_until(self, later: Self) -> i64 {
        let took = later.instant.saturating_duration_since(self.instant).as_millis();
        let took_ms = i64::try_from(took).unwrap_or(i64::MAX);
        took_ms.max(later.wall_ms.saturating_sub(self.wall_ms)).saturating_add(1)
    }
}

/// The time of a stream's leader, and when its answer was there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Unix milliseconds, rounded down.
    pub(crate) time_ms: i64,
    pub(crate) at: Moment,
}

impl Clock {
    /// A time, in Unix milliseconds, before which nothing was stored that was stored after a moment of this process: the
    /// answer was on its way for a while.
    fn not_after(&self, moment: Moment, replicas: usize, same_leader: bool) -> i64 {
        let took_ms = moment.most_until(self.at);
        let apart_ms = match replicas {
            0 | 1 => 0,
            _ if same_leader && took_ms < REPLICAS_APART_MS => REPLICAS_APART_MS,
            _ => ELECTION_APART_MS,
        };
        self.time_ms.saturating_sub(took_ms).saturating_sub(apart_ms)
    }
}

/// A moment from which on something was asked for, and what was known then to be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New {
    since: Moment,
    pub(crate) known: u64,
    term: u64,
}

/// What those begin with who came before the hub is awake.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    /// The first such moment: those that came later begin there, too, and a waking asks once.
    pub(crate) new: Option<New>,
    /// The oldest place.
    after: Option<u64>,
}

impl Asked {
    /// Where the tail begins that serves them, given where what is new begins and where the stream ends. Who begins
    /// further back than a gap that is repaired reads its own logs.
    pub(crate) fn tail_after(&self, new_after: u64, end: u64) -> u64 {
        let new = self.new.map_or(end, |_| new_after);
        let oldest = self.after.unwrap_or(end).min(new).min(end);
        if end - oldest > REPAIR_MAX { end } else { oldest }
    }
}

#[derive(Debug, Default)]
enum State {
    /// Nobody follows.
    #[default]
    Asleep,
    /// Somebody follows, and nothing is heard yet.
    Waking(Asked),
    /// Everything stored is heard. What was asked for from a moment on while it woke begins after this place.
    Awake { new_after: u64 },
}

/// Whether the hub hears copies, and for how many.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    state: State,
    followers: usize,
    /// When the last of them went.
    idle_since: Option<tokio::time::Instant>,
    /// Who leads the stream, and how often another one was found to.
    leader: Option<String>,
    term: u64,
}

impl Wake {
    /// A follower has come.
    pub(crate) fn come(&mut self) {
        self.followers += 1;
        self.idle_since = None;
        if self.is_asleep() {
            self.state = State::Waking(Asked::default());
        }
    }

    /// A follower has gone.
    pub(crate) fn go(&mut self) {
        self.followers -= 1;
        if self.followers == 0 {
            self.idle_since = Some(tokio::time::Instant::now());
            self.forget_asked();
        }
    }

    /// Another life of the stream: who asked for something of the one before begins anew.
    pub(crate) fn begin_life(&mut self) {
        self.forget_asked();
    }

    fn forget_asked(&mut self) {
        if let State::Waking(asked) = &mut self.state {
            *asked = Asked::default();
        }
    }

    /// A follower begins something, and so much is known to be stored; `false`: it has to wait until the hub is awake.
    pub(crate) fn ask(&mut self, from: From, known: u64) -> bool {
        let term = self.term;
        let State::Waking(asked) = &mut self.state else { return true };
        match from {
            From::New => asked.new = asked.new.or_else(|| Some(New { since: Moment::now(), known, term })),
            From::After(seq) => asked.after = Some(asked.after.map_or(seq, |after| after.min(seq))),
        }
        false
    }

    /// The stream is led by this one.
    pub(crate) fn led_by(&mut self, leader: Option<&str>) {
        if self.leader.as_deref() != leader {
            self.leader = leader.map(str::to_owned);
            self.term += 1;
        }
    }

    /// The time on the leader's clock, in Unix milliseconds, since which everything new was stored.
    pub(crate) fn time_of(&self, new: New, clock: Clock, replicas: usize) -> i64 {
        clock.not_after(new.since, replicas, new.term == self.term)
    }

    pub(crate) fn asked(&self) -> Asked {
        match self.state {
            State::Waking(asked) => asked,
            State::Asleep | State::Awake { .. } => Asked::default(),
        }
    }

    /// Everything stored is heard from now on.
    pub(crate) fn open(&mut self, new_after: u64) {
        self.state = State::Awake { new_after };
    }

    /// Nothing is heard any more, where nobody has followed for so long; says whether that is so.
    pub(crate) fn close(&mut self) -> bool {
        let late = self.idle_since.is_some_and(|since| since + SLEEP_AFTER <= tokio::time::Instant::now());
        if late {
            (self.state, self.idle_since) = (State::Asleep, None);
        }
        late
    }

    pub(crate) fn is_asleep(&self) -> bool {
        matches!(self.state, State::Asleep)
    }

    pub(crate) fn is_waking(&self) -> bool {
        matches!(self.state, State::Waking(_))
    }

    /// Where that begins which was asked for from a moment on while the hub woke; `None`: it does not hear yet.
    pub(crate) fn new_after(&self) -> Option<u64> {
        match self.state {
            State::Awake { new_after } => Some(new_after),
            State::Asleep | State::Waking(_) => None,
        }
    }

    /// Whether nobody waits for anything that is stored.
    pub(crate) fn is_idle(&self) -> bool {
        self.followers == 0
    }

    /// When the hub is to wake or to sleep, where it is: at once, or not before `again`.
    pub(crate) fn turn_at(&self, again: tokio::time::Instant) -> Option<tokio::time::Instant> {
        match (&self.state, self.idle_since) {
            (State::Asleep, _) | (State::Awake { .. }, None) => None,
            (State::Waking(_), None) => Some(again),
            (State::Waking(_) | State::Awake { .. }, Some(since)) => Some(since + SLEEP_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaders_time_is_never_taken_for_later_than_it_was() {
        let asked = Moment::now();
        for (took_us, wall_ms, replicas, same_leader, expected) in [
            (0, 0, 1, true, 99_999),
            (900, 0, 1, true, 99_999),
            (1_000, 1, 1, true, 99_998),
            (2_500, 2, 1, false, 99_997),
            (2_500, 2, 3, true, 98_997),
            (2_500, 2, 3, false, 84_997),
            // Long enough for an election and back.
            (2_000_000, 2_000, 3, true, 82_999),
            // It slept, or its clock was set.
            (2_500, 4_000, 1, true, 95_999),
            (2_500, -4_000, 1, true, 99_997),
        ] {
            let instant = asked.instant + Duration::from_micros(took_us);
            let at = Moment { instant, wall_ms: asked.wall_ms + wall_ms };
            let told = Clock { time_ms: 100_000, at }.not_after(asked, replicas, same_leader);
            assert_eq!(told, expected, "{took_us} {wall_ms} {replicas} {same_leader}");
        }
    }

    #[test]
    fn another_leader_is_another_term() {
        let (mut wake, at) = (Wake::default(), Moment::now());
        wake.led_by(Some("a"));
        wake.come();
        wake.ask(From::New, 0);
        let (new, clock) = (wake.asked().new.unwrap(), Clock { time_ms: 100_000, at });
        wake.led_by(Some("a"));
        assert_eq!(wake.time_of(new, clock, 3), 98_999);
        wake.led_by(Some("b"));
        wake.led_by(Some("a"));
        assert_eq!(wake.time_of(new, clock, 3), 84_999);
    }

    #[test]
    fn the_tail_begins_at_the_oldest_place_that_is_near() {
        const END: u64 = REPAIR_MAX + 100;
        let new = Some(New { since: Moment::now(), known: 0, term: 0 });
        for (new, after, new_after, expected) in [
            (None, None, END - 9, END),
            (new, None, END - 9, END - 9),
            (new, None, 99, END),
            (None, Some(99), END, END),
            (None, Some(100), END, 100),
            (new, Some(300), 200, 200),
            (new, Some(300), 400, 300),
            (None, Some(END + 9), END, END),
        ] {
            let asked = Asked { new, after };
            assert_eq!(asked.tail_after(new_after, END), expected, "{asked:?} {new_after}");
        }
    }

    #[test]
    fn what_was_asked_is_forgotten_with_those_who_did_and_with_the_stream() {
        let asked = |wake: &Wake| (wake.asked().new.map(|new| new.known), wake.asked().after);
        let mut wake = Wake::default();
        wake.come();
        for forget in [Wake::begin_life as fn(&mut Wake), |wake| (wake.go(), wake.come()).1] {
            wake.ask(From::New, 9);
            wake.ask(From::After(3), 9);
            assert_eq!(asked(&wake), (Some(9), Some(3)));
            forget(&mut wake);
            assert_eq!(asked(&wake), (None, None));
        }
        wake.ask(From::New, 1);
        assert!(asked(&wake) == (Some(1), None) && wake.is_waking());
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_for_the_first_and_sleeps_after_the_last() {
        let (mut wake, now) = (Wake::default(), tokio::time::Instant::now());
        assert!(wake.is_asleep() && wake.turn_at(now).is_none());
        wake.come();
        wake.come();
        assert!(!wake.ask(From::New, 4) && !wake.ask(From::After(7), 4) && wake.new_after().is_none());
        assert_eq!(wake.turn_at(now), Some(now));
        wake.open(5);
        assert!(wake.ask(From::New, 4) && wake.new_after() == Some(5) && wake.turn_at(now).is_none());
        wake.go();
        assert!(wake.turn_at(now).is_none() && !wake.is_idle());
        wake.go();
        assert_eq!(wake.turn_at(now), Some(now + SLEEP_AFTER));
        wake.come();
        assert!(wake.turn_at(now).is_none(), "somebody came meanwhile");
        assert!(!wake.close());
        wake.go();
        assert!(!wake.close(), "not yet");
        tokio::time::advance(SLEEP_AFTER).await;
        assert!(wake.close() && wake.is_asleep() && wake.turn_at(now).is_none());
    }
}
