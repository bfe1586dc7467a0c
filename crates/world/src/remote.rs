//! What reaches a zone from elsewhere: presence, roles, sanctions, parties, answers, letters, and what is done to a
//! character wherever it is.

use tidings_protocol::{AccountId, CharacterId};

use crate::commands::{self, shutdown, teleport};
use crate::effect::Change;
use crate::input::{Fact, Millis, Present, Role};
use crate::output::{Actor, RemoteAct};
use crate::party;
use crate::post;
use crate::presence;
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
        Fact::Role(account, role) => role_changed(turn, account, role),
        Fact::Silenced(account, until) => silenced(turn, account, until),
        Fact::Party(party, members) => party::told(turn, party, members),
        Fact::Shutdown(plan) => shutdown::told(turn, plan),
        Fact::Draining(draining) => turn.zone.known.draining = draining,
        Fact::Act(who, act, followed) => done_to(turn, who, act, followed),
        Fact::Letters(from, letters) => post::come(turn, &from, letters),
        Fact::Delivered(to, number) => post::delivered(turn, &to, number),
    }
}

fn role_changed(turn: &mut Turn<'_>, account: AccountId, role: Role) {
    fall_behind(turn, account, &RemoteAct::Role(role));
    let changed =
        |person: &&Person| person.account == account && person.role != role && person.frozen.is_none();
    let here = turn.zone.state.everyone().filter(changed);
    let here: Vec<_> = here.map(|person| (person.id, turn.zone.audiences_of(person))).collect();
    if here.is_empty() {
        return;
    }
    turn.apply(Change::Role(account, role));
    for (id, before) in here {
        presence::audiences_changed(turn, id, before);
        turn.present(id);
    }
}

/// An account is silenced here until then, or no longer.
pub(crate) fn silenced(turn: &mut Turn<'_>, account: AccountId, until: Option<Millis>) {
    fall_behind(turn, account, &RemoteAct::Silenced(until));
    let changes =
        |person: &Person| person.account == account && person.silenced != until && person.frozen.is_none();
    if turn.zone.state.everyone().any(changes) {
        turn.apply(Change::Silenced(account, until));
    }
}

/// Those of an account who are on their way get it where they arrive.
fn fall_behind(turn: &mut Turn<'_>, account: AccountId, act: &RemoteAct) {
    let moving = |person: &&Person| person.account == account && person.frozen.is_some();
    let moving: Vec<_> = turn.zone.state.everyone().filter(moving).map(|person| person.id).collect();
    for id in moving {
        turn.apply(Change::Behind(id, act.clone()));
    }
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
        Some(person) if person.frozen.is_some() => turn.apply(Change::Behind(who, act)),
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

fn act_on(turn: &mut Turn<'_>, who: CharacterId, act: RemoteAct) {
    let Some(person) = turn.person(who) else { return };
    let account = person.account;
    match act {
        RemoteAct::Teleport(to, own, direction) => {
            let origin = happened_to(person);
            if to.zone() != turn.zone.id || turn.room(&to).is_some() {
                teleport::take(turn, who, &to, own, direction, &origin);
            }
        }
        RemoteAct::Kick(code, reason) => presence::leave(turn, who, None, Some((code, reason))),
        RemoteAct::Whispered(name) => {
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
        RemoteAct::Role(role) => role_changed(turn, account, role),
        RemoteAct::Silenced(until) => silenced(turn, account, until),
        RemoteAct::Mute(change) => turn.apply(Change::Mute(who, change)),
    }
}
