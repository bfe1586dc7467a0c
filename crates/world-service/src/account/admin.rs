//! What the command line does with accounts. Each change that takes something away ends the account's sessions and
//! sign-ins: where a server runs, through the service `session`; else in storage, where every resume looks.

use std::time::Duration;

use tidings_protocol::proto::services::v1::{AccountInfo, RevokeReply, RevokeRequest};
use tidings_protocol::{AccountId, CloseCode, ErrorCode};
use tidings_service::{CallError, Caller};
use tidings_storage::names::name_key;
use tidings_storage::{Account, AuditEntry, Ban, NewAccount, Role, Secret, Store, Username};

use super::passwords::{Cost, Passwords};
use super::sign_in::info;
use crate::clock::{Clock, id_time, random_bits};
use crate::failure::stored;

/// Accounts of one page of `user list`.
pub const PAGE: usize = 200;
/// How long ending the sessions may take: the command line waits for it.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// The accounts, for who holds the data folder.
pub struct Admin {
    store: Store,
    /// Where a server runs.
    caller: Option<Caller>,
    passwords: Passwords,
    clock: Clock,
}

impl Admin {
    /// With the calls of the running server, or without where none runs.
    pub fn new(store: Store, caller: Option<Caller>, clock: Clock) -> Result<Self, CallError> {
        Self::with_cost(store, caller, clock, Cost::default())
    }

    /// As `new`, with another cost of passwords.
    pub fn with_cost(
        store: Store,
        caller: Option<Caller>,
        clock: Clock,
        cost: Cost,
    ) -> Result<Self, CallError> {
        Ok(Self { passwords: Passwords::start(1, cost)?, store, caller, clock })
    }

    /// `user add`. Without a password nobody signs in to it until one is set.
    pub async fn add(
        &self,
        name: &str,
        role: Role,
        password: Option<&str>,
    ) -> Result<AccountInfo, CallError> {
        let username = Username::new(name).map_err(|error| {
            CallError::new(ErrorCode::InvalidArgument, format!("That cannot be a username: {error}."))
        })?;
        let password = match password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let created_ms = (self.clock)();
        let id = AccountId::new(id_time(created_ms), random_bits()?);
        let account = NewAccount { id, username, password, role, guest: false, created_ms };
        self.store.create_account(&account).await.map_err(stored)?;
        self.note("user add", name, role.as_str()).await?;
        let made = self.find(name).await?;
        Ok(info(&made, created_ms))
    }

    /// `user list`: a page after this username (empty: from the first).
    pub async fn list(&self, after: &str) -> Result<Vec<AccountInfo>, CallError> {
        let page = self.store.accounts(&name_key(after), PAGE).await.map_err(stored)?;
        Ok(page.iter().map(|account| info(account, (self.clock)())).collect())
    }

    /// `user role`.
    pub async fn role(&self, name: &str, role: Role) -> Result<(), CallError> {
        let account = self.find(name).await?;
        self.store.set_role(account.id, role).await.map_err(stored)?;
        self.note("user role", name, role.as_str()).await?;
        self.end(account.id, CloseCode::Revoked, "Your role has changed. Please sign in again.").await
    }

    /// `user password`.
    pub async fn password(&self, name: &str, password: &str) -> Result<(), CallError> {
        let account = self.find(name).await?;
        let hash: Secret<String> = self.passwords.hash(password).await?;
        self.store.set_password(account.id, &hash).await.map_err(stored)?;
        self.note("user password", name, "").await?;
        self.end(account.id, CloseCode::Revoked, "Your password has changed. Please sign in again.").await
    }

    /// `user ban`; `None` lifts it.
    pub async fn ban(&self, name: &str, ban: Option<Ban>) -> Result<(), CallError> {
        let account = self.find(name).await?;
        self.store.set_ban(account.id, ban.as_ref()).await.map_err(stored)?;
        match ban {
            None => self.note("user unban", name, "").await,
            Some(ban) => {
                self.note("user ban", name, &ban.reason).await?;
                self.end(account.id, CloseCode::Banned, &ban.reason).await
            }
        }
    }

    /// `user remove`: the account, its characters, sign-ins and mutes.
    pub async fn remove(&self, name: &str) -> Result<(), CallError> {
        let account = self.find(name).await?;
        self.end(account.id, CloseCode::Revoked, "Your account has been removed.").await?;
        self.store.remove_account(account.id).await.map_err(stored)?;
        self.note("user remove", name, "").await
    }

    async fn find(&self, name: &str) -> Result<Account, CallError> {
        let found = self.store.credentials(&name_key(name)).await.map_err(stored)?;
        let missing = || CallError::new(ErrorCode::NotFound, "There is no account of that name.");
        found.map(|found| found.account).ok_or_else(missing)
    }

    async fn note(&self, action: &str, target: &str, detail: &str) -> Result<(), CallError> {
        let entry = AuditEntry {
            time_ms: (self.clock)(),
            account: "console".to_owned(),
            name: "console".to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        };
        self.store.audit(&entry).await.map_err(stored)
    }

    /// The sign-ins first: a page that reconnects at once finds none.
    async fn end(&self, account: AccountId, code: CloseCode, reason: &str) -> Result<(), CallError> {
        self.store.revoke_families(account, (self.clock)()).await.map_err(stored)?;
        let Some(caller) = &self.caller else { return Ok(()) };
        let request = RevokeRequest {
            account: account.to_string(),
            code: u32::from(code.code()),
            reason: if reason.is_empty() { code.reason().to_owned() } else { reason.to_owned() },
            ..RevokeRequest::default()
        };
        let _: RevokeReply = caller.call("session", "revoke", &request, CALL_DEADLINE).await?;
        Ok(())
    }
}
