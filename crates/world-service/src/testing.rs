//! What the tests of the services stand on: a bus and a store in memory, and a clock that moves when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tidings_bus::{Bus, Embedded, EmbeddedConfig, Subject};
use tidings_protocol::{AccountId, Audience};
use tidings_service::Subjects;
use tidings_storage::{NewAccount, Role, Store, Username};

use crate::clock::{Clock, id_time, random_bits};

/// A bus in memory with the buckets of the services.
pub(crate) fn bus() -> Bus {
    bus_over(EmbeddedConfig::default())
}

/// The log of a room.
pub(crate) fn room_log(room: &str) -> Subject {
    let registry = tidings_service::subjects::registry(None).expect("the house's table is sound");
    let audience = Audience::Room(room.parse().expect("a room"));
    Subjects(&registry).log(&audience).expect("a room's log")
}

/// The same, with more said about it.
pub(crate) fn bus_over(config: EmbeddedConfig) -> Bus {
    let config = tidings_service::subjects::declare(config);
    let registry = Arc::new(tidings_service::subjects::registry(None).expect("the house's table is sound"));
    Bus::new(Embedded::open(config).expect("in memory"), registry)
}

/// A bus, a store and a clock.
pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    time: Arc<AtomicI64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let store = Store::memory().await.expect("in memory");
        Self { bus: bus(), store, time: Arc::new(AtomicI64::new(1_763_700_000_000)) }
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.time);
        Arc::new(move || time.load(Ordering::SeqCst))
    }

    pub(crate) fn now(&self) -> i64 {
        self.time.load(Ordering::SeqCst)
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn pass(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::SeqCst);
    }

    /// An account without a password.
    pub(crate) async fn account(&self, name: &str) -> AccountId {
        let account = NewAccount {
            id: AccountId::new(id_time(self.now()), random_bits().expect("bits")),
            username: Username::new(name).expect("a name"),
            password: None,
            role: Role::Player,
            guest: false,
            created_ms: self.now(),
        };
        self.store.create_account(&account).await.expect("an account");
        account.id
    }
}

/// The services over a [`World`], and calls to them.
pub(crate) struct Running {
    pub(crate) world: World,
    pub(crate) account: crate::account::AccountService,
    pub(crate) session: crate::session::SessionService,
    _servers: Vec<tidings_service::ServerHandle>,
    _stop: tokio_util::sync::DropGuard,
}

/// An account service that hashes fast and badly.
pub(crate) fn cheap() -> crate::account::Config {
    let password_cost = crate::account::passwords::Cost { memory_kib: 64, passes: 1 };
    crate::account::Config { password_cost, ..crate::account::Config::default() }
}

impl Running {
    pub(crate) async fn new() -> Self {
        Self::with(cheap()).await
    }

    pub(crate) async fn with(config: crate::account::Config) -> Self {
        Self::over(World::new().await, config).await
    }

    /// The services anew, over what was there.
    pub(crate) async fn over(world: World, config: crate::account::Config) -> Self {
        let start = crate::session::Config::new("harbour".parse().expect("a zone"));
        let (bus, store, clock) = (world.bus.clone(), world.store.clone(), world.clock());
        let account = crate::account::AccountService::new(store.clone(), bus.clone(), clock.clone(), config)
            .await
            .expect("a service");
        let session = crate::session::SessionService::new(store, bus, clock, start).expect("a service");
        let mut servers = Vec::new();
        for server in [account.server(), session.server()] {
            servers.push(server.start().await.expect("it serves"));
        }
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::spawn(account.clone().maintain(stop.clone()));
        tokio::spawn(session.clone().maintain(stop.clone()));
        Self { world, account, session, _servers: servers, _stop: stop.drop_guard() }
    }

    /// Ends the services, as a process does; what is durable stays.
    pub(crate) fn end(self) -> World {
        self.world
    }

    /// How many passwords were hashed or compared.
    pub(crate) fn hashed(&self) -> u64 {
        self.account.hashed()
    }

    pub(crate) fn caller(&self) -> tidings_service::Caller {
        tidings_service::Caller::new(self.world.bus.clone())
    }

    pub(crate) async fn call<Rep: prost::Message + Default>(
        &self,
        service: &str,
        method: &str,
        request: &impl prost::Message,
    ) -> Result<Rep, tidings_service::CallError> {
        self.caller().call(service, method, request, std::time::Duration::from_secs(10)).await
    }
}

/// Asks again until it is so; what is to happen is on its way already.
pub(crate) async fn until(so: impl AsyncFn() -> bool) {
    let soon = std::time::Duration::from_secs(20);
    let asked = async {
        while !so().await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(soon, asked).await.expect("it came to be");
}
