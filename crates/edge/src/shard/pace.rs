//! When a shard takes what the dispatcher hands out: at once, unless it is so busy that waiting makes one write of many.
//!
//! A write costs the same whether it carries one line or a dozen. Under load a shard therefore rests after a long turn,
//! and more gathers for the next: but only where writes already carry several lines, since where few lines come for each
//! reader a rest gathers nothing, and no longer than until as much waits as may be expected: what is said here is known by
//! the commands in flight, what is said elsewhere comes about as it did before.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::fanout::ToShard;

/// Deliveries of one turn, a batch more at most: some 15 ms of writing, so that reading has its turn too.
pub const DELIVERIES_A_TURN: u64 = 32_768;
/// Messages of one turn, for those that deliver nothing: sessions being opened, batches held for who is joining.
pub const MESSAGES_A_TURN: usize = 512;
/// A turn that takes so long may be followed by a rest of as long.
const LONG_TURN: Duration = Duration::from_millis(1);
/// Longest rest: what it may add to a line's way when a shard is loaded.
const REST_MAX: Duration = Duration::from_millis(10);
/// Frames a write that show that waiting gathers.
const GATHERS: u64 = 3;
/// Events of a turn that show that there are more to come.
const BUSY: usize = 16;
/// Batches that wait beside the queue during a rest: the queue's own bound holds beyond.
const WAITING_MAX: usize = 64;

/// What a shard has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Frames that went into outboxes.
    pub deliveries: u64,
    /// Writes to sockets.
    pub writes: u64,
}

/// What waits for the next turn, and until when.
#[derive(Debug, Default)]
pub struct Pace {
    waiting: VecDeque<ToShard>,
    /// Events among what waits.
    events: usize,
    /// Events of the last turn.
    last: usize,
    /// Until when it rests.
    rest: Option<Instant>,
}

impl Pace {
    /// Keeps a message for the next turn. A rest is over once as many events wait as commands are `in_flight` and nearly as
    /// many as the last turn took, or something that is no event.
    pub fn wait(&mut self, message: ToShard, in_flight: usize) {
        let events = events(&message);
        self.waiting.push_back(message);
        self.events += events;
        let expected = in_flight.max(self.last - self.last / 8);
        if events == 0 || self.events >= expected {
            self.rest = None;
        }
    }

    /// Whether the last turn was one of many events.
    pub fn is_busy(&self) -> bool {
        self.last >= BUSY
    }

    /// Whether another message may wait here.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// Returns when a turn is due.
    pub async fn due(&self) {
        match self.rest {
            Some(until) => tokio::time::sleep_until(until).await,
            None if self.waiting.is_empty() => std::future::pending().await,
            None => {}
        }
    }

    /// The next message of a turn, of those that wait here.
    pub fn next(&mut self) -> Option<ToShard> {
        let message = self.waiting.pop_front()?;
        self.events -= events(&message);
        Some(message)
    }

    /// A turn is over: what it took, when it began, what it did.
    pub fn turned(&mut self, took: usize, begun: Instant, did: Work) {
        self.last = took;
        self.rest = rest(begun, Instant::now(), did);
    }
}

/// Events of a message.
pub fn events(message: &ToShard) -> usize {
    if let ToShard::Batch { events, .. } = message { events.len() } else { 0 }
}

/// Until when a shard rests after a turn; `None`: not at all.
fn rest(begun: Instant, now: Instant, did: Work) -> Option<Instant> {
    let spent = now - begun;
    let gathers = did.deliveries >= did.writes.max(1) * GATHERS;
    (gathers && spent >= LONG_TURN).then(|| now + spent.min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: usize) -> ToShard {
        let event = std::sync::Arc::new(crate::fanout::Encoded::sample(1));
        ToShard::Batch { events: vec![event; events], through: 0 }
    }

    fn is_due(pace: &Pace) -> bool {
        futures_util::FutureExt::now_or_never(pace.due()).is_some()
    }

    #[test]
    fn a_rest_is_for_long_turns_that_gather() {
        let begun = Instant::now();
        let after = |ms, deliveries, writes| {
            let now = begun + Duration::from_millis(ms);
            rest(begun, now, Work { deliveries, writes }).map(|until| until - now)
        };
        assert_eq!(after(0, 500, 100), None, "short");
        assert_eq!(after(2, 100, 100), None, "a line each");
        assert_eq!(after(2, 500, 100), Some(Duration::from_millis(2)));
        assert_eq!(after(100, 500, 100), Some(REST_MAX));
    }

    #[tokio::test]
    async fn a_rest_ends_when_as_much_waits_as_is_in_flight_or_something_else_comes() {
        let mut pace = Pace::default();
        assert!(!is_due(&pace), "nothing waits");
        let busy = |pace: &mut Pace| {
            while pace.next().is_some() {}
            let begun = Instant::now() - Duration::from_millis(8);
            pace.turned(3, begun, Work { deliveries: 900, writes: 100 });
        };
        busy(&mut pace);
        pace.wait(batch(2), 0);
        assert!(!is_due(&pace), "the last turn took more");
        pace.wait(batch(1), 4);
        assert!(!is_due(&pace), "more is in flight");
        pace.wait(batch(1), 4);
        assert!(is_due(&pace), "as much waits as is in flight");
        busy(&mut pace);
        pace.wait(ToShard::Drain, 4);
        assert!(is_due(&pace), "no event");
    }
}
