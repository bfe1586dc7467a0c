//! The hot path: one event to all members of an audience in this shard.
//!
//! Where an event says the same to everyone and nobody in the room has a mute, a delivery is a place in the room's
//! sheet, put into an outbox. Everything else goes through [`Inner::apply`], which knows borders, mutes and replies; it is
//! also what a replay uses, so that what is missed is filtered exactly like what is heard.

use std::sync::Arc;

use bytes::Bytes;
use tidings_protocol::{Audience, CloseCode};

use super::conn::{At, Phase};
use super::end::{Bye, End};
use super::members::{Hearing, Members};
use super::sheet::Piece;
use super::table::Place;
use super::{Inner, Todo};
use crate::fanout::{AudienceId, AudienceInfo, Border, Change, Encoded, Special, ToShard};
use crate::session::StateAsk;
use crate::ws::deflate::COMPRESS_FROM_BYTES;

impl Inner {
    /// Takes a batch of the dispatcher.
    pub(crate) fn batch(&mut self, events: &[Arc<Encoded>], through: u64) {
        self.now_ms = crate::time::now_ms();
        for event in events {
            self.deliver(event);
        }
        self.through = self.through.max(through);
        self.release_replies();
    }

    /// One event to everyone here who may perceive it.
    fn deliver(&mut self, event: &Arc<Encoded>) {
        if let Some(change) = event.change() {
            self.count_holds(change);
        }
        if let Some(mute) = event.mute() {
            self.apply_mute(mute);
        }
        let Some(members) = self.audiences.get(&event.audience.id) else { return };
        let mutable = event.author != 0 && !event.always && members.muting > 0;
        let alone = if event.is_uniform() && !mutable {
            self.deliver_to_most(event)
        } else {
            members.list.iter().map(|member| member.key).collect()
        };
        for key in alone {
            self.apply(key, event);
        }
        if let Some(change) = event.change() {
            for info in change.opened() {
                self.release_if_empty(info.id);
            }
        }
    }

    /// One event to all who simply hear it; answers who is left, to whom it is more than its frame.
    fn deliver_to_most(&mut self, event: &Arc<Encoded>) -> Vec<u32> {
        let mut alone = Vec::new();
        let Some(members) = self.audiences.get_mut(&event.audience.id) else { return alone };
        let origin = event.origin().and_then(|session| self.by_session.get(&session).copied());
        let subject = event.subject().and_then(|subject| self.by_character.get(&subject).copied());
        let frame = &event.frame;
        let mut laid = None;
        let most = self.shared.config.limits.outbox_bytes;
        let mut slow = Vec::new();
        let mut count = 0;
        let Members { list, sheet, .. } = members;
        for member in list.iter() {
            let concerned = Some(member.key) == origin || Some(member.key) == subject;
            if concerned || member.hearing != Hearing::Heard {
                alone.push(member.key);
                continue;
            }
            if frame.is_empty() {
                continue;
            }
            let Some(conn) = self.conns.get_mut(member.key as usize) else { continue };
            conn.seq = event.seq;
            count += 1;
            if conn.gated {
                slow.push(member.key);
                continue;
            }
            let laid = laid.get_or_insert_with(|| {
                // Long frames may go compressed: then nobody would hold a place of the sheet.
                if list.len() == 1 || frame.len() >= COMPRESS_FROM_BYTES {
                    return Piece::from(frame.clone());
                }
                let sheet = sheet.get_or_insert_default();
                if sheet.is_sealed() {
                    self.growing.push(event.audience.id);
                }
                sheet.lay(frame)
            });
            if conn.queue_laid(frame, laid, &mut self.deflater) > most && most != 0 {
                slow.push(member.key);
            }
            if !conn.dirty {
                conn.dirty = true;
                self.dirty.push(member.key);
            }
        }
        self.figures.delivered.increment(count);
        self.work.deliveries += count;
        for key in slow {
            if self.conns.get(key as usize).is_some_and(|conn| conn.gated) {
                self.hold_in_gate(key, frame.clone(), Some(event));
            } else {
                self.too_slow(key);
            }
        }
        alone
    }

    /// What a batch's change of audiences makes the dispatcher hold for this shard is counted here, by the same
    /// rule, so that it is released exactly.
    fn count_holds(&mut self, change: &Change) {
        for info in change.opened() {
            let members = self.audiences.entry(info.id).or_insert_with(|| Members::new(Arc::clone(info)));
            members.holds += 1;
        }
    }

    /// One event for one member: borders, mutes, its own reply, what acts on its session.
    pub(crate) fn apply(&mut self, key: u32, event: &Arc<Encoded>) {
        let Some(at) = self.at(key) else { return };
        let audience = event.audience.id;
        let Some(mut hearing) = self.hearing(key, audience) else { return };
        if hearing == Hearing::Hold {
            return self.keep_for_replay(key, event);
        }
        let Some(session) = self.conns[key as usize].session() else { return };
        let (me, id) = (session.character, session.id);
        let (mut mine, mut own, mut ask_state) = (false, None, false);
        let special = event.special.as_deref();
        if let Some(special) = special {
            mine = special.origin == Some(id);
            own = special.own.as_ref().filter(|_| mine);
            if let Some((subject, border)) = special.border
                && subject == me
            {
                ask_state = border == Border::Entered && event.seq > session.state_seq;
                hearing = self.cross(key, &event.audience, border, hearing);
                mine = true;
            }
            if let Some(change) = &special.change
                && self.is_own_log(key, event)
            {
                self.change_audiences(key, change);
            }
        }
        if let Some(own) = own {
            self.push(key, own, event);
        } else if !mine
            && matches!(hearing, Hearing::Heard | Hearing::Leaving)
            && !event.frame.is_empty()
            && self.perceives(key, event, special)
        {
            self.push(key, &event.frame, event);
        }
        if self.at(key) != Some(at) {
            return;
        }
        if let Some(special) = special {
            self.answer(at, special);
            if self.is_own_log(key, event) {
                self.leave_if_told(at, special);
            }
        }
        if ask_state && event.audience.is_room() && self.at(key) == Some(at) {
            self.ask_room(at, event.seq);
        }
    }

    /// The border of a stay in a room; answers how the rest of this event is heard.
    fn cross(&mut self, key: u32, room: &Arc<AudienceInfo>, border: Border, hearing: Hearing) -> Hearing {
        match (border, hearing) {
            (Border::Entered, Hearing::Waiting) => {
                self.set_hearing(key, room, Some(Hearing::Heard));
                Hearing::Heard
            }
            (Border::Left, Hearing::Leaving) => {
                self.set_hearing(key, room, None);
                Hearing::Leaving
            }
            _ => hearing,
        }
    }

    fn is_own_log(&self, key: u32, event: &Encoded) -> bool {
        let session = self.conns.get(key as usize).and_then(|conn| conn.session_ref());
        session.is_some_and(|session| event.audience.audience == Audience::Player(session.character))
    }

    /// A reply was shown: the next command may go.
    fn answer(&mut self, at: At, special: &Special) {
        let Some(session) = self.session(at) else { return };
        if special.origin == Some(session.id)
            && special.own.is_some()
            && session.inflight.as_ref().is_some_and(|inflight| inflight.id == special.command)
        {
            session.inflight = None;
            self.next_command(at);
        }
    }

    /// The character's log says that the session is over. One that was over in the past was that of a connection
    /// before.
    fn leave_if_told(&mut self, at: At, special: &Special) {
        let Some((code, reason)) = &special.bye else { return };
        let past = |session: &mut super::Session| session.replay.as_ref().is_some_and(|r| r.replaying_past);
        if !self.session(at).is_some_and(past) {
            let bye = Bye { code: *code, reason: reason.clone(), after_ms: 0 };
            self.end(at, End::Left, Some(bye));
        }
    }

    fn change_audiences(&mut self, key: u32, change: &Change) {
        let Some(session) = self.conns[key as usize].session() else { return };
        let own = Audience::Player(session.character);
        let room = change.after.iter().find_map(|info| match &info.audience {
            Audience::Room(room) => Some(room),
            _ => None,
        });
        if let Some(room) = room {
            session.zone = room.zone();
        }
        let (entering, leaving) = (change.before.is_empty(), change.after.is_empty());
        for info in change.before.iter().filter(|info| info.audience != own) {
            if !change.after.iter().any(|kept| kept.id == info.id) && self.hearing(key, info.id).is_some() {
                // Who leaves the world is told of it after the room: nothing more is to come from there.
                let rest = (info.is_room() && !leaving).then_some(Hearing::Leaving);
                self.set_hearing(key, info, rest);
            }
        }
        for info in &change.after {
            match self.hearing(key, info.id) {
                Some(Hearing::Leaving) | None => {
                    let waits = info.is_room() && !entering;
                    let hearing = if waits { Hearing::Waiting } else { Hearing::Heard };
                    self.set_hearing(key, info, Some(hearing));
                }
                Some(_) => {}
            }
        }
    }

    /// Whether a member may perceive an event, and has not yet.
    pub(crate) fn perceives(&self, key: u32, event: &Encoded, special: Option<&Special>) -> bool {
        let Some(session) = self.conns[key as usize].session_ref() else { return false };
        if let Some(special) = special {
            let me = session.character;
            if special.except.contains(&me) || (!special.only.is_empty() && !special.only.contains(&me)) {
                return false;
            }
        }
        !session.state_holds(event)
            && (event.always || !session.mutes.borrow().silences(event.author, &event.channel, self.now_ms))
    }

    /// A frame of the flow: through the gate where there is one.
    fn push(&mut self, key: u32, frame: &Bytes, event: &Arc<Encoded>) {
        let Some(conn) = self.conns.get_mut(key as usize) else { return };
        conn.seq = conn.seq.max(event.seq);
        self.figures.delivered.increment(1);
        self.work.deliveries += 1;
        self.push_frame(key, frame, Some(event));
    }

    /// A frame into the outbox, or behind what the session waits for.
    pub(crate) fn push_frame(&mut self, key: u32, frame: &Bytes, event: Option<&Arc<Encoded>>) {
        let most = self.shared.config.limits.outbox_bytes;
        let Some(conn) = self.conns.get_mut(key as usize) else { return };
        if matches!(conn.phase, Phase::Closing(..)) {
            return;
        }
        if conn.gated {
            return self.hold_in_gate(key, frame.clone(), event);
        }
        let waiting = conn.queue(frame, &mut self.deflater);
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(key);
        }
        if waiting > most && most != 0 {
            self.too_slow(key);
        }
    }

    /// A reader with too much waiting: what the socket takes now may still save it.
    pub(super) fn too_slow(&mut self, key: u32) {
        let Some(at) = self.at(key) else { return };
        if self.flush(at).is_break() {
            return;
        }
        let most = self.shared.config.limits.outbox_bytes;
        if self.conn(at).is_some_and(|conn| conn.out.bytes() > most) {
            self.figures.slow_readers.increment(1);
            self.end(at, End::Lost("slow"), Some(Bye::of(CloseCode::SlowReader)));
        }
    }

    /// Asks for the room's state; everything else waits behind it.
    fn ask_room(&mut self, at: At, entered: u64) {
        let seq = self.conn(at).map_or(0, |conn| conn.seq);
        self.gate(at, |gate| {
            gate.state_at = if gate.state || gate.mutes_since.is_some() { gate.state_at } else { seq };
            gate.state_needs = entered;
            gate.state = true;
        });
        self.todo.push(Todo::State(at, StateAsk::entered()));
    }

    /// The same place, if there is a connection in it.
    pub(crate) fn at(&self, key: u32) -> Option<At> {
        self.conns.get(key as usize).map(|conn| At { key, id: conn.id })
    }

    /// How a session hears an audience.
    pub(crate) fn hearing(&self, key: u32, audience: AudienceId) -> Option<Hearing> {
        let session = self.conns.get(key as usize)?.session_ref()?;
        if let Some(replay) = session.replay.as_ref().filter(|replay| replay.running) {
            return replay.hearing(audience);
        }
        let place = session.place(audience)?;
        self.audiences.get(&audience).map(|members| members.list[place as usize].hearing)
    }

    /// Changes how a session hears an audience; `None`: no more.
    pub(crate) fn set_hearing(&mut self, key: u32, info: &Arc<AudienceInfo>, hearing: Option<Hearing>) {
        let Some(session) = self.conns.get_mut(key as usize).and_then(|conn| conn.session()) else { return };
        if let Some(replay) = session.replay.as_mut().filter(|replay| replay.running) {
            return replay.set_hearing(info, hearing);
        }
        match (session.place(info.id), hearing) {
            (Some(place), Some(hearing)) => {
                if let Some(members) = self.audiences.get_mut(&info.id) {
                    members.set(place, hearing);
                }
            }
            (None, Some(hearing)) => self.join_audience(key, info, hearing),
            (Some(_), None) => self.leave_audience(key, info.id),
            (None, None) => {}
        }
    }

    /// Makes a session a member.
    pub(crate) fn join_audience(&mut self, key: u32, info: &Arc<AudienceInfo>, hearing: Hearing) {
        let members = self.audiences.entry(info.id).or_insert_with(|| Members::new(Arc::clone(info)));
        let Some(session) = self.conns.get_mut(key as usize).and_then(|conn| conn.session()) else { return };
        let index = members.add(key, hearing);
        members.muting += u32::from(session.muting);
        session.audiences.push(Place { id: info.id, info: Arc::clone(info), index });
    }

    /// Ends a membership, and the dispatcher's holds with the last one.
    pub(crate) fn leave_audience(&mut self, key: u32, audience: AudienceId) {
        let Some(session) = self.conns.get_mut(key as usize).and_then(|conn| conn.session()) else { return };
        let Some(at) = session.audiences.iter().position(|place| place.id == audience) else { return };
        let place = session.audiences.swap_remove(at);
        let muting = session.muting;
        let Some(members) = self.audiences.get_mut(&audience) else { return };
        members.muting -= u32::from(muting);
        if let Some(moved) = members.remove(place.index)
            && let Some(other) = self.conns.get_mut(moved as usize).and_then(|conn| conn.session())
            && let Some(theirs) = other.audiences.iter_mut().find(|theirs| theirs.info.id == audience)
        {
            theirs.index = place.index;
        }
        self.release_if_empty(audience);
    }

    /// Gives the dispatcher back what nobody here hears any more.
    pub(crate) fn release_if_empty(&mut self, audience: AudienceId) {
        let empty = self.audiences.get(&audience).is_some_and(|members| members.list.is_empty());
        if empty && let Some(members) = self.audiences.remove(&audience) {
            self.todo.push(Todo::Release(members.info, members.holds));
        }
    }

    /// Events of an audience are gone: whoever hears it has to come anew.
    pub(crate) fn hole(&mut self, audience: AudienceId) {
        let Some(members) = self.audiences.get(&audience) else { return };
        let keys: Vec<u32> = members.list.iter().map(|member| member.key).collect();
        for at in keys.into_iter().filter_map(|key| self.at(key)).collect::<Vec<_>>() {
            self.end(at, End::Lost("hole"), Some(Bye::of(CloseCode::Fault)));
        }
    }
}

/// Batches are the hot path: nothing else may grow the messages of the queue.
const _: () = assert!(std::mem::size_of::<ToShard>() <= 128);

#[cfg(test)]
mod tests;
