//! The service `account`: who people are. Sign-in, tokens, tickets, guests, characters; and what the command line
//! does with accounts.
//!
//! Identity comes from a verified token or a redeemed ticket and from nothing else. Everything fails closed: where
//! storage does not answer, nobody is let in.

pub mod admin;
mod attempts;
mod characters;
mod guests;
mod maintain;
pub mod passwords;
mod sign_in;
pub(crate) mod standing;
pub(crate) mod tickets;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{Bus, Kv};
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{Empty, Identity};
use tidings_service::{CallError, Caller, Server};
use tidings_storage::Store;

use self::attempts::Attempts;
use self::passwords::{Cost, Passwords};
use self::standing::Standing;
use self::tokens::AccessTokens;
use crate::clock::Clock;

/// The bucket of tickets: volatile, values live for [`Config::ticket_life`].
pub const TICKETS_BUCKET: &str = "tickets";
/// How long a call to another service on behalf of a request may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long an access token is good (15 minutes).
    pub access_life: Duration,
    /// How long a sign-in lasts without being used (30 days).
    pub refresh_life: Duration,
    /// How long the refresh token before is honoured [10 s]: a page that lost the answer asks again.
    pub refresh_grace: Duration,
    /// How long a ticket is good (30 s).
    pub ticket_life: Duration,
    /// Whether anybody may register (yes).
    pub registration: bool,
    /// Whether guests are let in (yes).
    pub guests: bool,
    /// How long a guest is kept after the last session [1 hour]: longer than one can still come back.
    pub guest_linger: Duration,
    /// Most characters of an account (8).
    pub characters_max: usize,
    /// Sign-in attempts a minute for one username (100), ten times what one address may: guessing from many addresses
    /// meets it, and no single address keeps the owner out; 0: no limit.
    pub sign_ins_per_minute_per_name: u32,
    /// Threads that hash passwords (1): one is 30 sign-ins a second, and leaves the other cores to the world.
    pub password_threads: usize,
    /// How costly a password's hash is.
    pub password_cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            access_life: Duration::from_secs(15 * 60),
            refresh_life: Duration::from_secs(30 * 24 * 60 * 60),
            refresh_grace: Duration::from_secs(10),
            ticket_life: Duration::from_secs(30),
            registration: true,
            guests: true,
            guest_linger: Duration::from_secs(60 * 60),
            characters_max: 8,
            sign_ins_per_minute_per_name: 100,
            password_threads: 1,
            password_cost: Cost::default(),
        }
    }
}

/// The service: cheap to clone.
#[derive(Clone)]
pub struct AccountService {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    caller: Caller,
    tickets: Kv,
    sessions: Kv,
    clock: Clock,
    config: Config,
    passwords: Passwords,
    tokens: AccessTokens,
    standing: Standing,
    attempts: Attempts,
}

impl AccountService {
    /// Over a store and a bus. The first run makes the key that signs access tokens.
    pub async fn new(store: Store, bus: Bus, clock: Clock, config: Config) -> Result<Self, CallError> {
        let inner = Inner {
            tokens: AccessTokens::open(&store).await?,
            passwords: Passwords::start(config.password_threads, config.password_cost)?,
            attempts: Attempts::new(config.sign_ins_per_minute_per_name),
            standing: Standing::default(),
            tickets: bus.kv(TICKETS_BUCKET)?,
            sessions: bus.kv(crate::session::BUCKET)?,
            caller: Caller::new(bus),
            store,
            clock,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        let server = Server::new(self.inner.caller.bus().clone(), "account");
        let server = self.method(server, "register", Self::register);
        let server = self.method(server, "sign-in", Self::sign_in);
        let server = self.method(server, "guest", Self::guest);
        let server = self.method(server, "refresh", Self::refresh);
        let server = self.method(server, "sign-out", Self::sign_out);
        let server = self.method(server, "verify", Self::verify);
        let server = self.method(server, "verify-refresh", Self::verify_refresh);
        let server = self.method(server, "issue-ticket", Self::issue_ticket);
        let server = self.method(server, "characters", Self::characters);
        let server = self.method(server, "create-character", Self::create_character);
        self.method(server, "delete-character", Self::delete_character)
    }

    fn method<Req, Rep, F, Fut>(&self, server: Server, name: &str, run: F) -> Server
    where
        Req: prost::Message + Default + 'static,
        Rep: prost::Message + 'static,
        F: Fn(Self, Req) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = Result<Rep, CallError>> + Send + 'static,
    {
        let service = self.clone();
        server.method(name, move |_call, request| run(service.clone(), request))
    }

    #[cfg(test)]
    pub(crate) fn hashed(&self) -> u64 {
        self.inner.passwords.done()
    }

    fn now(&self) -> i64 {
        (self.inner.clock)()
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    /// An identity whose sign-in stands, with the role of now. Fails closed.
    pub(crate) async fn standing(&self, identity: Identity) -> Result<Identity, CallError> {
        let account = crate::failure::id(&identity.account, "an account")?;
        let role = self.inner.standing.role(self.store(), account, &identity.family, self.now()).await?;
        Ok(Identity { role: role.as_str().to_owned(), ..identity })
    }
}

fn unauthenticated(what: &str) -> CallError {
    CallError::new(ErrorCode::Unauthenticated, what)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

const DONE: Empty = Empty {};
