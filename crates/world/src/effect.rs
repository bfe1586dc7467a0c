//! The changes of a zone's state: each is applied where it is decided, logged, and replayed by the next owner.
//! Applying one is total and needs neither time nor chance.

use serde::{Deserialize, Serialize};
use tidings_protocol::{AccountId, CharacterId, PartyId, RoomId, SessionId, ZoneId, json};

use crate::input::{Fact, Generation, Millis, Party, Plan, Role, Silence, Traveller};
use crate::limits::{DEPARTED_MAX, Flood, INVITED_MAX, MOVES_MAX, NPC_LINES_A_MINUTE, Verb};
use crate::outcomes::{Outcome, Written};
use crate::output::{MuteChange, Persist, RemoteAct};
use crate::state::{Invitation, Lost, Pending, Person, Settings, State};

/// A change of a zone's state; opaque outside of the rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Effect(pub(crate) Change);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Enter(Box<Person>),
    /// With the outcome of the command that did it.
    Left(CharacterId, Option<Outcome>),
    Moved(CharacterId, RoomId),
    Did(CharacterId, Written),
    /// Who, what, to whom, the limit in force and when.
    Spoke(CharacterId, Verb, u32, Millis),
    Whispered(CharacterId, CharacterId, u32, Millis),
    Lost(CharacterId, Lost),
    Back(CharacterId),
    Session(CharacterId, SessionId),
    Connected(CharacterId, Generation),
    Role(CharacterId, Role),
    Pose(CharacterId, String),
    Alias(CharacterId, String, Option<String>),
    Settings(CharacterId, Settings),
    Mute(CharacterId, MuteChange),
    ReplyTo(CharacterId, String),
    Silenced(AccountId, Silence),
    Frozen(CharacterId, Option<Box<Traveller>>),
    Arrived(Box<Person>, String),
    Party(PartyId, Party),
    Joined(CharacterId, Option<PartyId>),
    Invited(CharacterId, Invitation),
    Uninvited(CharacterId, Option<PartyId>),
    Pending(String, Option<Pending>),
    NpcAt(CharacterId, RoomId),
    NpcBound(CharacterId, Option<RoomId>),
    NpcLine(RoomId, Millis),
    Weather(String),
    Hour(i64),
    Shutdown(Plan),
    /// A letter to another zone, by its number.
    Posted(u64, ZoneId, Box<Fact>),
    /// The zone has this one's letters up to this number.
    Delivered(ZoneId, u64),
    /// This zone has the letters of that one up to this number.
    Heard(ZoneId, u64),
    /// Something came for a character on its way.
    Behind(CharacterId, RemoteAct),
    /// Nothing changes here; storage is told again after a replay.
    Persist(Persist),
}

impl Effect {
    /// Whether it is about the passing minute alone: the outcome of a command, for who asks again, and how much was said.
    /// Forgotten with the retention of the logs it costs nobody anything.
    pub fn passes(&self) -> bool {
        matches!(self.0, Change::Did(..) | Change::Spoke(..) | Change::Whispered(..))
    }

    /// Writes it as JSON, as serde does: what every line brings piece by piece.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Change::Did(who, outcome) => {
                out.extend_from_slice(br#"{"Did":["#);
                json::id(out, who.digits());
                out.push(b',');
                out.extend_from_slice(outcome.as_str().as_bytes());
                out.extend_from_slice(b"]}");
            }
            Change::Spoke(who, verb, limit, at) => {
                out.extend_from_slice(br#"{"Spoke":["#);
                json::id(out, who.digits());
                out.push(b',');
                json::value(out, verb);
                out.push(b',');
                json::value(out, limit);
                out.push(b',');
                json::value(out, at);
                out.extend_from_slice(b"]}");
            }
            other => json::value(out, other),
        }
    }
}

impl State {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Enter(person) => self.enter(person),
            Change::Arrived(person, move_id) => {
                if self.moves.len() >= MOVES_MAX {
                    self.moves.pop_front();
                }
                self.moves.push_back(move_id.clone());
                self.enter(person);
            }
            Change::Left(who, outcome) => self.leave(*who, outcome.as_ref()),
            Change::Moved(who, to) => {
                if let Some(person) = self.people.get_mut(who) {
                    let from = std::mem::replace(&mut person.room, to.clone());
                    self.unseat(*who, &from, true);
                    self.seat(*who, to.clone(), true);
                }
            }
            Change::Silenced(account, silence) => self.silence(*account, silence),
            Change::Party(id, party) => self.party(*id, party),
            Change::Pending(key, Some(pending)) => {
                drop(self.invitations.insert(key.clone(), pending.clone()))
            }
            Change::Pending(key, None) => drop(self.invitations.remove(key)),
            Change::Weather(condition) => self.weather.clone_from(condition),
            Change::Hour(hour) => self.hour = *hour,
            Change::Shutdown(plan) => self.shutdown = Some(plan.clone()),
            Change::Posted(number, to, fact) => {
                self.posted = *number;
                self.outbox.insert(*number, (to.clone(), fact.as_ref().clone()));
            }
            Change::Delivered(to, number) => self.outbox.retain(|at, (zone, _)| zone != to || at > number),
            Change::Heard(from, number) => drop(self.heard.insert(from.clone(), *number)),
            Change::Persist(_) => {}
            Change::NpcAt(..) | Change::NpcBound(..) | Change::NpcLine(..) => self.apply_npc(change),
            _ => self.apply_person(change),
        }
    }

    fn enter(&mut self, person: &Person) {
        self.leave(person.id, None);
        self.floods.retain(|(who, _)| *who != person.id);
        self.seat(person.id, person.room.clone(), true);
        self.people.insert(Box::new(person.clone()));
    }

    fn leave(&mut self, who: CharacterId, outcome: Option<&Outcome>) {
        let Some(person) = self.people.remove(&who) else { return };
        self.unseat(who, &person.room, true);
        // Whoever goes to another zone has its counters with it.
        if person.frozen.is_none() && person.flood != Flood::default() {
            if self.floods.len() >= DEPARTED_MAX {
                self.floods.pop_front();
            }
            self.floods.push_back((who, person.flood));
        }
        // The last outcomes stay for a client that asks again: of the command that ended the stay, and the one before.
        let last = person.outcomes.last().into_iter().chain(outcome.cloned());
        for outcome in last {
            if self.departed.len() >= DEPARTED_MAX {
                self.departed.pop_front();
            }
            self.departed.push_back(outcome);
        }
    }

    fn apply_npc(&mut self, change: &Change) {
        match change {
            Change::NpcAt(id, to) => {
                if let Some(npc) = self.npcs.get_mut(id) {
                    let from = std::mem::replace(&mut npc.room, to.clone());
                    self.unseat(*id, &from, false);
                    self.seat(*id, to.clone(), false);
                }
            }
            Change::NpcBound(id, bound) => {
                if let Some(npc) = self.npcs.get_mut(id) {
                    npc.bound.clone_from(bound);
                }
            }
            Change::NpcLine(room, at) => {
                let lines = self.lines.entry(room.clone()).or_default();
                if lines.len() >= NPC_LINES_A_MINUTE {
                    lines.pop_front();
                }
                lines.push_back(*at);
            }
            _ => {}
        }
    }

    fn apply_person(&mut self, change: &Change) {
        let Some(who) = change.who() else { return };
        let Some(person) = self.people.get_mut(&who) else { return };
        match change {
            Change::Did(_, outcome) => person.outcomes.remember(outcome.clone()),
            Change::Spoke(_, verb, limit, at) => person.flood.add(*verb, *limit, *at),
            Change::Whispered(_, whom, limit, at) => person.flood.add_person(*whom, *limit, *at),
            Change::Lost(_, lost) => (person.lost, person.losses) = (Some(*lost), lost.grace),
            Change::Back(_) => person.lost = None,
            Change::Session(_, session) => person.session = *session,
            Change::Connected(_, generation) => person.generation = *generation,
            Change::Role(_, role) => person.role = *role,
            Change::Pose(_, pose) => person.kept.pose.clone_from(pose),
            Change::Alias(_, word, Some(text)) => {
                drop(person.kept.aliases.insert(word.clone(), text.clone()))
            }
            Change::Alias(_, word, None) => drop(person.kept.aliases.remove(word)),
            Change::Settings(_, settings) => person.kept.settings = settings.clone(),
            Change::Mute(_, mute) => person.mute(mute),
            Change::ReplyTo(_, name) => person.kept.reply_to.clone_from(name),
            Change::Frozen(_, traveller) => {
                person.frozen.clone_from(traveller);
                person.behind.clear();
            }
            Change::Behind(_, act) => person.fall_behind(act),
            Change::Joined(_, party) => person.party = *party,
            Change::Invited(_, invitation) => {
                person
                    .invited
                    .retain(|old| old.party != invitation.party && old.until > invitation.until - 120_000);
                if person.invited.len() >= INVITED_MAX {
                    person.invited.remove(0);
                }
                person.invited.push(invitation.clone());
            }
            Change::Uninvited(_, party) => person.invited.retain(|old| party.is_some_and(|p| p != old.party)),
            _ => {}
        }
    }
}

impl Change {
    fn who(&self) -> Option<CharacterId> {
        match self {
            Self::Did(who, _)
            | Self::Spoke(who, ..)
            | Self::Whispered(who, ..)
            | Self::Lost(who, _)
            | Self::Back(who)
            | Self::Session(who, _)
            | Self::Connected(who, _)
            | Self::Role(who, _)
            | Self::Pose(who, _)
            | Self::Alias(who, ..)
            | Self::Settings(who, _)
            | Self::Mute(who, _)
            | Self::ReplyTo(who, _)
            | Self::Frozen(who, _)
            | Self::Behind(who, _)
            | Self::Joined(who, _)
            | Self::Invited(who, _)
            | Self::Uninvited(who, _) => Some(*who),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_protocol::Text;

    use super::*;
    use crate::input::Origin;

    #[test]
    fn an_effect_is_written_as_serde_does() {
        let (who, session) = (CharacterId::from_u128(7), SessionId::from_u128(8));
        let text = Text::new("chat.say.self").with("text", "a \"word\"");
        let outcome = Outcome { origin: Origin { session, id: "s\"1".into() }, ok: true, text };
        for change in [
            Change::Did(who, Written::of(&outcome)),
            Change::Spoke(who, Verb::Say, 15, -1),
            Change::Weather("rain".into()),
        ] {
            let (effect, mut out) = (Effect(change), Vec::new());
            effect.write_json(&mut out);
            assert_eq!(String::from_utf8(out), Ok(serde_json::to_string(&effect).expect("JSON")));
        }
    }
}
