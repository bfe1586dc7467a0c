//! Whom an account does not hear: one set for all its sessions in this shard, known before anything is delivered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tidings_protocol::CloseCode;
use tidings_protocol::proto::services::v1::MuteList;

use super::conn::At;
use super::end::{Bye, End};
use super::outbox::Frame;
use super::table::Gate;
use super::{Inner, Todo, ticks};
use crate::fanout::{Encoded, Mute};

/// What waits behind a state that was asked for, in bytes: as much as an outbox.
const GATE_BYTES_MAX: usize = 1024 * 1024;
/// What waits while an author's standing is unknown.
const UNKNOWN_BYTES_MAX: usize = 64 * 1024;
/// How long it may.
pub(crate) const UNKNOWN_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// Whom an account does not hear.
#[derive(Debug, Default)]
pub struct MuteSet {
    /// By target and channel, until then; 0: without end. No target: the channel; no channel: everywhere.
    mutes: HashMap<(u128, Box<str>), i64>,
}

/// The set of an account with sessions here.
#[derive(Debug)]
pub struct Entry {
    /// The set its sessions share.
    pub set: Rc<RefCell<MuteSet>>,
    /// Sessions that use it.
    pub users: u32,
    /// Whether it is what the moderation service knows.
    pub known: bool,
    /// When it was loaded, in ticks.
    pub loaded: u32,
    /// It is being loaded.
    pub loading: bool,
    /// How often it changed: what was asked for before a change does not replace it.
    pub changes: u32,
}

impl MuteSet {
    /// Whether a line of this author on this channel is not heard.
    pub fn silences(&self, author: u128, channel: &str, now_ms: i64) -> bool {
        if self.mutes.is_empty() {
            return false;
        }
        let holds = |target: u128, channel: &str| {
            self.mutes.get(&(target, channel.into())).is_some_and(|until| *until == 0 || *until > now_ms)
        };
        let speech = !channel.is_empty();
        (author != 0 && (holds(author, "") || (speech && holds(author, channel))))
            || (speech && holds(0, channel))
    }

    /// One mute more or less.
    pub fn change(&mut self, mute: &Mute) {
        let key = (mute.target, mute.channel.clone());
        if mute.removed {
            self.mutes.remove(&key);
        } else {
            self.mutes.insert(key, mute.until_ms);
        }
    }

    /// All of them anew.
    pub fn replace(&mut self, list: &MuteList) {
        self.mutes.clear();
        for mute in &list.mutes {
            self.change(&Mute::from(mute));
        }
    }

    /// Whether nobody is muted.
    pub fn is_empty(&self) -> bool {
        self.mutes.is_empty()
    }
}

impl Inner {
    /// The set of an account, used by one session more. It may have to be loaded.
    pub(crate) fn use_mutes(&mut self, account: u128) -> Rc<RefCell<MuteSet>> {
        let entry = self.mutes.entry(account).or_insert_with(|| Entry {
            set: Rc::default(),
            users: 0,
            known: false,
            loaded: 0,
            loading: false,
            changes: 0,
        });
        entry.users += 1;
        Rc::clone(&entry.set)
    }

    /// A session fewer uses it.
    pub(crate) fn release_mutes(&mut self, account: u128) {
        if let Some(entry) = self.mutes.get_mut(&account) {
            entry.users -= 1;
            if entry.users == 0 {
                self.mutes.remove(&account);
            }
        }
    }

    /// A mute of the session's own account, from its character's log.
    pub(crate) fn apply_mute(&mut self, key: u32, mute: &Mute) {
        let Some(session) = self.conns.get(key as usize).and_then(|conn| conn.session_ref()) else { return };
        // The set was loaded as it stands now: what the past says of it is in it already.
        if session.account.as_u128() != mute.account
            || session.replay.as_ref().is_some_and(|r| r.replaying_past)
        {
            return;
        }
        let set = Rc::clone(&session.mutes);
        set.borrow_mut().change(mute);
        if let Some(entry) = self.mutes.get_mut(&mute.account) {
            entry.changes += 1;
        }
        self.count_muting(mute.account);
    }

    /// Makes the members' counts say who mutes anybody.
    fn count_muting(&mut self, account: u128) {
        for (_, conn) in &mut self.conns {
            let Some(session) = conn.session().filter(|session| session.account.as_u128() == account) else {
                continue;
            };
            let muting = !session.mutes.borrow().is_empty();
            if session.muting == muting {
                continue;
            }
            session.muting = muting;
            for place in &session.audiences {
                if let Some(members) = self.audiences.get_mut(&place.info.id) {
                    members.muting = if muting { members.muting + 1 } else { members.muting - 1 };
                }
            }
        }
    }

    /// The mutes of an account changed elsewhere: until they are known again, its sessions wait.
    pub(crate) fn mutes_changed(&mut self, account: u128) {
        let Some(entry) = self.mutes.get_mut(&account) else { return };
        entry.known = false;
        entry.changes += 1;
        self.todo.push(Todo::LoadMutes(account));
        let tick = self.tick;
        for at in self.live_of(account) {
            let seq = self.conn(at).map_or(0, |conn| conn.seq);
            self.gate(at, |gate| {
                gate.state_at = if gate.state || gate.mutes_since.is_some() { gate.state_at } else { seq };
                gate.mutes_since = gate.mutes_since.or(Some(tick));
            });
        }
    }

    fn live_of(&self, account: u128) -> Vec<At> {
        let of = |conn: &super::Conn| match &conn.phase {
            super::Phase::Live(session) => session.account.as_u128() == account,
            _ => false,
        };
        let live = self.conns.iter().filter(|(_, conn)| of(conn));
        live.map(|(key, conn)| At { key: key as u32, id: conn.id }).collect()
    }

    /// The mutes of an account are known.
    pub(crate) fn mutes_loaded(&mut self, account: u128, list: &MuteList, changes: u32) {
        let tick = self.tick;
        let Some(entry) = self.mutes.get_mut(&account) else { return };
        if entry.changes != changes {
            entry.loading = false;
            return self.todo.push(Todo::LoadMutes(account));
        }
        (entry.known, entry.loading, entry.loaded) = (true, false, tick);
        entry.set.borrow_mut().replace(list);
        self.count_muting(account);
        for at in self.live_of(account) {
            self.open_gate(at, |gate| gate.mutes_since = None);
        }
    }

    /// Puts a gate before a session, or changes the one that is there.
    pub(crate) fn gate(&mut self, at: At, change: impl FnOnce(&mut Gate)) {
        let Some(conn) = self.conn(at) else { return };
        let Some(session) = conn.session() else { return };
        change(session.gate.get_or_insert_default());
        conn.gated = true;
    }

    /// Changes a gate; what waited goes on where nothing is waited for any more.
    pub(crate) fn open_gate(&mut self, at: At, change: impl FnOnce(&mut Gate)) {
        let Some(conn) = self.conn(at) else { return };
        let Some(session) = conn.session() else { return };
        let Some(gate) = &mut session.gate else { return };
        change(gate);
        if gate.state || gate.mutes_since.is_some() {
            return;
        }
        let items = session.gate.take().map(|gate| gate.items).unwrap_or_default();
        conn.gated = false;
        let now = self.now_ms;
        for (frame, event) in items {
            let muted = event.as_ref().is_some_and(|event| self.muted_now(at, event, now));
            if !muted {
                self.push_frame(at.key, frame, event.as_ref());
            }
        }
    }

    fn muted_now(&mut self, at: At, event: &Arc<Encoded>, now: i64) -> bool {
        let Some(session) = self.session(at) else { return true };
        !event.always
            && event.origin() != Some(session.id)
            && session.mutes.borrow().silences(event.author, &event.channel, now)
    }

    /// Keeps a frame behind a session's gate.
    pub(crate) fn hold_in_gate(&mut self, key: u32, frame: Frame, event: Option<&Arc<Encoded>>) {
        let Some(at) = self.at(key) else { return };
        let Some(gate) = self.session(at).and_then(|session| session.gate.as_mut()) else { return };
        gate.bytes += frame.len();
        gate.items.push_back((frame, event.cloned()));
        let most = if gate.mutes_since.is_some() { UNKNOWN_BYTES_MAX } else { GATE_BYTES_MAX };
        if gate.bytes > most {
            self.end(at, End::Lost("held_too_much"), Some(Bye::of(CloseCode::Unavailable)));
        }
    }

    /// Loads sets again that are old, a few at a time; ends sessions whose mutes stay unknown.
    pub(crate) fn sweep_mutes(&mut self) {
        let (tick, old) = (self.tick, ticks(self.shared.config.session.mutes));
        let at_once = self.mutes.len().div_ceil(old.max(1) as usize).max(1) * 2;
        let due: Vec<u128> = self
            .mutes
            .iter()
            .filter(|(_, entry)| !entry.loading && tick.wrapping_sub(entry.loaded) >= old)
            .map(|(account, _)| *account)
            .take(at_once)
            .collect();
        self.todo.extend(due.into_iter().map(Todo::LoadMutes));
        let since = |conn: &super::Conn| conn.session_ref()?.gate.as_ref()?.mutes_since;
        let late: Vec<At> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.gated)
            .filter(|(_, conn)| {
                since(conn).is_some_and(|since| tick.wrapping_sub(since) > ticks(UNKNOWN_MAX))
            })
            .map(|(key, conn)| At { key: key as u32, id: conn.id })
            .collect();
        for at in late {
            self.end(at, End::Lost("mutes_unknown"), Some(Bye::of(CloseCode::Unavailable)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mute(target: u128, channel: &str, until_ms: i64, removed: bool) -> Mute {
        Mute { account: 1, target, channel: channel.into(), until_ms, removed }
    }

    #[test]
    fn a_mute_holds_everywhere_or_on_its_channel_until_its_time() {
        let mut set = MuteSet::default();
        assert!(!set.silences(7, "say", 0));
        for change in [mute(7, "", 0, false), mute(8, "global", 0, false), mute(0, "local", 500, false)] {
            set.change(&change);
        }
        let cases = [
            (7, "say", 0, true),
            (7, "", 0, true),
            (8, "global", 0, true),
            (8, "say", 0, false),
            (8, "", 0, false),
            (9, "local", 499, true),
            (9, "local", 500, false),
            (0, "local", 0, true),
            (0, "", 0, false),
        ];
        for (author, channel, now, expected) in cases {
            assert_eq!(set.silences(author, channel, now), expected, "{author} on '{channel}' at {now}");
        }
        set.change(&mute(7, "", 0, true));
        assert!(!set.silences(7, "say", 0));
    }
}
