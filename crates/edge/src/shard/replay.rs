//! A session that is not live yet: what happened since its position is gathered, then gone through in order as if
//! it were heard, then it is live.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_protocol::CloseCode;
use tokio::sync::oneshot;

use super::conn::{At, Phase};
use super::end::{Bye, End};
use super::members::{Hearing, Members};
use super::{Inner, Session, Todo};
use crate::fanout::{AudienceId, AudienceInfo, Encoded, Opened};
use crate::session::StateAsk;

/// What is kept for a session that is not live yet, in bytes: as much as an outbox.
pub const HELD_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a replay queued before the socket has taken them.
pub const REPLAY_CHUNK_BYTES: usize = 256 * 1024;

/// Events with their cost.
pub type Held = VecDeque<Arc<Encoded>>;

/// A session that is not live yet.
#[derive(Debug, Default)]
pub struct Replay {
    /// Nothing up to here is told again.
    pub after: u64,
    /// The audiences as they are at the place the replay has come to.
    pub virtual_set: Vec<(Arc<AudienceInfo>, Hearing)>,
    /// What came live since the audiences were opened.
    pub held: Held,
    /// Its cost in bytes.
    pub held_bytes: usize,
    /// The replay goes through its events: `hearing` is of the virtual set.
    pub running: bool,
    /// What is gone through was before this connection: an end in it is not this session's end.
    pub replaying_past: bool,
    /// The client was welcomed: commands wait in the session's queue until everything missed was told.
    pub welcomed: bool,
    /// So do the views it asks for.
    pub views: Vec<StateAsk>,
    /// Told once the outbox is empty.
    pub drained: Option<oneshot::Sender<()>>,
}

impl Replay {
    /// How the session hears an audience at this place of the replay.
    pub fn hearing(&self, audience: AudienceId) -> Option<Hearing> {
        self.virtual_set.iter().find(|(info, _)| info.id == audience).map(|(_, hearing)| *hearing)
    }

    /// Changes it.
    pub fn set_hearing(&mut self, info: &Arc<AudienceInfo>, hearing: Option<Hearing>) {
        self.virtual_set.retain(|(known, _)| known.id != info.id);
        if let Some(hearing) = hearing {
            self.virtual_set.push((Arc::clone(info), hearing));
        }
    }
}

impl Inner {
    /// The audiences of a joining session are held: it is a member from this place of the flow on.
    pub(crate) fn opened(&mut self, opened: Opened) {
        for info in &opened.audiences {
            let members = self.audiences.entry(info.id).or_insert_with(|| Members::new(Arc::clone(info)));
            members.holds += 1;
        }
        self.through = self.through.max(opened.through);
        let ids: Vec<AudienceId> = opened.audiences.iter().map(|info| info.id).collect();
        if let Some((at, waiting)) = self.openings.remove(&opened.ticket) {
            if self.session(at).is_some_and(|session| session.replay.is_some()) {
                for info in &opened.audiences {
                    if !self.is_member(at, info.id) {
                        self.join_audience(at.key, info, Hearing::Hold);
                    }
                }
            }
            let _ = waiting.send(opened);
        }
        for id in ids {
            self.release_if_empty(id);
        }
        self.release_replies();
    }

    /// Whether a session is a member of an audience.
    pub(crate) fn is_member(&self, at: At, audience: AudienceId) -> bool {
        let conn = self.conns.get(at.key as usize).filter(|conn| conn.id == at.id);
        conn.and_then(|conn| conn.session_ref()).is_some_and(|session| session.place(audience).is_some())
    }

    /// Starts a replay over from another place.
    pub(crate) fn start_replay(&mut self, at: At, after: u64, set: Vec<(Arc<AudienceInfo>, Hearing)>) {
        if let Some(replay) = self.session(at).and_then(|session| session.replay.as_mut()) {
            replay.after = after;
            replay.virtual_set = set;
        }
    }

    /// The first frames, before what was missed.
    pub(crate) fn welcome(&mut self, at: At, frames: [bytes::Bytes; 2], seq: u64, state_seq: u64) {
        let [welcome, state] = frames;
        self.push_as_it_is(at, welcome); // it holds the resume secret
        self.push_now(at, state);
        let Some(conn) = self.conn(at) else { return };
        conn.seq = seq;
        if let Some(session) = conn.session() {
            session.state_seq = state_seq;
            if let Some(replay) = &mut session.replay {
                replay.welcomed = true;
            }
        }
    }

    /// What came meanwhile; where nothing did, the session goes live in the same breath.
    pub(crate) fn live_or_held(&mut self, at: At) -> Option<Held> {
        let held = self.take_held(at)?;
        if held.is_empty() {
            self.go_live(at);
            return None;
        }
        Some(held)
    }

    /// Keeps a live event for a session that is not live yet.
    pub(crate) fn keep_for_replay(&mut self, key: u32, event: &Arc<Encoded>) {
        let Some(at) = self.at(key) else { return };
        let Some(replay) = self.session(at).and_then(|session| session.replay.as_mut()) else { return };
        replay.held_bytes += event.cost();
        replay.held.push_back(Arc::clone(event));
        if replay.held_bytes > HELD_BYTES_MAX {
            self.figures.slow_readers.increment(1);
            self.end(at, End::Lost("slow"), Some(Bye::of(CloseCode::SlowReader)));
        }
    }

    /// Puts a session that has an identity into its connection. What was said of it since its `hello` counts: then
    /// this is how it ends instead.
    pub(crate) fn attach(&mut self, at: At, session: Box<Session>, since: u64) -> Result<(), (End, Bye)> {
        let (id, character, generation) = (session.id, session.character, session.generation);
        let taken_over = || (End::TakenOver, Bye::of(CloseCode::TakenOver));
        if let Some(end) = self.ended_since(&session, since) {
            return Err(end);
        }
        // Of two that join at once the newer goes on, whichever is done first; generations are the character's.
        let other = self.by_character.get(&character).copied().filter(|other| *other != at.key);
        let other = other.and_then(|key| self.at(key));
        let newer = other.and_then(|other| self.session(other)).is_some_and(|it| it.generation > generation);
        if newer || self.shared.sessions.is_newer(id, generation) {
            return Err(taken_over());
        }
        match self.conn(at).map(|conn| &mut conn.phase) {
            Some(Phase::Joining(place)) => *place = Some(session),
            _ => return Err((End::Lost("gone"), Bye::of(CloseCode::Fault))),
        }
        self.figures.sessions.increment(1.0);
        // The older connection of the same character, if it is here, hears nothing more from now on.
        if let Some(older) = other {
            let (end, bye) = taken_over();
            self.end(older, end, Some(bye));
        }
        self.by_character.insert(character, at.key);
        self.by_session.insert(id, at.key);
        Ok(())
    }

    /// Goes through events until enough is queued; answers whether to go on once the socket has taken it.
    pub(crate) fn replay_some(
        &mut self,
        at: At,
        events: &mut Held,
        entered: u64,
    ) -> Option<oneshot::Receiver<()>> {
        while let Some(event) = events.pop_front() {
            let replay = self.session(at)?.replay.as_mut()?;
            replay.running = true;
            replay.replaying_past = event.seq < entered;
            if event.seq > replay.after {
                replay.after = event.seq.max(replay.after);
                self.apply(at.key, &event);
            }
            let conn = self.conn(at)?;
            if conn.out.bytes() > REPLAY_CHUNK_BYTES && !events.is_empty() {
                let (told, drained) = oneshot::channel();
                let replay = self.session(at)?.replay.as_mut()?;
                replay.running = false;
                replay.drained = Some(told);
                let key = at.key;
                if !self.conns[key as usize].dirty {
                    self.conns[key as usize].dirty = true;
                    self.dirty.push(key);
                }
                return Some(drained);
            }
        }
        if let Some(replay) = self.session(at).and_then(|session| session.replay.as_mut()) {
            replay.running = false;
        }
        None
    }

    /// Takes what came live meanwhile.
    pub(crate) fn take_held(&mut self, at: At) -> Option<Held> {
        let replay = self.session(at)?.replay.as_mut()?;
        replay.held_bytes = 0;
        Some(std::mem::take(&mut replay.held))
    }

    /// Everything was gone through: the session hears from now on what its set says.
    pub(crate) fn go_live(&mut self, at: At) {
        let Some(conn) = self.conn(at) else { return };
        let Phase::Joining(joining) = &mut conn.phase else { return };
        let Some(mut session) = joining.take() else { return };
        let Some(replay) = session.replay.take() else { return };
        conn.phase = Phase::Live(session);
        let held: Vec<Arc<AudienceInfo>> = self
            .session(at)
            .map(|session| session.audiences.iter().map(|place| Arc::clone(&place.info)).collect())
            .unwrap_or_default();
        for info in held {
            self.set_hearing(at.key, &info, replay.hearing(info.id));
        }
        for (info, hearing) in &replay.virtual_set {
            if self.session(at).is_some_and(|session| session.place(info.id).is_none()) {
                tracing::error!(audience = %info.audience, ?hearing, "a session goes live without an audience");
                self.end(at, End::Lost("fault"), Some(Bye::of(CloseCode::Fault)));
                return;
            }
        }
        self.todo.extend(replay.views.into_iter().map(|ask| Todo::State(at, ask)));
        self.next_command(at);
    }
}
