//! What a zone is made of: the state that checkpoints hold and effects change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use tidings_protocol::{AccountId, CharacterId, PartyId, RoomId, SessionId, ZoneId};

use crate::input::{Fact, Generation, Made, Millis, Origin, Party, Plan, Role, Silence, Traveller};
use crate::limits::{BEHIND_MAX, Flood, PARTIES_GONE_MAX, SILENCES_MAX};
use crate::outcomes::{Outcome, Outcomes};
use crate::output::{MuteChange, RemoteAct};
use crate::people::People;

/// The whole state of a zone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub people: People,
    pub npcs: BTreeMap<CharacterId, NpcState>,
    /// Those that are no more among them, lately.
    pub parties: BTreeMap<PartyId, Party>,
    /// The last silences that were made or ended.
    pub silences: BTreeMap<AccountId, Silence>,
    /// Invitations that people of this zone made: party, invited, name, until.
    pub invitations: BTreeMap<String, Pending>,
    /// The moves that were let in.
    pub moves: VecDeque<String>,
    /// The last outcomes of those who left.
    pub departed: VecDeque<Outcome>,
    /// How often those who left had spoken: whoever comes back within the minute goes on from there.
    pub floods: VecDeque<(CharacterId, Flood)>,
    /// When characters that live there spoke, by room.
    pub lines: BTreeMap<RoomId, VecDeque<Millis>>,
    /// The weather's condition; empty: none.
    pub weather: String,
    /// The world's hour that the routines have seen.
    pub hour: i64,
    /// The last word on when the server goes down.
    pub shutdown: Option<Plan>,
    /// Letters that other zones are not known to have, by number.
    pub outbox: BTreeMap<u64, (ZoneId, Fact)>,
    /// The number of the last letter.
    pub posted: u64,
    /// The last letter of each other zone.
    pub heard: BTreeMap<ZoneId, u64>,
    /// The zone's clock: it never goes back.
    pub clock: Millis,
    /// Who is in a room, people and others; made of the above.
    #[serde(skip)]
    pub rooms: BTreeMap<RoomId, BTreeSet<CharacterId>>,
    /// How many people are in a room.
    #[serde(skip)]
    pub crowd: BTreeMap<RoomId, usize>,
}

/// A character in the world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    pub id: CharacterId,
    pub name: String,
    pub account: AccountId,
    pub role: Role,
    #[serde(default)]
    pub guest: bool,
    pub session: SessionId,
    /// Which of the session's connections is the newest that was told of.
    #[serde(default)]
    pub generation: Generation,
    pub room: RoomId,
    #[serde(default)]
    pub lost: Option<Lost>,
    /// How often the connection was lost: tells one grace from the next.
    #[serde(default)]
    pub losses: u64,
    #[serde(default)]
    pub kept: Kept,
    #[serde(default)]
    pub mutes: Vec<MuteChange>,
    #[serde(default)]
    pub silenced: Option<Silence>,
    #[serde(default)]
    pub party: Option<PartyId>,
    #[serde(default)]
    pub invited: Vec<Invitation>,
    #[serde(default)]
    pub flood: Flood,
    #[serde(default)]
    pub outcomes: Outcomes,
    /// On the way to another zone.
    #[serde(default)]
    pub frozen: Option<Box<Traveller>>,
    /// What came for it meanwhile: sent on to where it arrives, or done here where it stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<RemoteAct>,
    /// What was read: enough for a client that repeats itself; another owner reads it again.
    #[serde(skip)]
    pub reads: VecDeque<Outcome>,
}

/// A lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub grace: u64,
    pub until: Millis,
}

/// What storage keeps of a character.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    pub settings: Settings,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pose: String,
    /// Who whispered last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reply_to: String,
}

/// A character's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Rooms that one walks into without their description: clients leave it out.
    pub brief: bool,
    /// Lists with one thing a line.
    pub screen_reader: bool,
    /// No invitations to parties, please.
    pub no_invitations: bool,
    /// Where `chat` speaks; empty: `say`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
}

/// An invitation that one got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub party: PartyId,
    pub by: String,
    pub until: Millis,
}

/// An invitation that one made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub party: PartyId,
    pub by: CharacterId,
    pub whom: CharacterId,
    pub name: String,
    pub until: Millis,
}

/// One of those who live there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NpcState {
    /// Its id in the content.
    pub npc: String,
    pub room: RoomId,
    /// Where its routine sends it; it walks there a room a beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<RoomId>,
}

impl Person {
    pub(crate) fn outcome(&self, origin: &Origin) -> Option<Outcome> {
        let same = |outcome: &&Outcome| outcome.origin == *origin;
        self.outcomes.find(origin).or_else(|| self.reads.iter().rev().find(same).cloned())
    }

    pub(crate) fn is_staff(&self) -> bool {
        self.role >= Role::Builder
    }

    /// The mutes that hold now.
    pub(crate) fn live_mutes(&self, now: Millis) -> impl Iterator<Item = &MuteChange> {
        self.mutes.iter().filter(move |mute| mute.until.is_none_or(|until| until > now))
    }

    /// Whether the account is muted now: everywhere, or on this channel (empty: on none).
    pub(crate) fn mutes_account(&self, account: AccountId, channel: &str, now: Millis) -> bool {
        self.live_mutes(now)
            .any(|mute| mute.target == Some(account) && (mute.channel.is_empty() || mute.channel == channel))
    }

    /// Whether the channel as a whole is muted now.
    pub(crate) fn mutes_channel(&self, channel: &str, now: Millis) -> bool {
        self.live_mutes(now).any(|mute| mute.target.is_none() && mute.channel == channel)
    }

    /// Keeps what came for one on the way; what says the same of it as an earlier one takes its place.
    pub(crate) fn fall_behind(&mut self, act: &RemoteAct) {
        self.behind.retain(|old| !act.replaces(old));
        self.behind.push(act.clone());
    }

    /// Whether that may be kept.
    pub(crate) fn has_room_behind(&self, act: &RemoteAct) -> bool {
        let many = |act: &RemoteAct| matches!(act, RemoteAct::Invited { .. } | RemoteAct::Mute(_));
        let others = self.behind.iter().filter(|old| many(old) && !act.replaces(old));
        !many(act) || others.count() < BEHIND_MAX
    }

    pub(crate) fn mute(&mut self, change: &MuteChange) {
        self.mutes.retain(|mute| mute.target != change.target || mute.channel != change.channel);
        if !change.removed {
            self.mutes.push(change.clone());
        }
    }
}

/// Forgets the oldest of those that have an age here, beyond a number.
fn forget<K: Ord + Clone, V>(all: &mut BTreeMap<K, V>, max: usize, age: impl Fn(&V) -> Option<&Made>) {
    let aged = || all.iter().filter_map(|(key, value)| Some((age(value)?, key)));
    if aged().count() > max
        && let Some(oldest) = aged().min().map(|(_, key)| key.clone())
    {
        all.remove(&oldest);
    }
}

impl State {
    /// The last word on whether an account may speak.
    pub(crate) fn silence(&mut self, account: AccountId, silence: &Silence) {
        self.silences.insert(account, silence.clone());
        forget(&mut self.silences, SILENCES_MAX, |silence| Some(&silence.made));
        let of_account = self.everyone().filter(|person| person.account == account).map(|person| person.id);
        for id in of_account.collect::<Vec<_>>() {
            if let Some(person) = self.people.get_mut(&id) {
                person.silenced = Some(silence.clone());
            }
        }
    }

    /// Words on who is in a party.
    pub(crate) fn party(&mut self, id: PartyId, words: &Party) {
        self.parties.entry(id).or_default().hear(words);
        forget(&mut self.parties, PARTIES_GONE_MAX, Party::gone_since);
    }

    /// Everyone, in the order of their ids.
    pub(crate) fn everyone(&self) -> impl Iterator<Item = &Person> {
        self.people.iter()
    }

    /// Makes what is derived.
    pub(crate) fn index(&mut self) {
        self.rooms.clear();
        self.crowd.clear();
        let people: Vec<_> = self.everyone().map(|person| (person.id, person.room.clone())).collect();
        for (id, room) in people {
            self.seat(id, room, true);
        }
        let npcs: Vec<_> = self.npcs.iter().map(|(id, npc)| (*id, npc.room.clone())).collect();
        for (id, room) in npcs {
            self.seat(id, room, false);
        }
    }

    pub(crate) fn seat(&mut self, id: CharacterId, room: RoomId, person: bool) {
        if person {
            *self.crowd.entry(room.clone()).or_default() += 1;
        }
        self.rooms.entry(room).or_default().insert(id);
    }

    pub(crate) fn unseat(&mut self, id: CharacterId, room: &RoomId, person: bool) {
        if let Some(seats) = self.rooms.get_mut(room) {
            seats.remove(&id);
            if seats.is_empty() {
                self.rooms.remove(room);
            }
        }
        if person && let Some(crowd) = self.crowd.get_mut(room) {
            *crowd -= 1;
            if *crowd == 0 {
                self.crowd.remove(room);
            }
        }
    }

    /// Everyone in a room, by id.
    pub(crate) fn seats(&self, room: &RoomId) -> impl Iterator<Item = CharacterId> + '_ {
        self.rooms.get(room).into_iter().flatten().copied()
    }
}
