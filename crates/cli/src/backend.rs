//! The messaging of a process: in the process, its log in the data folder, or on a NATS cluster. What is declared to
//! one is declared to the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidings_bus::backend::Backend;
use tidings_bus::resilience::State;
use tidings_bus::{Bus, Embedded, EmbeddedConfig, Error, ErrorKind, Nats, NatsConfig};
use tidings_service::subjects::registry;
use tidings_service::{Dependency, Health, declare};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;

/// How often the connection is looked at for `/ready`.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The messaging of a process.
pub struct Messaging {
    /// The bus.
    pub bus: Bus,
    /// What and where it is, in words; nothing to say of messaging in the process.
    pub shown: Option<String>,
    /// Cancelled when what is stored is another stream than the one that this process began with.
    pub begun_anew: CancellationToken,
    _watch: Option<AbortOnDropHandle<()>>,
}

/// Opens what is configured. `log`: where the log of messaging in the process is.
pub async fn open(config: &Config, name: &str, log: Option<&Path>, health: &Health) -> Result<Messaging> {
    open_with(config, config.nats(name), log, health).await
}

/// The same for a command: on a cluster it is a visitor, and changes nothing but what it is told to.
pub async fn visit(config: &Config, name: &str, log: Option<&Path>) -> Result<Messaging> {
    open_with(config, config.nats_visit(name), log, &Health::new()).await
}

async fn open_with(
    config: &Config,
    nats: Option<NatsConfig>,
    log: Option<&Path>,
    health: &Health,
) -> Result<Messaging> {
    let registry = Arc::new(registry(config.subject_prefix())?);
    let begun_anew = CancellationToken::new();
    let Some(nats) = nats else {
        let log = log.context("messaging in the process needs the data folder")?;
        let embedded = EmbeddedConfig {
            data: Some(log.to_owned()),
            retention: config.kept(),
            ..EmbeddedConfig::default()
        };
        let embedded = Embedded::open(declare(embedded)).context("the log in the data folder")?;
        return Ok(Messaging { bus: Bus::new(embedded, registry), shown: None, begun_anew, _watch: None });
    };
    let servers = nats.servers_shown();
    let backend = Nats::connect(nats, Arc::clone(&registry)).await.map_err(explained)?;
    let shown = format!("NATS {} at {servers}", backend.server_version());
    let watch = watch(Arc::clone(&backend), servers, health.dependency("bus"), begun_anew.clone());
    let watch = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
    let bus = Bus::new(backend as Arc<dyn Backend>, registry);
    Ok(Messaging { bus, shown: Some(shown), begun_anew, _watch: watch })
}

/// An error with what to do about it, where that is known.
fn explained(error: Error) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::Mismatch => {
            "what is there belongs to another world, or to other settings: 'subject_prefix' gives this world names of \
             its own, 'nats.replicas' has to be as it was when the streams were made"
        }
        ErrorKind::Permission => {
            "'tidings subjects --permissions' prints what each user has to have; the command line has one of its own, \
             'operator'"
        }
        ErrorKind::Connection => "the servers are set by 'nats.servers' (--nats)",
        _ => return anyhow::Error::new(error).context("messaging on NATS"),
    };
    anyhow::Error::new(error).context(format!("messaging on NATS ({hint})"))
}

/// Keeps `/ready` true, and sees when the stream is another one.
async fn watch(backend: Arc<Nats>, servers: String, bus: Dependency, begun_anew: CancellationToken) {
    let (states, epoch) = (backend.states(), backend.epoch());
    let mut beat = tokio::time::interval(LOOK_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        match states.now() {
            // A pool that lacks a connection works with the others, and one lost ping is no loss.
            State::Connected | State::Degraded => bus.ready(),
            state => bus.failed(format!("NATS at {servers}: {state}")),
        }
        if backend.epoch() != epoch && !begun_anew.is_cancelled() {
            tracing::error!(
                "the event stream was made anew or restored: this process has to begin anew, too"
            );
            begun_anew.cancel();
        }
    }
}
