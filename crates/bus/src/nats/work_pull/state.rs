//! What a process has pulled of a queue and has asked for: how much more to ask for, and what it gave back unseen.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::time::Instant;

use crate::nats::ack::Delivery;

/// Messages of one pull, and pulled ahead of workers at most.
const PULL_BATCH: usize = 256;
/// What workers took in such a time is pulled ahead of them: what waits here does not wait longer, and a round trip to the
/// server is much shorter.
const AHEAD: Duration = Duration::from_millis(20);
/// So many, in less time than that, tell something already.
const TELLING: usize = 32;
/// How much longer than our own pulls what is given back stays away: the server ends a pull a little late.
pub(super) const BACK_AFTER: Duration = Duration::from_millis(100);
/// Deliveries remembered that were given back unseen: many times what is held here at once, in some hundred kilobytes. Of
/// one that is forgotten the delivery counts as an attempt.
const UNSEEN_MAX: usize = 4_096;

/// A delivery that no worker has yet.
pub(crate) struct Pulled {
    pub(crate) reply: Subject,
    pub(crate) delivery: Delivery,
    pub(crate) envelope: Bytes,
    /// When it came here: its deadline counts from then.
    pub(crate) since: Instant,
}

/// Which delivery of its message the server says that this is.
fn count(delivery: &Delivery) -> u32 {
    u32::try_from(delivery.count).unwrap_or(u32::MAX)
}

#[derive(Default)]
pub(super) struct State {
    pub(super) pulled: VecDeque<Pulled>,
    /// Messages that pulls at the server still may bring.
    pub(super) asked: usize,
    /// When the last of them was asked for.
    pub(super) asked_at: Option<Instant>,
    /// When the pulls they were asked by have ended.
    pub(super) asked_until: Option<Instant>,
    /// The same of pulls that are counted no more, and may stand all the same.
    forgotten_until: Option<Instant>,
    /// Messages to have here or asked for ahead of workers.
    pub(super) ahead: usize,
    /// Messages that workers took since `taken_since`.
    taken: usize,
    taken_since: Option<Instant>,
    /// Deliveries that were given back unseen: sequence, time, and the server's count.
    pub(super) unseen: BTreeSet<(u64, i64, u32)>,
    pub(super) stopped: bool,
}

impl State {
    /// The next one for a worker. One that waited until its deadline is out with another by now.
    pub(super) fn take(&mut self, ack_wait: Duration) -> Option<Pulled> {
        let now = Instant::now();
        let pulled = loop {
            let pulled = self.pulled.pop_front()?;
            if now.duration_since(pulled.since) < ack_wait {
                break pulled;
            }
            self.note_unseen(&pulled.delivery);
        };
        let since = *self.taken_since.get_or_insert(now);
        self.taken += 1;
        let passed = now.duration_since(since);
        if passed >= AHEAD || (self.taken >= TELLING && passed > Duration::ZERO) {
            let in_time = self.taken as f64 * AHEAD.as_secs_f64() / passed.as_secs_f64();
            // Told in less time it may be a burst: it has to come again to count for more.
            let most = if passed >= AHEAD { PULL_BATCH } else { 2 * self.ahead.max(self.taken) };
            self.ahead = (in_time as usize).min(most).min(PULL_BATCH);
            (self.taken, self.taken_since) = (0, Some(now));
        }
        Some(pulled)
    }

    /// How many to ask for, where so many wait: what is ahead is filled up by halves, not one by one.
    pub(super) fn missing(&self, waiting: usize) -> usize {
        let there = self.asked + self.pulled.len();
        let wanted = waiting.max(if there <= self.ahead / 2 { self.ahead } else { 0 });
        wanted.saturating_sub(there).min(PULL_BATCH)
    }

    /// So many of those asked for came, or will not.
    pub(super) fn came(&mut self, count: usize) {
        self.asked = self.asked.saturating_sub(count);
        if self.asked == 0 {
            self.asked_until = None;
        }
    }

    /// Counts no pull any more.
    pub(super) fn forget(&mut self) {
        self.asked = 0;
        self.forgotten_until = self.forgotten_until.max(self.asked_until.take());
    }

    /// All pulls will have ended by then.
    pub(super) fn end_by(&mut self, soon: Instant) {
        (self.asked, self.asked_until, self.forgotten_until) = (0, None, Some(soon));
    }

    /// How long what is given back has to stay away, so that it does not come back by a pull of our own.
    pub(super) fn back_after(&self, now: Instant) -> Duration {
        let until = self.asked_until.max(self.forgotten_until);
        match until.map(|until| until.saturating_duration_since(now)) {
            Some(left) if !left.is_zero() => left + BACK_AFTER,
            _ => Duration::ZERO,
        }
    }

    pub(super) fn note_unseen(&mut self, delivery: &Delivery) {
        self.unseen.insert((delivery.seq, delivery.time_ms, count(delivery)));
        if self.unseen.len() > UNSEEN_MAX {
            self.unseen.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(seq: u64, since: Instant) -> Pulled {
        let reply = format!("$JS.ACK.W.worker.1.{seq}.{seq}.1795276952308311292.0");
        let delivery = Delivery::parse(&reply).unwrap();
        Pulled { reply: reply.into(), delivery, envelope: Bytes::new(), since }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_until_its_deadline_is_handed_to_nobody() {
        let ack_wait = Duration::from_secs(2);
        let mut state = State::default();
        state.pulled.push_back(pulled(1, Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        state.pulled.push_back(pulled(2, Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(state.take(ack_wait).map(|pulled| pulled.delivery.seq), Some(2));
        assert_eq!(state.unseen.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), [1], "nobody saw it");
    }

    /// Takes so many, one each so often; how many are ahead then.
    async fn take(state: &mut State, count: usize, every: Duration) -> usize {
        for seq in 0..count as u64 {
            state.pulled.push_back(pulled(seq, Instant::now()));
            state.take(Duration::from_secs(30)).expect("there is one");
            tokio::time::advance(every).await;
        }
        state.ahead
    }

    #[tokio::test(start_paused = true)]
    async fn as_much_is_ahead_as_is_taken_in_a_moment() {
        let mut state = State::default();
        assert_eq!(take(&mut state, 3, AHEAD / 4).await, 0, "too few to tell");
        assert_eq!(take(&mut state, 40, AHEAD / 4).await, 4);
        assert_eq!(take(&mut state, 40, AHEAD / 2).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_no_rate_until_it_comes_again() {
        let (mut state, fast) = (State::default(), Duration::from_micros(50));
        assert_eq!(take(&mut state, TELLING, fast).await, 2 * TELLING, "long before a moment is over");
        assert_eq!(take(&mut state, TELLING, fast).await, 4 * TELLING);
        assert_eq!(take(&mut state, TELLING, fast).await, PULL_BATCH);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_stays_away_from_our_own_pulls() {
        let (mut state, second) = (State::default(), Duration::from_secs(1));
        assert_eq!(state.back_after(Instant::now()), Duration::ZERO, "no pull stands");
        (state.asked, state.asked_until) = (2, Some(Instant::now() + second * 3));
        tokio::time::advance(second).await;
        state.came(1);
        assert_eq!(state.back_after(Instant::now()), second * 2 + BACK_AFTER);
        state.forget();
        assert_eq!(state.back_after(Instant::now()), second * 2 + BACK_AFTER, "it may stand all the same");
        tokio::time::advance(second * 2).await;
        assert_eq!(state.back_after(Instant::now()), Duration::ZERO);
        (state.asked, state.asked_until) = (1, Some(Instant::now() + second));
        state.came(1);
        assert_eq!(state.back_after(Instant::now()), Duration::ZERO, "all that was asked for came");
    }

    #[test]
    fn the_unseen_are_bounded() {
        let mut state = State::default();
        for seq in 0..UNSEEN_MAX as u64 + 10 {
            state.note_unseen(&pulled(seq, Instant::now()).delivery);
        }
        assert_eq!(state.unseen.len(), UNSEEN_MAX);
        assert_eq!(state.unseen.first().map(|(seq, ..)| *seq), Some(10), "the oldest are forgotten");
    }
}
