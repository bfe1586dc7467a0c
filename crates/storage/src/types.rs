//! What is kept, in the storage's own words.

use std::fmt;
use std::str::FromStr;

use tidings_protocol::{AccountId, Audience, CharacterId, RoomId, ZoneId};

use crate::names::{CharacterName, Username};
use crate::secret::Secret;

/// What an account may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(missing_docs)] // the names say it
pub enum Role {
    #[default]
    Player,
    Builder,
    Moderator,
    Admin,
}

impl Role {
    /// Every role, from the one that may least.
    pub const ALL: [Self; 4] = [Self::Player, Self::Builder, Self::Moderator, Self::Admin];

    /// The role as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Builder => "builder",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| "a role is player, builder, moderator or admin".to_owned())
    }
}

/// Which commit a record came from. A record older than the one kept, of the same epoch, changes nothing; so what
/// is replayed after a restart never undoes what another zone did later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The stream's epoch.
    pub epoch: String,
    /// The commit's sequence in it.
    pub seq: u64,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// Its name, and the key that no other account's name may have.
    pub username: Username,
    /// The PHC string of its password; `None`: nobody signs in with a password.
    pub password: Option<Secret<String>>,
    /// What it may do.
    pub role: Role,
    /// Made without registration, removed a while after its last session.
    pub guest: bool,
    /// Now.
    pub created_ms: i64,
}

/// A ban that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Until then; `None`: without end.
    pub until_ms: Option<i64>,
    /// Why.
    pub reason: String,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name as it was written.
    pub username: String,
    /// What it may do.
    pub role: Role,
    /// Made without registration.
    pub guest: bool,
    /// When it was made.
    pub created_ms: i64,
    /// The ban last made, which may be over: see [`Account::banned`].
    pub ban: Option<Ban>,
    /// Until then it may not speak; the time may be over.
    pub silenced_until_ms: Option<i64>,
}

impl Account {
    /// The ban that holds at `now_ms`.
    pub fn banned(&self, now_ms: i64) -> Option<&Ban> {
        self.ban.as_ref().filter(|ban| ban.until_ms.is_none_or(|until| until > now_ms))
    }
}

/// An account with what proves its owner.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The PHC string of its password, where it has one.
    pub password: Option<Secret<String>>,
}

/// A sign-in to be made: the family of refresh tokens that descend from it.
#[derive(Debug, Clone)]
pub struct NewFamily {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// SHA-256 of the first refresh token.
    pub token_hash: Secret<[u8; 32]>,
    /// Now.
    pub created_ms: i64,
    /// When its tokens end unless used before; moved on by each use.
    pub expires_ms: i64,
}

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its id.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// When its tokens end.
    pub expires_ms: i64,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

impl Family {
    /// Whether its tokens are good at `now_ms`.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms > now_ms
    }
}

/// A sign-in and who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The sign-in.
    pub family: Family,
    /// Its account, as it is now.
    pub account: Account,
}

/// A refresh token presented, and what would follow it.
#[derive(Debug, Clone)]
pub struct Rotate {
    /// SHA-256 of the token presented.
    pub presented: Secret<[u8; 32]>,
    /// What the successor is made with, beside the token presented.
    pub salt: Secret<[u8; 32]>,
    /// SHA-256 of that successor.
    pub successor: Secret<[u8; 32]>,
    /// Now.
    pub now_ms: i64,
    /// How long the one before is honoured after its first use.
    pub grace_ms: i64,
    /// When the family ends unless used before.
    pub expires_ms: i64,
}

/// What became of a rotation.
#[derive(Debug, Clone)]
pub enum Rotated {
    /// The successor is the family's token now.
    Done(Family),
    /// The token was rotated a moment ago: its successor is made with this salt.
    Again(Family, Secret<[u8; 32]>),
    /// The token was rotated longer ago, or twice: the family is revoked.
    Reused(Family),
    /// There is no such token, or its family is revoked or over.
    Refused,
}

/// A character to be made.
#[derive(Debug, Clone)]
pub struct NewCharacter {
    /// Its id.
    pub id: CharacterId,
    /// Whose.
    pub account: AccountId,
    /// Its name, and the key that no other character's name may have.
    pub name: CharacterName,
    /// Now.
    pub created_ms: i64,
}

/// A character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Character {
    /// Its id.
    pub id: CharacterId,
    /// Whose.
    pub account: AccountId,
    /// Its name as it was written.
    pub name: String,
    /// Where it was last; `None`: it never entered.
    pub room: Option<RoomId>,
    /// The world's own form of what it is like, JSON; empty: new.
    pub state: String,
    /// When it was made.
    pub created_ms: i64,
}

/// What a zone's commit leaves to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Where a character is and what it is like.
    Character {
        /// The character; one that was deleted is left alone.
        id: CharacterId,
        /// Where it is.
        room: RoomId,
        /// The world's own form, JSON.
        state: String,
    },
    /// A mute, made or ended.
    Mute {
        /// The mute.
        mute: Mute,
        /// It ends now.
        removed: bool,
    },
    /// An account may not speak until then; `None`: it may again.
    Silence(AccountId, Option<i64>, String),
    /// An account may not sign in until then (inner `None`: without end); `None`: it may again.
    Ban(AccountId, Option<Ban>),
    /// An entry of the audit log; the same entry twice is one.
    Audit(AuditEntry),
}

/// A mute of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Whose.
    pub account: AccountId,
    /// Whom; `None`: a channel alone.
    pub target: Option<AccountId>,
    /// On this channel alone; empty: everywhere.
    pub channel: String,
    /// The name used.
    pub name: String,
    /// Until then; `None`: without end.
    pub until_ms: Option<i64>,
    /// Why, for the muter's own list.
    pub reason: String,
}

/// A mute as it is kept, with the commit that it came by: it may have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MuteMark {
    /// The mute.
    pub mute: Mute,
    /// It was taken back, or is over.
    pub ended: bool,
    /// The commit.
    pub stamp: Stamp,
}

/// What an account brings with a character that enters the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Its mutes: those that hold, by name, and those that ended lately.
    pub mutes: Vec<MuteMark>,
    /// It may not speak until then.
    pub silenced_until_ms: Option<i64>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub time_ms: i64,
    /// Who: an account's id, or `console` for the command line.
    pub account: String,
    /// By the name used.
    pub name: String,
    /// What, for example `kick`.
    pub action: String,
    /// Whom or what.
    pub target: String,
    /// How.
    pub detail: String,
}

/// A line of chat. This is the form in which it is kept: a field's number never changes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChatLine {
    /// Its sequence in the stream.
    #[prost(fixed64, tag = 1)]
    pub seq: u64,
    /// When it was said.
    #[prost(sfixed64, tag = 2)]
    pub time_ms: i64,
    /// The channel's name.
    #[prost(string, tag = 3)]
    pub channel: String,
    /// Whose character said it; empty where none did.
    #[prost(string, tag = 4)]
    pub from_id: String,
    /// By its name.
    #[prost(string, tag = 5)]
    pub from_name: String,
    /// The account, for mutes; empty for what has none.
    #[prost(string, tag = 6)]
    pub from_account: String,
    /// Heard even by those who muted its author.
    #[prost(bool, tag = 7)]
    pub always: bool,
    /// The line, in the caller's own form.
    #[prost(bytes = "vec", tag = 8)]
    pub body: Vec<u8>,
}

/// What was read of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLog {
    /// Whose log it is.
    pub audience: Audience,
    /// Up to where it was read.
    pub through: u64,
    /// Its lines since it was read last, in their order.
    pub lines: Vec<ChatLine>,
}

/// Which lines of a channel.
#[derive(Debug, Clone)]
pub struct ChatQuery {
    /// In whose log.
    pub audience: Audience,
    /// The channel's name.
    pub channel: String,
    /// Accounts whose lines are left out, unless `always`.
    pub without: Vec<AccountId>,
    /// Of this epoch, lines up to this one alone.
    pub through: Option<Stamp>,
    /// Lines at most; the newest are kept.
    pub limit: usize,
}

/// A zone's state at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The zone.
    pub zone: ZoneId,
    /// The commit it includes.
    pub stamp: Stamp,
    /// The world's own form, JSON.
    pub body: String,
}
