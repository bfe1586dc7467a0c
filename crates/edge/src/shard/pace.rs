//! When a shard writes what the dispatcher handed out: at once, unless it is so busy that waiting makes one write of many.
//!
//! A write costs the same whether it carries one line or a dozen. Under load a shard therefore rests after a long turn of
//! writing, and more gathers for the next: but only where writes already carry several lines, since where few lines come for
//! each reader a rest gathers nothing, and no longer than until as much waits as may be expected: what is said here is known
//! by the commands that are not answered, what is said elsewhere comes about as it did before. What waits is in the outboxes
//! already: a session whose command was answered sends the next one, whose line goes with the same write.

use std::time::Duration;

use tokio::time::Instant;

use crate::fanout::ToShard;

/// Deliveries of one turn, a batch more at most: some 15 ms of writing, so that reading has its turn too.
pub const DELIVERIES_A_TURN: u64 = 32_768;
/// Messages of one turn, for those that deliver nothing: sessions being opened, batches held for who is joining.
pub const MESSAGES_A_TURN: usize = 512;
/// A turn that takes so long may be followed by a rest.
const LONG_TURN: Duration = Duration::from_millis(1);
/// A rest is at most so many times as long as the turn before it. Where all threads share a core, what is said in rooms of
/// ten takes longer to decide, store and encode than to write. Three times brought a tenth beside once; of six times one
/// run was within the noise.
const REST_TURNS: u32 = 3;
/// Longest rest: what it may add to a line's way when a shard is loaded.
const REST_MAX: Duration = Duration::from_millis(25);
/// Frames a write that show that waiting gathers.
const GATHERS: u64 = 3;
/// Events of a turn that show that there are more to come.
const BUSY: usize = 16;
/// Of what is expected one part in so many need not have come.
const SLACK: usize = 8;

/// What a shard has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Frames that went into outboxes.
    pub deliveries: u64,
    /// Writes to sockets.
    pub writes: u64,
}

/// What was taken since the last turn of writing, and until when more may gather.
#[derive(Debug, Default)]
pub struct Pace {
    /// Events that were taken since.
    events: usize,
    /// Events of the last turn.
    last: usize,
    /// Until when it rests.
    rest: Option<Instant>,
}

impl Pace {
    /// So many events more were taken. A rest is over once nearly as many are as the last turn wrote, and nearly all commands
    /// are answered; or when they are enough for a turn.
    pub fn took(&mut self, events: usize, so_far: Work, unanswered: usize) {
        self.events += events;
        let expected = (self.last - self.last / SLACK).max(unanswered * (SLACK - 1));
        if self.events >= expected || so_far.deliveries >= DELIVERIES_A_TURN {
            self.rest = None;
        }
    }

    /// Whether the last turn was one of many events.
    pub fn is_busy(&self) -> bool {
        self.last >= BUSY
    }

    /// Returns when the turn is due of what was taken.
    pub async fn due(&self) {
        if let Some(until) = self.rest {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A turn of writing is over: when it began, what was done for it.
    pub fn wrote(&mut self, begun: Instant, did: Work) {
        self.last = std::mem::take(&mut self.events);
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
    (gathers && spent >= LONG_TURN).then(|| now + (spent * REST_TURNS).min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Work = Work { deliveries: 10, writes: 0 };

    fn is_due(pace: &Pace) -> bool {
        futures_util::FutureExt::now_or_never(pace.due()).is_some()
    }

    /// After a turn of 16 events that took 8 ms.
    fn rested() -> Pace {
        let mut pace = Pace::default();
        pace.took(16, SOME, 0);
        assert!(is_due(&pace), "it did not rest");
        pace.wrote(Instant::now() - Duration::from_millis(8), Work { deliveries: 900, writes: 100 });
        pace
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
        assert_eq!(after(2, 500, 100), Some(Duration::from_millis(6)));
        assert_eq!(after(100, 500, 100), Some(REST_MAX));
    }

    #[tokio::test]
    async fn a_rest_ends_when_nearly_as_much_was_taken_as_before_and_nearly_all_is_answered() {
        let mut pace = rested();
        pace.took(13, SOME, 0);
        assert!(!is_due(&pace), "the last turn took more");
        pace.took(1, SOME, 3);
        assert!(!is_due(&pace), "more is to come");
        pace.took(1, SOME, 2);
        assert!(is_due(&pace), "one in eight may be late");
    }

    #[tokio::test]
    async fn a_rest_ends_when_there_is_enough_for_a_turn() {
        let mut pace = rested();
        pace.took(1, Work { deliveries: DELIVERIES_A_TURN - 1, writes: 0 }, 9);
        assert!(!is_due(&pace));
        pace.took(1, Work { deliveries: DELIVERIES_A_TURN, writes: 0 }, 9);
        assert!(is_due(&pace));
    }
}
