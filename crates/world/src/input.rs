//! What a zone is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidings_protocol::{AccountId, CharacterId, PartyId, RoomId, SessionId, ZoneId};

use crate::output::{MuteChange, RemoteAct};

/// Milliseconds of Unix time: the zone's clock, handed in.
pub type Millis = i64;

/// Which of a session's connections: a later one has a greater number. 0: whichever there is.
pub type Generation = u64;

/// One input of [`step`](crate::zone::step).
#[derive(Debug, Clone)]
pub enum Input {
    /// Something a session asks.
    Command(Command),
    /// A timer that the zone set is due.
    Timer(Timer),
    /// Something the zone must know from elsewhere.
    Fact(Fact),
    /// A character on its way between zones.
    Handover(Handover),
}

/// The session and its command's id: the idempotency key. An empty id is no command of a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The session.
    pub session: SessionId,
    /// The client's id of the command.
    pub id: String,
}

/// Something a session asks.
#[derive(Debug, Clone)]
pub struct Command {
    /// Who gets the reply.
    pub origin: Origin,
    /// The character.
    pub character: CharacterId,
    /// What it asks.
    pub ask: Ask,
}

/// What a session asks.
#[derive(Debug, Clone)]
pub enum Ask {
    /// A line that was typed.
    Line(String),
    /// Enter the world, or go on with a new session where the character is there still.
    Enter(Box<Arrival>),
    /// Leave it; with the close code and the reason for the client where staff or time did it.
    Leave(Option<(u16, String)>),
    /// This connection of the session is lost: the grace begins, so many milliseconds (`None`: the configured grace).
    /// Of one that has a later one, or of another session, it is refused.
    LinkLost(Generation, Option<Millis>),
    /// The session has this connection.
    LinkBack(Generation),
}

/// A character that enters, as storage has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Arrival {
    /// The character.
    pub id: CharacterId,
    /// Its name.
    pub name: String,
    /// Its account.
    pub account: AccountId,
    /// What it may do.
    pub role: Role,
    /// Which connection of its session it enters by.
    #[serde(default)]
    pub generation: Generation,
    /// A guest's character: not kept.
    pub guest: bool,
    /// Where it was; `None`: the world's start.
    pub room: Option<RoomId>,
    /// What [`Persist::Character`](crate::output::Persist) last gave, JSON; empty: new.
    pub state: String,
    /// The mutes of its account, as storage has them.
    #[serde(default)]
    pub mutes: Vec<MuteChange>,
    /// The account is silenced until then.
    #[serde(default)]
    pub silenced: Option<Millis>,
}

/// What an account may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Role {
    #[default]
    Player,
    Builder,
    Moderator,
    Admin,
}

/// A timer of a zone; opaque to the host, which gives it back when it is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// The grace of a character that lost its connection ends; the number tells this grace from later ones.
    Grace(CharacterId, u64),
    /// The zone's own beat: routines, wandering, weather, the clock.
    Beat,
    /// A character that came from nowhere: a move without an answer is asked for again.
    Move(String),
    /// A party's invitation ends.
    Invitation(PartyId, CharacterId),
    /// A shutdown that was announced.
    Shutdown,
}

/// Something the zone must know from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// Who is in the world and where; replaces what was known of the character.
    Present(Present),
    /// The character is in the world no more.
    Absent(CharacterId),
    /// The answer to a [`Query`](crate::output::Query) that the zone asked under this number.
    Answer(u64, Answer),
    /// An account may not speak, or may again.
    Silenced(AccountId, Silence),
    /// Words on who is in a party.
    Party(PartyId, Party),
    /// When the server goes down, or that it does not.
    Shutdown(Plan),
    /// The host drains: characters stay, timers of grace stop.
    Draining(bool),
    /// What another zone does to a character, and how often it was sent on because the character had gone on.
    Act(CharacterId, RemoteAct, u8),
    /// What another zone posted to this one: [`Output::Post`](crate::Output::Post), in its order. What is here
    /// already, or comes before what it follows, changes nothing.
    Letters(ZoneId, Vec<Letter>),
    /// Another zone has this zone's letters up to this number.
    Delivered(ZoneId, u64),
}

/// A fact for another zone, part of the sender's state until the other zone has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number among all of the sender's letters: growing, and never given out again.
    pub number: u64,
    /// The letter to the same zone that it follows, where that one is not known to have come; else 0.
    pub after: u64,
    /// What it says.
    pub fact: Fact,
}

/// When something that every zone is told was decided, and where. Of two on the same thing the later counts, in every
/// zone, however they cross.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Made {
    /// By the clock of the zone that decided it.
    pub at: Millis,
    /// That zone.
    pub by: ZoneId,
}

/// When the server goes down, as far as a zone knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its maker reminds everyone.
    pub made: Made,
    /// When the server goes down; `None`: not at all.
    pub at: Option<Millis>,
}

/// Whether an account may speak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The last word on it.
    pub made: Made,
    /// Not until then (Unix milliseconds); `None`: it may.
    pub until: Option<Millis>,
    /// Why.
    pub reason: String,
}

/// Who is in a party: the last word on each character. Words on different ones all count, however they cross.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Those who are in it, and those who left lately.
    pub words: BTreeMap<CharacterId, Membership>,
}

/// A word on whether a character is in a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The last word on it.
    pub made: Made,
    /// Whether it is in.
    pub member: bool,
}

/// Who is in the world and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The character.
    pub id: CharacterId,
    /// Its name.
    pub name: String,
    /// Its account.
    pub account: AccountId,
    /// Its zone.
    pub zone: ZoneId,
    /// Its room.
    pub room: RoomId,
    /// The room's name.
    pub room_name: String,
    /// Its connection is lost.
    pub link_lost: bool,
    /// What it may do.
    pub role: Role,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The player called so, whether in the world or not; `None`: there is no such player.
    Player(Option<KnownPlayer>),
    /// Lines of a channel's history, oldest first.
    History(Vec<HistoryLine>),
    /// The accounts that match, for staff.
    Done(bool),
    /// The query could not be answered.
    Failed,
}

/// A player by name, in the world or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPlayer {
    /// The character.
    pub id: CharacterId,
    /// Its name as it is written.
    pub name: String,
    /// Its account.
    pub account: AccountId,
    /// What it may do.
    pub role: Role,
}

/// A line of a channel's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// When it was said.
    pub time: Millis,
    /// What was read.
    pub text: tidings_protocol::Text,
}

/// A character on its way between zones.
#[derive(Debug, Clone)]
pub enum Handover {
    /// To the target: let it in. Refused with `Output::HandoverRefused` where the room is gone.
    Arrive(Traveller),
    /// To the source: the target committed the arrival.
    Arrived {
        /// The move.
        move_id: String,
        /// The character's new zone.
        zone: ZoneId,
    },
    /// To the source: the target refused.
    Refused {
        /// The move.
        move_id: String,
    },
    /// To the source: the target did not answer, the log does not have the arrival, and never will.
    Unanswered {
        /// The move.
        move_id: String,
    },
}

/// A character's whole state, frozen in the source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traveller {
    /// The move: never reused.
    pub move_id: String,
    /// The command that moves it, where one does; its reply is in the target's commit.
    pub origin: Option<Origin>,
    /// From where.
    pub from: RoomId,
    /// To where.
    pub to: RoomId,
    /// The world's own form of the character, of why it moves and of what is said of it, JSON.
    pub body: String,
}
