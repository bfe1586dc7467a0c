//! A whole world in this process: bus and storage in memory, services, zones, and edges on loopback.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidings_bus::{Bus, Embedded, EmbeddedConfig, Subject};
use tidings_client::Api;
use tidings_edge::http::HttpConfig;
use tidings_edge::limits::Rates;
use tidings_edge::{Edge, EdgeConfig, EdgeHandle, EdgeParts};
use tidings_protocol::AccountId;
use tidings_protocol::proto::services::v1::MutesChanged;
use tidings_protocol::text::Catalogue;
use tidings_service::{Health, Subjects, declare, subjects};
use tidings_storage::Store;
use tidings_test_support::{Player, small_world};
use tidings_world::{Config as Rules, Content, Limits};
use tidings_world_service::account;
use tidings_world_service::account::passwords::Cost;
use tidings_world_service::chat;
use tidings_world_service::clock;
use tidings_world_service::host::Parts;
use tidings_world_service::services::{self, Services};
use tidings_world_service::session;
use tidings_world_service::{HostConfig, Hosts};

use crate::between::Between;

/// A whole world.
pub struct House {
    /// What services and zones use.
    pub bus: Bus,
    /// What stands between the edges and that.
    pub between: Arc<Between>,
    pub store: Store,
    pub edge: Option<EdgeHandle>,
    pub api: Api,
    _services: Services,
    _hosts: Hosts,
}

/// What a test wants otherwise.
pub struct Setup {
    pub config: EdgeConfig,
    pub rates: Rates,
    pub grace: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let off = Rates {
            commands_per_minute: 0,
            connects_per_minute_per_address: 0,
            sign_ins_per_minute_per_address: 0,
            accounts_per_minute_per_address: 0,
            ..Rates::default()
        };
        let config = EdgeConfig { shards: 2, ..EdgeConfig::default() };
        Self { config, rates: off, grace: Duration::from_secs(30) }
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let config = declare(EmbeddedConfig::default());
        let registry = Arc::new(subjects::registry(None).unwrap());
        let backend = Embedded::open(config).unwrap();
        let between = Between::new(Arc::clone(&backend));
        let bus = Bus::new(backend, Arc::clone(&registry));
        let store = Store::memory().await.unwrap();
        let health = Health::new();
        let content = Arc::new(Content::load(&small_world()).expect("the test's world has no mistake"));
        let parts = Parts {
            bus: bus.clone(),
            store: store.clone(),
            content,
            rules: Rules {
                limits: Limits::NONE,
                grace_ms: i64::try_from(setup.grace.as_millis()).unwrap(),
                ..Rules::default()
            },
            catalogue: Arc::new(Catalogue::builtin()),
            health: health.clone(),
        };
        let hosts = Hosts::start(HostConfig { threads: 1, ..HostConfig::new("host", 7) }, parts).unwrap();
        let account = account::Config {
            password_cost: Cost { memory_kib: 64, passes: 1 },
            ..account::Config::default()
        };
        let session = session::Config::new("town".parse().unwrap());
        let config = services::Config { account, session, chat: chat::Config::default() };
        let services =
            Services::start(store.clone(), bus.clone(), clock::wall_clock(), config, &health).await.unwrap();
        let edge = start_edge(Bus::new(Arc::clone(&between) as _, registry), &health, &setup);
        let api = Api::new(edge.address());
        Self { bus, between, store, edge: Some(edge), api, _services: services, _hosts: hosts }
    }

    /// A player of this name, in the world.
    pub async fn player(&self, name: &str) -> Player {
        Player::new(&self.api, name).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// Another edge of the same world.
    pub fn another_edge(&self, name: &str) -> (EdgeHandle, Api) {
        let config = EdgeConfig { edge: name.to_owned(), shards: 1, ..EdgeConfig::default() };
        let edge = start_edge(self.edge_bus(), &Health::new(), &Setup { config, ..Setup::default() });
        let api = Api::new(edge.address());
        (edge, api)
    }

    fn edge_bus(&self) -> Bus {
        Bus::new(Arc::clone(&self.between) as _, Arc::new(subjects::registry(None).unwrap()))
    }

    /// An audience's log.
    pub fn log(&self, audience: &str) -> Subject {
        Subjects(self.bus.registry()).log(&audience.parse().unwrap()).unwrap()
    }

    /// Tells edges that an account's mutes changed elsewhere.
    pub async fn mutes_changed(&self, account: &str) {
        let topic = Subjects(self.bus.registry()).control("mutes").unwrap();
        let changed = MutesChanged { account: account.to_owned() }.encode_to_vec();
        self.bus.publish(&topic, changed.into(), Vec::new()).await.unwrap();
    }

    /// The account of a player made here.
    pub async fn account(&self, name: &str) -> AccountId {
        let username = format!("{}-account", name.to_lowercase());
        let accounts = self.store.accounts("", 100).await.unwrap();
        accounts.into_iter().find(|account| account.username.as_str() == username).unwrap().id
    }

    pub fn edge(&self) -> &EdgeHandle {
        self.edge.as_ref().expect("it runs")
    }
}

fn start_edge(bus: Bus, health: &Health, setup: &Setup) -> EdgeHandle {
    let parts = EdgeParts {
        config: setup.config.clone(),
        http: HttpConfig { guests: true, ..HttpConfig::default() },
        rates: setup.rates.clone(),
        bus,
        catalogue: Catalogue::builtin(),
        health: health.clone(),
        metrics: None,
    };
    Edge::start(parts, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
}
