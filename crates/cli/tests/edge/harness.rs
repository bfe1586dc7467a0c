//! A whole world in this process: storage in memory, services, zones, and edges on loopback, on the messaging that the
//! binary's `backend` is.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use tidings_bus::backend::Backend;
use tidings_bus::{Append, Bus, Subject};
use tidings_client::Api;
use tidings_edge::http::HttpConfig;
use tidings_edge::limits::Rates;
use tidings_edge::{Counts, Edge, EdgeConfig, EdgeHandle, EdgeParts};
use tidings_protocol::proto::services::v1::MutesChanged;
use tidings_protocol::proto::world::v1::Event;
use tidings_protocol::text::Catalogue;
use tidings_protocol::{AccountId, Text};
use tidings_service::{Health, Subjects, subjects};
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

use crate::backend::{EDGES, Messaging};
use crate::between::Between;

/// A whole world.
pub struct House {
    /// What services and zones use.
    pub bus: Bus,
    /// What stands between the edges and that.
    pub between: Arc<Between>,
    pub store: Store,
    /// The first edge.
    pub edge: Option<EdgeHandle>,
    /// Its HTTP.
    pub api: Api,
    /// More edges that players are spread over.
    others: Vec<(EdgeHandle, Api)>,
    /// Players so far.
    players: AtomicUsize,
    _services: Services,
    _hosts: Hosts,
    messaging: Messaging,
}

/// What a test wants otherwise.
pub struct Setup {
    /// Edges that players are spread over.
    pub edges: usize,
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
        Self { edges: EDGES, config, rates: off, grace: Duration::from_secs(30) }
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// With one edge alone, for what is told of an edge by itself.
    pub async fn at_one_edge() -> Self {
        Self::with(Setup { edges: 1, ..Setup::default() }).await
    }

    pub async fn with(setup: Setup) -> Self {
        let messaging = Messaging::start().await;
        let between = Between::new(messaging.connect().await);
        let bus = bus(messaging.connect().await);
        let store = Store::memory().await.unwrap();
        let health = Health::new();
        let content = Arc::new(Content::load(&small_world()).expect("the test's world has no mistake"));
        let unwritten = Arc::default();
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
            unwritten: Arc::clone(&unwritten),
            health: health.clone(),
        };
        let hosts = Hosts::start(HostConfig { threads: 1, ..HostConfig::new("host", 7) }, parts).unwrap();
        let account = account::Config {
            password_cost: Cost { memory_kib: 64, passes: 1 },
            ..account::Config::default()
        };
        let session = session::Config::new("town".parse().unwrap());
        let config =
            services::Config { account, session, chat: chat::Config::default(), lease: None, unwritten };
        let services =
            Services::start(store.clone(), bus.clone(), clock::wall_clock(), config, &health).await.unwrap();
        let edge = start_edge(bus_of(&between), &health, &setup);
        let api = Api::new(edge.address());
        let mut house = Self {
            bus,
            between,
            store,
            edge: Some(edge),
            api,
            others: Vec::new(),
            players: AtomicUsize::new(0),
            _services: services,
            _hosts: hosts,
            messaging,
        };
        for number in 1..setup.edges {
            let config = EdgeConfig { edge: format!("other-{number}"), ..setup.config.clone() };
            let other =
                house.start_another(&Setup { config, rates: setup.rates.clone(), ..Setup::default() }).await;
            house.others.push(other);
        }
        house
    }

    /// A player of this name, in the world: each at the next edge.
    pub async fn player(&self, name: &str) -> Player {
        let api = match self.players.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1) {
            0 => &self.api,
            place => &self.others[place - 1].1,
        };
        Player::new(api, name).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// Where one who was at this address comes back: at another edge where there is one.
    pub fn elsewhere(&self, address: SocketAddr) -> SocketAddr {
        let apis = self.others.iter().map(|(_, api)| api).chain([&self.api]);
        apis.map(Api::address).find(|other| *other != address).unwrap_or(address)
    }

    /// Another edge of the same world, that no player is at yet.
    pub async fn another_edge(&self, name: &str) -> (EdgeHandle, Api) {
        let config = EdgeConfig { edge: name.to_owned(), shards: 1, ..EdgeConfig::default() };
        self.start_another(&Setup { config, ..Setup::default() }).await
    }

    async fn start_another(&self, setup: &Setup) -> (EdgeHandle, Api) {
        let between = self.between.beside(self.messaging.connect().await);
        let edge = start_edge(bus_of(&between), &Health::new(), setup);
        let api = Api::new(edge.address());
        (edge, api)
    }

    fn edges(&self) -> impl Iterator<Item = &EdgeHandle> {
        self.edge.iter().chain(self.others.iter().map(|(edge, _)| edge))
    }

    /// The sessions that are open at all edges.
    pub fn sessions(&self) -> usize {
        self.edges().map(EdgeHandle::sessions).sum()
    }

    /// What there is at all edges.
    pub async fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for edge in self.edges() {
            all += edge.counts().await;
        }
        all
    }

    /// An audience's log.
    pub fn log(&self, audience: &str) -> Subject {
        Subjects(self.bus.registry()).log(&audience.parse().unwrap()).unwrap()
    }

    /// Something long (32 KiB) happens in the hall.
    pub async fn long_event(&self, kind: &str) {
        let data = format!("{{\"long\":\"{}\"}}", "x".repeat(32 * 1024));
        let text = Text::new("chat.system").with("text", "long");
        let event = Event { kind: kind.to_owned(), data, text: Some(text.into()), ..Event::default() };
        let subject = self.log("room.town_hall");
        let append = Append { subject, payload: event.encode_to_vec().into() };
        self.bus.commit(vec![append], Vec::new()).await.unwrap();
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
}

fn bus(backend: Arc<dyn Backend>) -> Bus {
    Bus::new(backend, Arc::new(subjects::registry(None).unwrap()))
}

fn bus_of(between: &Arc<Between>) -> Bus {
    bus(Arc::clone(between) as _)
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
