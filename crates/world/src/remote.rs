//! What reaches a zone from elsewhere: presence, roles, sanctions, parties, answers, and what other zones do to
//! its characters.

use tidings_protocol::CharacterId;

use crate::commands;
use crate::effect::Change;
use crate::input::{Fact, Role};
use crate::movement::{self, Story};
use crate::output::{Actor, RemoteAct};
use crate::party;
use crate::presence;
use crate::text::t1;
use crate::turn::{Turn, happened_to};

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
        Fact::Silenced(account, until) => {
            let here = turn.zone.state.people.values();
            if here.into_iter().any(|person| person.account == account && person.silenced != until) {
                turn.apply(Change::Silenced(account, until));
            }
        }
        Fact::Party(party, members) => party::told(turn, party, members),
        Fact::Mutes(..) => {}
        Fact::Draining(draining) => turn.zone.known.draining = draining,
        Fact::Act(who, act) => remote_act(turn, who, act),
    }
}

fn role_changed(turn: &mut Turn<'_>, account: tidings_protocol::AccountId, role: Role) {
    let people = turn.zone.state.people.values();
    let here: Vec<_> = people
        .filter(|person| person.account == account && person.role != role && person.frozen.is_none())
        .map(|person| (person.id, turn.zone.audiences_of(person)))
        .collect();
    if here.is_empty() {
        return;
    }
    turn.apply(Change::Role(account, role));
    for (id, before) in here {
        presence::audiences_changed(turn, id, before);
        turn.present(id);
    }
}

/// What another zone does to a character of this one. One that is on its way is let be: the actor may try again.
pub(crate) fn remote_act(turn: &mut Turn<'_>, who: CharacterId, act: RemoteAct) {
    let Some(person) = turn.person(who).filter(|person| person.frozen.is_none()) else { return };
    match act {
        RemoteAct::Teleport(to, own) => {
            let (origin, name) = (happened_to(person), person.name.clone());
            if to.zone() == turn.zone.id && turn.room(&to).is_none() {
                return;
            }
            let story = Story {
                own,
                leaves: t1("move.vanishes", "name", name.as_str()),
                arrives: t1("move.appears", "name", name.as_str()),
            };
            movement::relocate(turn, who, &to, story, &origin);
        }
        RemoteAct::Kick(code, reason) => presence::leave(turn, who, None, Some((code, reason))),
        RemoteAct::Whispered(name) => {
            if person.kept.reply_to != name {
                turn.apply(Change::ReplyTo(who, name));
            }
        }
        RemoteAct::Invited { party, by, account, until } => {
            let id = turn.find_present(&by).map(|present| present.id);
            let from = Actor { id, name: by.clone(), account, npc: false, staff: false };
            party::invited(turn, who, Some(from), &by, party, until);
        }
    }
}
