//! What a zone decides.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_protocol::text::Name;
use tidings_protocol::{AccountId, Audience, CharacterId, PartyId, RoomId, Text, ZoneId};

use crate::content::model::Direction;
use crate::effect::Effect;
use crate::input::{Letter, Millis, Origin, Present, Timer, Traveller};

/// One output of [`step`](crate::zone::step). The host commits effects and events as one batch, in order, and
/// acts on the others after the commit.
#[derive(Debug, Clone)]
pub enum Output {
    /// A change of the zone's state, already applied: logged in the same commit as JSON, replayed by the next
    /// owner. Opaque to the host.
    Effect(Effect),
    /// A record of an audience's log.
    Event(Box<Event>),
    /// The outcome of a command that no event carries.
    Reply(Reply),
    /// To be kept in storage after the commit; again after a replay: it changes nothing the second time.
    Persist(Persist),
    /// A question to a service; its answer comes back as `Fact::Answer` with the number.
    Ask(u64, Query),
    /// A timer; setting one that is set moves it. `None` ends it.
    SetTimer(Timer, Option<Millis>),
    /// To the owner of another zone, after the commit that froze the character.
    Handover(ZoneId, Box<Traveller>),
    /// To a traveller that cannot be let in.
    HandoverRefused(String),
    /// A letter to another zone, after the commit that has it. The state keeps it, and [`Zone::wake`] puts it out
    /// again, until [`Fact::Delivered`](crate::input::Fact::Delivered).
    ///
    /// [`Zone::wake`]: crate::Zone::wake
    Post(ZoneId, Letter),
    /// Something for another zone, or for somebody on the way there, that was let go: too much waits already.
    NotPosted(ZoneId),
    /// Who is where, for every other zone and for `who`; after the commit.
    Present(Present),
    /// No longer in the world; after the commit.
    Absent(CharacterId),
    /// To be done by the host after the commit.
    Act(Act),
}

/// A record of an audience's log: `tidings.world.v1.Event` in the world's own words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// Whose log.
    pub audience: Option<Audience>,
    /// For example `chat.say`.
    pub kind: Name,
    /// Who did it.
    pub from: Option<Actor>,
    /// The command that caused it, or (id empty) the session it happened to.
    pub origin: Option<Origin>,
    /// What the audience reads.
    pub text: Option<Text>,
    /// What the origin's session reads.
    pub own: Option<Text>,
    /// Facts of the event for clients: a JSON object as text; empty: none.
    pub data: String,
    /// The characters who may perceive it; empty: all.
    pub only: Vec<CharacterId>,
    /// Those of the audience who do not perceive it.
    pub except: Vec<CharacterId>,
    /// The character an entered or left record is about.
    pub subject: Option<CharacterId>,
    /// In a player's log: the audiences before and after.
    pub audiences: Option<(Vec<Audience>, Vec<Audience>)>,
    /// A merge patch of the room's document.
    pub patch: Option<Value>,
    /// In a player's log: a mute of its account.
    pub mute: Option<MuteChange>,
    /// Heard even by those who muted its author.
    pub always: bool,
    /// The channel, where it is speech.
    pub channel: Name,
    /// In a player's log: the session ends with this close code and reason.
    pub bye: Option<(u16, String)>,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The character; `None`: the system.
    pub id: Option<CharacterId>,
    /// Its name.
    pub name: String,
    /// Its account; `None` for characters that live in the world and the system.
    pub account: Option<AccountId>,
    /// Whether it lives in the world.
    pub npc: bool,
    /// Whether it is staff.
    pub staff: bool,
}

/// A mute of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MuteChange {
    /// Whose.
    pub account: AccountId,
    /// Whom; `None`: a channel alone.
    pub target: Option<AccountId>,
    /// The name used.
    pub name: String,
    /// On this channel alone; empty: everywhere.
    pub channel: String,
    /// Until then; `None`: without end.
    pub until: Option<Millis>,
    /// Why, for the muter's own list.
    pub reason: String,
    /// It ends now.
    pub removed: bool,
}

/// The outcome of a command that no event carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whose.
    pub origin: Origin,
    /// Whether it was done.
    pub ok: bool,
    /// What is read.
    pub text: Text,
}

/// What outlives the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Persist {
    /// Where a character is and what it is like; the state is the world's own form, JSON.
    Character(CharacterId, RoomId, String),
    /// A mute, made or ended.
    Mute(MuteChange),
    /// An account is silenced until then, or no longer.
    Silence(AccountId, Option<Millis>, String),
    /// An entry of the audit log.
    Audit(AuditEntry),
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub time: Millis,
    /// Who.
    pub account: AccountId,
    /// By the name used.
    pub name: String,
    /// What, for example `kick`.
    pub action: String,
    /// Whom or what.
    pub target: String,
    /// How.
    pub detail: String,
}

/// A question to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The player called so, without regard to case.
    Player(String),
    /// A channel's history for an asker.
    History {
        /// Whose log; `None`: the asker's whispers.
        audience: Option<Audience>,
        /// The channel's name.
        channel: String,
        /// Lines at most.
        limit: u32,
        /// Whose mutes apply.
        account: AccountId,
        /// Those that hold, as far as the zone knows; storage may know others.
        mutes: Vec<MuteChange>,
        /// Whose whispers.
        character: CharacterId,
    },
}

/// What the host does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Ends every session of an account with a close code and a reason.
    Revoke(AccountId, u16, String),
    /// Bans an account until then (`None`: without end), with a reason.
    Ban(AccountId, Option<Millis>, String),
    /// The process is to stop.
    Shutdown,
}

/// What is done to a character wherever it is: by another zone, or once it has ended its way between zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteAct {
    /// Move it to a room; it reads the text. With the direction it was sent in, where there was one.
    Teleport(RoomId, Text, Option<Direction>),
    /// It leaves the world with a close code and a reason.
    Kick(u16, String),
    /// It was whispered to by the player called so, of this account: whom `reply` answers.
    Whispered(String, AccountId),
    /// It is invited to a party.
    Invited {
        /// The party.
        party: PartyId,
        /// The name of who invites.
        by: String,
        /// The account of who invites.
        account: Option<AccountId>,
        /// How long the invitation holds.
        until: Millis,
    },
    /// Its account muted somebody or something.
    Mute(MuteChange),
}

impl RemoteAct {
    /// Whether it says of a character what an earlier one said.
    pub(crate) fn replaces(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Invited { by, .. }, Self::Invited { by: earlier, .. }) => by == earlier,
            (Self::Mute(mute), Self::Mute(earlier)) => {
                (mute.target, &mute.channel) == (earlier.target, &earlier.channel)
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(earlier),
        }
    }
}
