//! What reaches a zone from elsewhere: presence, sanctions, parties, answers, letters, and what is done to a
//! character wherever it is.

use tidings_protocol::{AccountId, CharacterId, Text};

use crate::commands::{self, shutdown, teleport};
use crate::effect::Change;
use crate::input::{Fact, Millis, Present, Role, Silence};
use crate::output::{Actor, Output, Persist, RemoteAct};
use crate::party;
use crate::post;
use crate::presence;
use crate::speech::Channel;
use crate::state::Person;
use crate::turn::{Turn, happened_to};

/// How often an act follows a character that has gone on before it came: more than one walks in that time, few
/// enough that two zones which each think it is with the other soon let it be.
const FOLLOW_MAX: u8 = 8;

/// A fact.
pub(crate) fn fact(turn: &mut Turn<'_>, fact: Fact) {
    match fact {
        Fact::Present(present) => {
            if turn.person(present.id).is_none_or(|person| person.frozen.is_some()) {
                turn.zone.known.put(present);
            }
        }
        Fact::Absent(id) => {
            if turn.person(id).is_none() {
                turn.zone.known.remove(id);
            }
        }
        Fact::Answer(number, answer) => commands::answered(turn, number, &answer),
        Fact::Silenced(account, silence) => silenced(turn, account, silence),
        Fact::Party(id, party) => party::told(turn, id, party),
        Fact::Shutdown(plan) => shutdown::told(turn, plan),
        Fact::Draining(draining) => turn.zone.known.draining = draining,
        Fact::Act(who, act, followed) => done_to(turn, who, act, followed),
        Fact::Letters(from, letters) => post::come(turn, &from, letters),
        Fact::Delivered(to, number) => post::delivered(turn, &to, number),
    }
}

/// Whether an account may speak, here and for those who come later. A word older than what is known changes nothing.
pub(crate) fn silenced(turn: &mut Turn<'_>, account: AccountId, silence: Silence) {
    match turn.zone.state.silences.get(&account).cloned() {
        Some(known) if known.made >= silence.made => {
            // Two words crossed. Storage has the one that was committed last, which need not be the one that counts.
            if known.made > silence.made && known.made.by == turn.zone.id {
                keep_silence(turn, account, &known);
            }
        }
        _ => turn.apply(Change::Silenced(account, silence)),
    }
}

/// Storage keeps a silence, or that there is none.
pub(crate) fn keep_silence(turn: &mut Turn<'_>, account: AccountId, silence: &Silence) {
    turn.persist(Persist::Silence(account, silence.until, silence.reason.clone()));
}

/// Whether a command can do something to somebody; asked before it does anything.
pub(crate) fn in_reach(turn: &Turn<'_>, target: &Present) -> Result<(), Text> {
    if turn.person(target.id).is_some() { Ok(()) } else { post::has_room(turn) }
}

/// Does something to somebody in the world, in this zone or another.
pub(crate) fn reach(turn: &mut Turn<'_>, target: &Present, act: RemoteAct) {
    if turn.person(target.id).is_some() {
        done_to(turn, target.id, act, 0);
    } else {
        post::post(turn, &target.zone, Fact::Act(target.id, act, 0));
    }
}

/// What is done to a character that was here when it was decided: at once, or where it has gone.
pub(crate) fn done_to(turn: &mut Turn<'_>, who: CharacterId, act: RemoteAct, followed: u8) {
    match turn.person(who) {
        Some(person) if is_muted(person, &act, turn.now) => {}
        Some(person) if person.frozen.is_some() => fall_behind(turn, who, act),
        Some(_) => act_on(turn, who, act),
        None => {
            let zone = turn.zone.known.by_id(who).map(|present| present.zone.clone());
            let elsewhere = zone.filter(|zone| *zone != turn.zone.id && followed < FOLLOW_MAX);
            if let Some(zone) = elsewhere {
                post::post(turn, &zone, Fact::Act(who, act, followed + 1));
            }
        }
    }
}

/// A whisper that its receiver mutes ends at their edge: they know nothing of it.
fn is_muted(person: &Person, act: &RemoteAct, now: Millis) -> bool {
    let RemoteAct::Whispered(_, account) = act else { return false };
    let channel = Channel::Whisper.name();
    person.mutes_account(*account, channel, now) || person.mutes_channel(channel, now)
}

/// Keeps what comes for one on the way.
fn fall_behind(turn: &mut Turn<'_>, who: CharacterId, act: RemoteAct) {
    let Some(person) = turn.person(who) else { return };
    match person.frozen.as_deref() {
        Some(traveller) if !person.has_room_behind(&act) => {
            let to = traveller.to.zone();
            turn.out.push(Output::NotPosted(to));
        }
        _ => turn.apply(Change::Behind(who, act)),
    }
}

fn act_on(turn: &mut Turn<'_>, who: CharacterId, act: RemoteAct) {
    let Some(person) = turn.person(who) else { return };
    match act {
        RemoteAct::Teleport(to, own, direction) => {
            let origin = happened_to(person);
            if to.zone() != turn.zone.id || turn.room(&to).is_some() {
                teleport::take(turn, who, &to, own, direction, &origin);
            }
        }
        RemoteAct::Kick(code, reason) => presence::leave(turn, who, None, Some((code, reason))),
        RemoteAct::Whispered(name, _) => {
            if person.kept.reply_to != name {
                turn.apply(Change::ReplyTo(who, name));
            }
        }
        RemoteAct::Invited { party, by, account, until } => {
            let inviter = turn.find_present(&by);
            let (id, staff) =
                (inviter.map(|one| one.id), inviter.is_some_and(|one| one.role >= Role::Builder));
            let from = Actor { id, name: by.clone(), account, npc: false, staff };
            party::invited(turn, who, Some(from), &by, party, until);
        }
        RemoteAct::Mute(change) => turn.apply(Change::Mute(who, change)),
    }
}
