//! What the host's tests stand on: a small world of two zones, a bus whose faults are chosen, players that ask
//! again like an edge, and a reader of what was said.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub mod faults;
pub mod player;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faults::{Faults, Faulty};
use prost::Message as _;
use sqlx::Connection as _;
use tidings_bus::{Bus, Embedded, EmbeddedConfig};
use tidings_protocol::proto::world::v1 as wire;
use tidings_protocol::text::Catalogue;
use tidings_protocol::{Audience, Text};
use tidings_service::{Caller, Health, Subjects, declare, subjects};
use tidings_storage::Store;
use tidings_test_support::small_world;
use tidings_world::{Config, Content, Limits};
use tidings_world_service::host::Parts;
use tidings_world_service::{HostConfig, Hosts};

/// A lease short enough to wait for.
pub const LEASE: Duration = Duration::from_millis(400);

pub fn content() -> Arc<Content> {
    load(&small_world())
}

/// The same after builders took the gate away.
pub fn content_without_gate() -> Arc<Content> {
    let mut files = small_world();
    let town = files.get_mut("zones/town.toml").unwrap();
    let (without, _) = town.split_once("[rooms.gate]").unwrap();
    *town = without.replace("exits.east = \"gate\"", "exits.north = \"hill_foot\"");
    let hill = files.get_mut("zones/hill.toml").unwrap();
    *hill = hill.replace("town_gate", "town_hall");
    load(&files)
}

fn load(files: &BTreeMap<String, String>) -> Arc<Content> {
    Arc::new(Content::load(files).expect("the test's world has no mistake"))
}

/// Everything below the hosts: what outlives them.
pub struct Ground {
    pub bus: Bus,
    pub faults: Arc<Faults>,
    pub store: Store,
    pub content: Arc<Content>,
    pub health: Health,
    folder: Option<tempfile::TempDir>,
}

impl Ground {
    pub async fn in_memory() -> Self {
        // A host that is killed in the middle of a query takes its connection with it, and a database in memory
        // with that: so the storage is a file.
        let folder = tempfile::tempdir().unwrap();
        let store = Store::sqlite(&folder.path().join("store.db")).await.unwrap();
        Self { folder: Some(folder), ..Self::over(None, store) }
    }

    /// The bus and the storage in a folder.
    pub async fn on_disk(folder: PathBuf) -> Self {
        let store = Store::sqlite(&folder.join("store.db")).await.unwrap();
        Self::over(Some(folder.join("bus")), store)
    }

    fn over(data: Option<PathBuf>, store: Store) -> Self {
        let config = declare(EmbeddedConfig { data, ..EmbeddedConfig::default() });
        let config = config.bucket("other-leases", tidings_bus::Keep::Volatile);
        let backend = Embedded::open(config).unwrap();
        let faults = Arc::new(Faults::default());
        let registry = Arc::new(subjects::registry(None).unwrap());
        let bus = Bus::new(Arc::new(Faulty { inner: backend, faults: Arc::clone(&faults) }), registry);
        Self { bus, faults, store, content: content(), health: Health::new(), folder: None }
    }

    /// Storage takes no writes while this is there.
    pub async fn hold_storage(&self) -> sqlx::SqliteConnection {
        let path = self.folder.as_ref().expect("a ground in memory").path().join("store.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        other
    }

    pub fn host_config(&self, name: &str) -> HostConfig {
        HostConfig { lease: LEASE, threads: 1, ..HostConfig::new(name, 7) }
    }

    pub fn start(&self, name: &str) -> Hosts {
        self.start_with(self.host_config(name))
    }

    pub fn start_with(&self, config: HostConfig) -> Hosts {
        let parts = Parts {
            bus: self.bus.clone(),
            store: self.store.clone(),
            content: Arc::clone(&self.content),
            // Tests talk faster than people.
            rules: Config { limits: Limits::NONE, ..Config::default() },
            catalogue: Arc::new(Catalogue::builtin()),
            unwritten: Arc::default(),
            health: self.health.clone(),
        };
        Hosts::start(config, parts).unwrap()
    }

    /// Keeps this player's zone busy with a commit until something else was done.
    pub async fn while_busy(&self, player: &player::Player, done: impl Future<Output = ()>) {
        self.faults.set(faults::OnCommit::Hold).await;
        let id = format!("busy-{:?}", std::time::Instant::now());
        tokio::join!(player.types(&id, "say busy"), async {
            self.faults.vanished.notified().await;
            done.await;
            self.faults.go_on.notify_one();
        });
    }

    pub fn caller(&self) -> Caller {
        Caller::new(self.bus.clone())
    }

    /// Everything in an audience's log.
    pub async fn log(&self, audience: &str) -> Vec<(u64, wire::Event)> {
        let audience: Audience = audience.parse().unwrap();
        let subject = Subjects(self.bus.registry()).log(&audience).unwrap();
        let mut found = Vec::new();
        let mut after = 0;
        loop {
            let page = self.bus.read(std::slice::from_ref(&subject), after, 500).await.unwrap();
            let Some(last) = page.last() else { return found };
            after = last.seq;
            found.extend(page.iter().map(|m| (m.seq, wire::Event::decode(m.payload.clone()).unwrap())));
        }
    }

    /// The texts of an audience's log, rendered.
    pub async fn said(&self, audience: &str) -> Vec<String> {
        let events = self.log(audience).await;
        events.into_iter().filter_map(|(_, event)| event.text).map(render).collect()
    }

    /// Who the logs of the rooms say is where: every entered has its left, and nobody is in two rooms.
    pub async fn whereabouts(&self) -> BTreeMap<String, String> {
        let mut moves = Vec::new();
        for room in self.content.rooms.keys() {
            for (seq, event) in self.log(&format!("room.{room}")).await {
                moves.push((seq, room.to_string(), event));
            }
        }
        moves.sort_by_key(|(seq, ..)| *seq);
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for (seq, room, event) in moves {
            let who = event.subject.clone();
            match event.kind.as_str() {
                "event.entered" | "event.joined_world" => {
                    let before = places.insert(who.clone(), room.clone());
                    assert_eq!(
                        before, None,
                        "{who} enters {room} at {seq} and is there or elsewhere already"
                    );
                }
                "event.left" | "event.left_world" => {
                    assert_eq!(places.remove(&who).as_ref(), Some(&room), "{who} leaves {room} at {seq}");
                }
                _ => {}
            }
        }
        places
    }
}

pub fn render(text: wire::Text) -> String {
    Catalogue::builtin().render(&Text::from(text), "en")
}
