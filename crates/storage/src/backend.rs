//! What a backend does, by subject. One exists for each database; one test suite runs against each.
//!
//! [`Store`](crate::Store) gives all of it: `store.account(id).await`.

use std::future::Future;
use std::pin::Pin;

use tidings_protocol::{AccountId, Audience, CharacterId, ZoneId};

use crate::Result;
use crate::secret::Secret;
use crate::types::{
    Account, AuditEntry, Ban, Brought, Character, ChatLine, ChatLog, ChatQuery, Checkpoint, Credentials,
    Family, Mute, MuteMark, NewAccount, NewCharacter, NewFamily, Record, Role, Rotate, Rotated, SignIn,
    Stamp,
};

/// Most rows of one answer: a page that fits a message of the bus, whatever the caller asks for.
pub const PAGE_MAX: usize = 1_000;
/// Most mutes of an account that ended and are told of: more than anyone takes back while an edge is behind.
pub const ENDED_MUTES_MAX: usize = 100;

/// An answer that is on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Everything a backend does.
pub trait Backend: Accounts + Families + Characters + Moderation + Chat + Zones + System {}
impl<T: Accounts + Families + Characters + Moderation + Chat + Zones + System> Backend for T {}

/// Accounts.
pub trait Accounts: Send + Sync + 'static {
    /// Makes an account. `Conflict`: its name, or one that looks like it, is taken.
    fn create_account<'a>(&'a self, account: &'a NewAccount) -> Answer<'a, ()>;
    /// Makes a guest: account, character and sign-in at once or not at all.
    fn create_guest<'a>(
        &'a self,
        account: &'a NewAccount,
        character: &'a NewCharacter,
        family: &'a NewFamily,
    ) -> Answer<'a, ()>;
    /// The account with this id.
    fn account(&self, id: AccountId) -> Answer<'_, Option<Account>>;
    /// The account called so, and what proves its owner. `key`: [`name_key`](crate::names::name_key).
    fn credentials<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Credentials>>;
    /// Accounts by key, after this one, without guests.
    fn accounts<'a>(&'a self, after: &'a str, limit: usize) -> Answer<'a, Vec<Account>>;
    /// Another password. `NotFound`.
    fn set_password<'a>(&'a self, id: AccountId, password: &'a Secret<String>) -> Answer<'a, ()>;
    /// Another role. `NotFound`.
    fn set_role(&self, id: AccountId, role: Role) -> Answer<'_, ()>;
    /// A ban made now, or (`None`) ended now, whatever any commit said. `NotFound`.
    fn set_ban<'a>(&'a self, id: AccountId, ban: Option<&'a Ban>) -> Answer<'a, ()>;
    /// Removes the account with its characters, sign-ins and mutes. Whether it was there.
    fn remove_account(&self, id: AccountId) -> Answer<'_, bool>;
    /// Notes that a guest was there.
    fn see_guest(&self, id: AccountId, now_ms: i64) -> Answer<'_, ()>;
    /// Guests last seen before then.
    fn idle_guests(&self, before_ms: i64, limit: usize) -> Answer<'_, Vec<AccountId>>;
}

/// Sign-ins and their refresh tokens.
pub trait Families: Send + Sync + 'static {
    /// Begins a family. `NotFound`: no such account.
    fn create_family<'a>(&'a self, family: &'a NewFamily) -> Answer<'a, ()>;
    /// The family with this id.
    fn family<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Family>>;
    /// The family with this id, and its account.
    fn sign_in<'a>(&'a self, family: &'a str) -> Answer<'a, Option<SignIn>>;
    /// The same, and the account's character where it has this one and no other.
    fn opening<'a>(&'a self, family: &'a str) -> Answer<'a, Option<(SignIn, Option<Character>)>>;
    /// Whether the family was not revoked, and its account is not banned at `now_ms`.
    fn stands<'a>(&'a self, family: &'a str, now_ms: i64) -> Answer<'a, bool>;
    /// The live family whose token has this SHA-256: the newest, or the one before within its grace.
    fn token_family<'a>(
        &'a self,
        token_hash: &'a Secret<[u8; 32]>,
        now_ms: i64,
        grace_ms: i64,
    ) -> Answer<'a, Option<Family>>;
    /// Exchanges a refresh token for its successor, in one transaction.
    fn rotate<'a>(&'a self, rotate: &'a Rotate) -> Answer<'a, Rotated>;
    /// Revokes a family. Whether it was live.
    fn revoke_family<'a>(&'a self, id: &'a str, now_ms: i64) -> Answer<'a, bool>;
    /// Revokes every family of an account; the ids of those that were live.
    fn revoke_families(&self, account: AccountId, now_ms: i64) -> Answer<'_, Vec<String>>;
    /// Revokes every family of every account; how many were live.
    fn revoke_all_families(&self, now_ms: i64) -> Answer<'_, u64>;
    /// Forgets families that ended before then; how many.
    fn prune_families(&self, before_ms: i64) -> Answer<'_, u64>;
}

/// Characters.
pub trait Characters: Send + Sync + 'static {
    /// Makes a character. `Conflict`: its name, or one that looks like it, is taken. `Limit`: the account has
    /// `most` already.
    fn create_character<'a>(&'a self, character: &'a NewCharacter, most: usize) -> Answer<'a, ()>;
    /// The character with this id.
    fn character(&self, id: CharacterId) -> Answer<'_, Option<Character>>;
    /// The character called so. `key`: [`name_key`](crate::names::name_key).
    fn character_by_name<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Character>>;
    /// An account's characters, the oldest first, without their state.
    fn characters(&self, account: AccountId) -> Answer<'_, Vec<Character>>;
    /// Ids of all characters, after this one.
    fn character_ids(&self, after: Option<CharacterId>, limit: usize) -> Answer<'_, Vec<CharacterId>>;
    /// Deletes a character of an account. Whether it was there.
    fn delete_character(&self, account: AccountId, id: CharacterId) -> Answer<'_, bool>;
}

/// What zones' commits leave, mutes and the audit log.
pub trait Moderation: Send + Sync + 'static {
    /// Keeps what commits left, in one transaction. Idempotent; older than what is kept: nothing happens. What belongs
    /// to an account or a character that is no more is left out.
    fn apply_all<'a>(&'a self, commits: &'a [(Stamp, Vec<Record>)]) -> Answer<'a, ()>;
    /// The same, of one commit.
    fn apply<'a>(&'a self, stamp: &'a Stamp, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(async move { self.apply_all(&[(stamp.clone(), records.to_vec())]).await })
    }
    /// An account's mutes that hold at `now_ms`, at most [`PAGE_MAX`].
    fn mutes(&self, account: AccountId, now_ms: i64) -> Answer<'_, Vec<Mute>>;
    /// What is kept of the mutes of these accounts: of each those that hold at `now_ms`, at most [`PAGE_MAX`], and
    /// the newest that ended within a day, at most [`ENDED_MUTES_MAX`].
    fn mute_marks<'a>(&'a self, accounts: &'a [AccountId], now_ms: i64) -> Answer<'a, Vec<MuteMark>>;
    /// What an account brings with a character that enters the world: what is kept of its mutes, as
    /// [`mute_marks`](Self::mute_marks) tells it, and its silence.
    fn brought(&self, account: AccountId, now_ms: i64) -> Answer<'_, Brought>;
    /// Forgets mutes and silences that ended; how many.
    fn prune_mutes(&self, now_ms: i64) -> Answer<'_, u64>;
    /// Adds an entry to the audit log; the same entry twice is one.
    fn audit<'a>(&'a self, entry: &'a AuditEntry) -> Answer<'a, ()>;
    /// The audit log, newest first, before this id (`None`: from the newest).
    fn audit_page(&self, before: Option<i64>, limit: usize) -> Answer<'_, Vec<(i64, AuditEntry)>>;
    /// Forgets what is older in the audit log, and beyond so many entries the oldest; how many.
    fn prune_audit(&self, before_ms: i64, most: u64) -> Answer<'_, u64>;
}

/// Chat history.
pub trait Chat: Send + Sync + 'static {
    /// Adds the lines of logs and moves the places up to which these were read, in one transaction. What is at or before
    /// a log's place is there already, and left alone; a place never moves back within an epoch.
    fn record_chat<'a>(&'a self, epoch: &'a str, logs: &'a [ChatLog]) -> Answer<'a, ()>;
    /// The newest lines that match, oldest first. Where authors are left out who have said nearly all, as many as are found
    /// among some thousands of pieces.
    fn chat_lines<'a>(&'a self, query: &'a ChatQuery) -> Answer<'a, Vec<ChatLine>>;
    /// Up to where an audience's log was read; 0: never, or in another epoch.
    fn chat_cursor<'a>(&'a self, epoch: &'a str, audience: &'a Audience) -> Answer<'a, u64>;
    /// All those places of an epoch, by audience, after this one.
    fn chat_cursors<'a>(
        &'a self,
        epoch: &'a str,
        after: Option<&'a Audience>,
        limit: usize,
    ) -> Answer<'a, Vec<(Audience, u64)>>;
    /// Forgets lines said before then, and the oldest above `most`; those that were written with a younger one stay as long
    /// as that. Also the places in the logs of characters that are no more.
    fn prune_chat(&self, before_ms: i64, most: u64) -> Answer<'_, ()>;
    /// Forgets the places in the logs of those of these audiences that no line is kept of; which they were.
    fn forget_chat<'a>(&'a self, audiences: &'a [Audience]) -> Answer<'a, Vec<Audience>>;
}

/// Checkpoints of zones.
pub trait Zones: Send + Sync + 'static {
    /// Keeps a zone's checkpoint in place of the one before; an older one of the same epoch is left out.
    fn save_checkpoint<'a>(&'a self, checkpoint: &'a Checkpoint) -> Answer<'a, ()>;
    /// A zone's checkpoint.
    fn checkpoint<'a>(&'a self, zone: &'a ZoneId) -> Answer<'a, Option<Checkpoint>>;
}

/// Settings, secrets, and the store itself.
pub trait System: Send + Sync + 'static {
    /// A setting.
    fn setting<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>>;
    /// Changes a setting; `None` forgets it.
    fn set_setting<'a>(&'a self, key: &'a str, value: Option<&'a str>) -> Answer<'a, ()>;
    /// The secret called so; where there is none, `fresh` becomes it. Of several callers one wins, and all get its.
    fn secret<'a>(&'a self, key: &'a str, fresh: &'a Secret<Vec<u8>>) -> Answer<'a, Secret<Vec<u8>>>;
    /// Whether the database answers.
    fn ping(&self) -> Answer<'_, ()>;
    /// Finishes what is under way and closes.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
