//! One set of mutes for all sessions of an account in this shard, known before anything is delivered; the gate that
//! holds back what comes while it is not.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tidings_protocol::CloseCode;
use tidings_protocol::proto::world::v1::MuteList;

use super::conn::At;
use super::end::{Bye, End};
use super::mute_set::MuteSet;
use super::table::Gate;
use super::{Held, Inner, Todo, ticks};
use crate::fanout::{Encoded, Mute};

/// What waits behind a state that was asked for, in bytes: as much as an outbox.
const GATE_BYTES_MAX: usize = 1024 * 1024;
/// What waits while an author's standing is unknown.
const UNKNOWN_BYTES_MAX: usize = 64 * 1024;
/// How long it may.
pub(crate) const UNKNOWN_MAX: std::time::Duration = std::time::Duration::from_secs(2);
/// Accounts whose mutes are asked for by one call: as many as the service answers at once.
pub(crate) const MUTES_A_CALL_MAX: usize = 64;

/// The set of an account with sessions here.
#[derive(Debug)]
pub struct Entry {
    /// The set its sessions share.
    pub set: Rc<RefCell<MuteSet>>,
    /// The connections of the sessions that use it.
    pub users: Vec<u32>,
    /// Whether it is what the moderation service knows.
    pub known: bool,
    /// When it was loaded, in ticks.
    pub loaded: u32,
    /// It is in the list of those to be loaded, or under way.
    pub loading: bool,
    /// Which change of any set of the shard was the last one here: what was asked for before it does not replace it.
    pub changes: u64,
}

impl Inner {
    /// The set of an account, used by the session of one connection more, and what its last change was. It may have to
    /// be loaded.
    pub(crate) fn use_mutes(&mut self, account: u128, key: u32) -> (Rc<RefCell<MuteSet>>, u64) {
        self.mute_changes += 1;
        let changes = self.mute_changes;
        let entry = self.mutes.entry(account).or_insert_with(|| Entry {
            set: Rc::default(),
            users: Vec::new(),
            known: false,
            loaded: 0,
            loading: false,
            changes,
        });
        entry.users.push(key);
        (Rc::clone(&entry.set), entry.changes)
    }

    /// The session of a connection uses it no more.
    pub(crate) fn release_mutes(&mut self, account: u128, key: u32) {
        let Some(entry) = self.mutes.get_mut(&account) else { return };
        if let Some(at) = entry.users.iter().position(|user| *user == key) {
            entry.users.swap_remove(at);
        }
        if entry.users.is_empty() {
            self.mutes.remove(&account);
        }
    }

    /// A mute, from the log of the character whose command it was: it comes to every shard at its place in the flow.
    /// While it is not known that storage has it, it is laid over what is loaded.
    pub(crate) fn apply_mute(&mut self, mute: &Mute) {
        self.shared.recent_mutes.note(mute, Instant::now());
        if let Some(entry) = self.mutes.get(&mute.account) {
            entry.set.borrow_mut().change(mute);
            self.count_muting(mute.account);
        }
    }

    /// What a joining session missed may say more of its mutes than storage knows yet: then they are loaded again
    /// before anything is judged by them.
    pub(crate) fn note_missed_mutes(&mut self, account: u128, missed: &Held) {
        let changes = missed.iter().filter_map(|event| event.mute());
        let mut changed = false;
        for mute in changes.filter(|mute| mute.account == account) {
            self.shared.recent_mutes.note(mute, Instant::now());
            changed = true;
        }
        if changed {
            self.mutes_unknown(account);
        }
    }

    /// Makes the members' counts say who mutes anybody.
    fn count_muting(&mut self, account: u128) {
        let users = self.mutes.get(&account).into_iter().flat_map(|entry| &entry.users);
        for key in users {
            let session = self.conns.get_mut(*key as usize).and_then(super::Conn::session);
            let Some(session) = session.filter(|session| session.account.as_u128() == account) else {
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

    /// The mutes of an account changed elsewhere: until they are known again, its sessions wait. One that joins waits
    /// before its replay goes on.
    pub(crate) fn mutes_changed(&mut self, account: u128) {
        if !self.mutes_unknown(account) {
            return;
        }
        self.want_mutes(account);
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
        let users = self.mutes.get(&account).into_iter().flat_map(|entry| &entry.users);
        let conns = users.filter_map(|key| Some((*key, self.conns.get(*key as usize)?)));
        conns.filter(|(_, conn)| of(conn)).map(|(key, conn)| At { key, id: conn.id }).collect()
    }

    /// What is known of an account's mutes is not all; whether it has sessions here.
    fn mutes_unknown(&mut self, account: u128) -> bool {
        let Some(entry) = self.mutes.get_mut(&account) else { return false };
        self.mute_changes += 1;
        (entry.known, entry.changes) = (false, self.mute_changes);
        true
    }

    /// The mutes of an account are to be loaded, with those of others.
    pub(crate) fn want_mutes(&mut self, account: u128) {
        let Some(entry) = self.mutes.get_mut(&account) else { return };
        if std::mem::replace(&mut entry.loading, true) {
            return;
        }
        self.unloaded.push(account);
        if !self.mutes_loading {
            self.mutes_loading = true;
            self.todo.push(Todo::LoadMutes);
        }
    }

    /// The accounts of the next call, each with its last change before; none: nothing is to be loaded.
    pub(crate) fn mutes_to_load(&mut self) -> Vec<(u128, u64)> {
        let here = &self.mutes;
        self.unloaded.retain(|account| here.contains_key(account));
        let many = self.unloaded.len().min(MUTES_A_CALL_MAX);
        self.mutes_loading = many > 0;
        self.unloaded.drain(..many).map(|account| (account, here[&account].changes)).collect()
    }

    /// The mutes of an account could not be loaded: where sessions wait for them they end by their own deadline.
    pub(crate) fn mutes_not_loaded(&mut self, account: u128) {
        let Some(entry) = self.mutes.get_mut(&account) else { return };
        entry.loading = false;
        if !entry.known {
            self.want_mutes(account);
        }
    }

    /// Nobody loads mutes any more: whatever is not known is wanted anew, the others in their turn.
    pub(crate) fn mutes_lost(&mut self) {
        self.mutes_loading = false;
        self.unloaded.clear();
        let mut unknown = Vec::new();
        for (account, entry) in &mut self.mutes {
            entry.loading = false;
            if !entry.known {
                unknown.push(*account);
            }
        }
        for account in unknown {
            self.want_mutes(account);
        }
    }

    /// The mutes of an account are known. A list that a change elsewhere has overtaken is fetched again.
    pub(crate) fn mutes_loaded(&mut self, account: u128, list: &MuteList, changes: u64) {
        let tick = self.tick;
        let Some(entry) = self.mutes.get_mut(&account) else { return };
        entry.loading = false;
        if entry.changes != changes {
            return self.want_mutes(account);
        }
        (entry.known, entry.loaded) = (true, tick);
        let recent = self.shared.recent_mutes.missing(account, list, Instant::now());
        entry.set.borrow_mut().replace(list, &recent);
        self.count_muting(account);
        self.mutes_known.notify_waiters();
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
            let passes = event.as_ref().is_none_or(|event| self.passes_gate(at, event, now));
            if passes {
                self.push_frame(at.key, &frame, event.as_ref());
            }
        }
        self.release_hints(at);
    }

    /// Whether what waited is still to be shown, as the mutes and the state are now.
    fn passes_gate(&mut self, at: At, event: &Encoded, now: i64) -> bool {
        let Some(session) = self.session(at) else { return false };
        let silenced = || session.mutes.borrow().silences(event.author, &event.channel, now);
        event.origin() == Some(session.id) || !session.state_holds(event) && (event.always || !silenced())
    }

    /// Keeps a frame behind a session's gate.
    pub(crate) fn hold_in_gate(&mut self, key: u32, frame: Bytes, event: Option<&Arc<Encoded>>) {
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
        for account in due {
            self.want_mutes(account);
        }
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
