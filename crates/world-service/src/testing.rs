//! What the tests of the services stand on: a bus and a store in memory, and a clock that moves when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tidings_bus::{Bus, Embedded, EmbeddedConfig};
use tidings_protocol::AccountId;
use tidings_storage::{NewAccount, Role, Store, Username};

use crate::clock::{Clock, id_time, random_bits};

/// A bus in memory with the buckets of the services.
pub(crate) fn bus() -> Bus {
    bus_over(EmbeddedConfig::default())
}

/// The same, with more said about it.
pub(crate) fn bus_over(mut config: EmbeddedConfig) -> Bus {
    config.buckets.extend(crate::services::buckets());
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
