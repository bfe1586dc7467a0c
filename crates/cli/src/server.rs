//! The parts of a process, by its roles: messaging, the services and zones around the storage, an edge. The only place
//! that puts them together.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use tidings_bus::Bus;
use tidings_edge::http::{Http, Operation};
use tidings_edge::limits::{Clock, Limits};
use tidings_edge::{Edge, EdgeHandle, EdgeParts};
use tidings_protocol::text::Catalogue;
use tidings_service::{Caller, Health};
use tokio_util::sync::CancellationToken;

use crate::backend::{self, Messaging};
use crate::config::Config;
use crate::edges;
use crate::keeper::{Keeper, Keeping};

/// How long zones and services may take to be ready before the address is printed all the same: `/ready` says
/// what is missing.
const READY_WAIT: Duration = Duration::from_secs(15);
/// How often that is looked at: a start takes tens of milliseconds.
const READY_BEAT: Duration = Duration::from_millis(2);

/// A running server. Dropped without [`Server::drain`], it ends as if it had been killed.
pub struct Server {
    name: String,
    people: People,
    keeper: Option<Keeper>,
    messaging: Messaging,
}

/// Who listens: an edge, or only what operators ask.
enum People {
    Edge(EdgeHandle),
    None(Operation),
}

impl Server {
    /// Starts what the roles say; it serves when this returns.
    pub async fn start(
        config: &Config,
        name: &str,
        keeping: Option<&Keeping>,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self> {
        // The port first: one that is taken is told before anything is opened.
        let listen = config.listen();
        let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        let health = Health::new();
        let log = keeping.map(|keeping| keeping.folder.log());
        let messaging = backend::open(config, name, log.as_deref(), &health).await?;
        let bus = &messaging.bus;
        let keeper = match keeping {
            Some(keeping) => Some(Keeper::start(config, name, keeping, bus, &health).await?),
            None => None,
        };
        let people = People::start(config, name, bus, &health, metrics, listener)?;
        wait_until_ready(&health).await;
        Ok(Self { name: name.to_owned(), people, keeper, messaging })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match &self.people {
            People::Edge(edge) => edge.address(),
            People::None(operation) => operation.address(),
        }
    }

    /// What its messaging is, where it is not in the process.
    pub fn messaging(&self) -> Option<&str> {
        self.messaging.shown.as_deref()
    }

    /// Calls to services.
    pub fn caller(&self) -> Caller {
        Caller::new(self.messaging.bus.clone())
    }

    /// Waits until staff shut the world down, or the world goes and this edge with it. An error: this process must not
    /// go on.
    pub async fn stop_wanted(&self) -> Result<()> {
        let sole = self.keeper.as_ref().and_then(Keeper::sole);
        let lost = sole.map(|sole| sole.lost().clone()).unwrap_or_default();
        let world = self.keeper.as_ref().map(Keeper::shutdown_wanted).unwrap_or_default();
        let edge = match &self.people {
            People::Edge(edge) => edge.stop_wanted(),
            People::None(_) => CancellationToken::new(),
        };
        tokio::select! {
            () = world.cancelled() => {}
            () = edge.cancelled() => {}
            () = lost.cancelled() => bail!("another process keeps the storage of this world"),
            () = self.messaging.begun_anew.cancelled() => {
                bail!("the event stream on NATS was made anew or restored; start this process again")
            }
        }
        Ok(())
    }

    /// Stops in order: people are told, commands finish, zones are kept, messages are on disk. Where the whole world
    /// stops, the people of all its edges are told.
    pub async fn drain(self, deadline: Duration) {
        let caller = self.caller();
        let world_stops = |keeper: &Keeper| keeper.shutdown_wanted().is_cancelled();
        let dismissed = async {
            if self.keeper.as_ref().is_some_and(world_stops) {
                edges::dismiss(&caller, &self.name, deadline).await;
            }
        };
        let own = async {
            match self.people {
                People::Edge(edge) => edge.drain(deadline).await,
                People::None(operation) => operation.drain(),
            }
        };
        tokio::join!(dismissed, own);
        if let Some(keeper) = self.keeper {
            keeper.drain(deadline).await;
        }
        let report = self.messaging.bus.drain(deadline).await;
        tracing::debug!(?report, "the bus has stopped");
    }
}

impl People {
    fn start(
        config: &Config,
        name: &str,
        bus: &Bus,
        health: &Health,
        metrics: Option<PrometheusHandle>,
        listener: TcpListener,
    ) -> Result<Self> {
        let (bus, health) = (bus.clone(), health.clone());
        if !config.roles().edge {
            let limits = Arc::new(Limits::new(&config.rates(), Clock::system()));
            let http = Http::new(config.http(), limits, Caller::new(bus), health, metrics);
            return Ok(Self::None(Operation::start(http, listener)?));
        }
        let parts = EdgeParts {
            config: config.edge(name),
            http: config.http(),
            rates: config.rates(),
            bus,
            catalogue: Catalogue::builtin().clone(),
            health,
            metrics,
        };
        Ok(Self::Edge(Edge::start(parts, listener)?))
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
