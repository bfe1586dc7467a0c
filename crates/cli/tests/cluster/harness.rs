//! A NATS server, a process that keeps the world, and edges.

use std::path::PathBuf;

use anyhow::Result;
use tidings_client::Api;
use tidings_test_support::{NatsServer, Player, Server, ServerBuilder, newest_nats};

/// A world in processes.
pub struct Cluster {
    _nats: NatsServer,
    /// The one that has the storage.
    _world: Server,
    pub edges: Vec<Server>,
}

/// A process on this cluster, with the tests' world and limits out of the way.
pub fn process(nats: &NatsServer, roles: &str) -> ServerBuilder {
    let world = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/world");
    let builder =
        ServerBuilder::new(env!("CARGO_BIN_EXE_tidings")).set("world", world.display()).without_limits();
    builder.set("nats.servers", nats.url()).set("roles", roles).set("log.level", "warn")
}

impl Cluster {
    /// One process for zones and services, and two edges.
    pub fn start() -> Result<Self> {
        let nats = NatsServer::start(newest_nats())?;
        let world = process(&nats, "zone,services").start()?;
        let edges = vec![process(&nats, "edge").start()?, process(&nats, "edge").start()?];
        Ok(Self { _nats: nats, _world: world, edges })
    }

    /// The HTTP of an edge.
    pub fn api(&self, edge: usize) -> Api {
        self.edges[edge].api()
    }

    /// A player of this name, at this edge.
    pub async fn player(&self, edge: usize, name: &str) -> Result<Player> {
        Player::new(&self.api(edge), name).await
    }
}
