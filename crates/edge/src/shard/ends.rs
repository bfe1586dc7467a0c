//! Ends of sessions that others have not been told of yet. Each waits for its turn, and for another where nobody
//! answered; who tells them takes a few at a time.

use std::collections::{BTreeMap, HashMap};

use tidings_protocol::SessionId;
use tokio::time::Instant;

use super::end::{End, Ended};
use super::{Inner, Todo};
use crate::config::CONNECTIONS_MAX;
use crate::session::Pauses;

/// Ends that wait, a shard: of everybody it lets in, and of joins whose connection is gone. None is ever let go for it:
/// who comes while so many wait is sent away.
const ENDS_MAX: usize = CONNECTIONS_MAX + 1_024;

/// An end that others have to be told of.
#[derive(Debug)]
pub struct Untold {
    /// The end.
    pub ended: Ended,
    /// Since when.
    pub since: Instant,
    /// How long it waits between attempts.
    pub pauses: Pauses,
}

/// The ends that wait, of each session the newest.
#[derive(Debug, Default)]
pub struct Ends {
    turns: BTreeMap<(Instant, SessionId), Untold>,
    of: HashMap<SessionId, Instant>,
    /// Taken, and being told.
    taken: usize,
}

impl Ends {
    /// Gives an end a turn, unless that of a later connection of its session has one; answers what gave way.
    pub fn put(&mut self, untold: Untold, turn: Instant) -> Option<Untold> {
        let session = untold.ended.session;
        if let Some(before) = self.of.get(&session) {
            let place = (*before, session);
            if self.turns.get(&place).is_some_and(|known| known.ended.generation > untold.ended.generation) {
                return None;
            }
            self.turns.remove(&place);
        }
        self.of.insert(session, turn);
        self.turns.insert((turn, session), untold);
        if self.turns.len() > ENDS_MAX { self.pop() } else { None }
    }

    /// The next whose turn has come; it counts until it is `told`.
    pub fn take(&mut self, now: Instant) -> Option<Untold> {
        let untold = self.next_turn().filter(|turn| *turn <= now).and_then(|_| self.pop());
        self.taken += usize::from(untold.is_some());
        untold
    }

    /// One that was taken was told, or waits again.
    pub fn told(&mut self) {
        self.taken -= 1;
    }

    /// When the next has its turn.
    pub fn next_turn(&self) -> Option<Instant> {
        self.turns.first_key_value().map(|((turn, _), _)| *turn)
    }

    /// How many wait, or are being told.
    pub fn len(&self) -> usize {
        self.turns.len() + self.taken
    }

    fn pop(&mut self) -> Option<Untold> {
        let ((_, session), untold) = self.turns.pop_first()?;
        self.of.remove(&session);
        Some(untold)
    }
}

impl Inner {
    /// Whether nobody more is let in: each connection may become an end that others have to be told of.
    pub(crate) fn is_full(&self) -> bool {
        self.conns.len() + self.ends.len() > self.shared.config.connections
    }

    /// A session ended here: others are told.
    pub(crate) fn ended(&mut self, ended: Ended) {
        if ended.end == End::TakenOver {
            return; // by a connection that the others know
        }
        let now = Instant::now();
        self.tell_at(Untold { ended, since: now, pauses: Pauses::default() }, now);
        if std::mem::replace(&mut self.telling, true) {
            self.untold.notify_one();
        } else {
            self.todo.push(Todo::TellEnds);
        }
    }

    /// They are told then.
    pub(crate) fn tell_at(&mut self, untold: Untold, turn: Instant) {
        if let Some(gone) = self.ends.put(untold, turn) {
            gone.given_up("too many wait");
        }
    }
}

impl Untold {
    /// Nobody will be told.
    pub(crate) fn given_up(&self, why: &str) {
        metrics::counter!("tidings_edge_ends_untold_total").increment(1);
        tracing::warn!(why, session = %self.ended.session, "the end of a session could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidings_protocol::CharacterId;

    use super::*;

    fn untold(session: u128, generation: u64) -> Untold {
        let ended = Ended {
            end: End::Lost("gone"),
            session: SessionId::from_u128(session),
            generation,
            character: CharacterId::from_u128(1),
            zone: "town".parse().expect("a zone"),
            bye: None,
        };
        Untold { ended, since: Instant::now(), pauses: Pauses::default() }
    }

    fn taken(ends: &mut Ends, now: Instant) -> Option<(u128, u64)> {
        ends.take(now).map(|untold| (untold.ended.session.as_u128(), untold.ended.generation))
    }

    #[test]
    fn each_has_its_turn_and_a_session_one() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        let second = Duration::from_secs(1);
        for (session, generation, turn) in
            [(1, 1, now + second), (2, 4, now), (3, 1, now), (2, 3, now), (3, 2, now + 2 * second)]
        {
            assert!(ends.put(untold(session, generation), turn).is_none());
        }
        assert_eq!((taken(&mut ends, now), taken(&mut ends, now)), (Some((2, 4)), None));
        assert_eq!(ends.next_turn(), Some(now + second));
        let later = now + 3 * second;
        assert_eq!((taken(&mut ends, later), taken(&mut ends, later)), (Some((1, 1)), Some((3, 2))));
        assert_eq!((ends.len(), ends.of.len()), (3, 0));
        (0..3).for_each(|_| ends.told());
        assert_eq!(ends.len(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut ends, now) = (Ends::default(), Instant::now());
        for session in 0..ENDS_MAX as u128 {
            assert!(ends.put(untold(session, 1), now).is_none());
        }
        let gone = ends.put(untold(ENDS_MAX as u128, 1), now).expect("one gives way");
        assert_eq!((gone.ended.session.as_u128(), ends.len()), (0, ENDS_MAX));
    }
}
