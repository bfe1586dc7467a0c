//! A whole server in one process: the embedded bus, SQLite, every zone, the services and an edge. The only place
//! that picks backends.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use tidings_bus::embedded::{Embedded, EmbeddedConfig};
use tidings_bus::{Bus, Retention};
use tidings_edge::limits::Limits;
use tidings_edge::{Edge, EdgeHandle, EdgeParts};
use tidings_protocol::text::Catalogue;
use tidings_service::subjects::registry;
use tidings_service::{Caller, Health, declare};
use tidings_storage::Store;
use tidings_world::Content;
use tidings_world_service::clock::wall_clock;
use tidings_world_service::host::Parts;
use tidings_world_service::services::{self, Services};
use tidings_world_service::{HostConfig, Hosts};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data::DataFolder;

/// How long zones and services may take to be ready before the address is printed all the same: `/ready` says
/// what is missing.
const READY_WAIT: Duration = Duration::from_secs(15);
/// How often that is looked at: a start takes tens of milliseconds.
const READY_BEAT: Duration = Duration::from_millis(2);

/// A running server. Dropped without [`Server::drain`], it ends as if it had been killed.
pub struct Server {
    edge: EdgeHandle,
    services: Services,
    hosts: Hosts,
    bus: Bus,
}

impl Server {
    /// Starts everything; it serves when this returns.
    pub async fn start(
        config: &Config,
        content: Content,
        folder: &DataFolder,
        store: Store,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self> {
        // The port first: one that is taken is told before anything is opened.
        let listen = config.listen();
        let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        let bus = bus(config, &folder.log()).context("the log in the data folder")?;
        let health = Health::new();
        let start = content.world.as_ref().context("the world has no world.toml")?.start.zone();
        let zones = content.zones.keys().cloned().collect();
        let service_config = services::Config {
            account: config.account(),
            session: config.session(start, zones),
            chat: config.chat(),
        };
        let services =
            Services::start(store.clone(), bus.clone(), wall_clock(), service_config, &health).await?;
        let parts = Parts {
            bus: bus.clone(),
            store,
            content: Arc::new(content),
            rules: config.rules(),
            catalogue: Arc::new(Catalogue::builtin().clone()),
            health: health.clone(),
        };
        let hosts = Hosts::start(HostConfig::new("zones-1", seed()?), parts)?;
        let parts = EdgeParts {
            config: config.edge(),
            http: config.http(),
            rates: config.rates(),
            bus: bus.clone(),
            catalogue: Catalogue::builtin().clone(),
            health: health.clone(),
            metrics,
        };
        let edge = Edge::start(parts, listener)?;
        wait_until_ready(&health).await;
        Ok(Self { edge, services, hosts, bus })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.edge.address()
    }

    /// The limits of its edge.
    pub fn limits(&self) -> Arc<Limits> {
        self.edge.limits()
    }

    /// Calls to its services.
    pub fn caller(&self) -> Caller {
        Caller::new(self.bus.clone())
    }

    /// Cancelled when staff shut the world down.
    pub fn shutdown_wanted(&self) -> CancellationToken {
        self.hosts.shutdown_wanted()
    }

    /// Stops in order: people are told, commands finish, zones are kept, messages are on disk.
    pub async fn drain(self, deadline: Duration) {
        self.edge.drain(deadline).await;
        if !self.hosts.drain(deadline).await {
            tracing::warn!("not every zone was kept in time; the log has the rest");
        }
        self.services.drain(deadline).await;
        let report = self.bus.drain(deadline).await;
        tracing::debug!(?report, "the bus has stopped");
    }
}

async fn wait_until_ready(health: &Health) {
    let ready = async {
        while !health.is_ready() {
            tokio::time::sleep(READY_BEAT).await;
        }
    };
    if tokio::time::timeout(READY_WAIT, ready).await.is_err() {
        tracing::warn!(states = ?health.states(), "not everything is ready");
    }
}

/// The embedded bus, with its log in the data folder.
fn bus(config: &Config, log: &Path) -> Result<Bus> {
    let retention = Retention { messages: Some(config.retention_messages()), age: Some(config.retention()) };
    let embedded = EmbeddedConfig { data: Some(log.to_owned()), retention, ..EmbeddedConfig::default() };
    let embedded = declare(embedded);
    Ok(Bus::new(Embedded::open(embedded)?, Arc::new(registry(None)?)))
}

/// What happens by chance in the world starts from here.
fn seed() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(u64::from_le_bytes(bytes))
}
