//! Zone hosts: the rules of each zone behind its lease, its fence and its log. Start reading at
//! [`owner::host_zone`], the life of a zone here; then [`zone::OwnedZone`], its rounds.
//!
//! ```text
//! lease -> ownership record -> checkpoint + log -> rounds: gather -> decide -> commit -> follow up
//!                                                  (lost, fenced: from the start; failed commit: load again)
//! ```

mod alone;
pub mod batch;
mod commit;
pub mod config;
mod decide;
mod figures;
pub mod inbox;
mod late;
mod lease;
mod letters;
mod moves;
pub mod owner;
pub mod record;
pub mod requests;
pub mod shared;
mod timers;
pub mod unwritten;
mod views;
mod watch;
mod work;
mod writer;
pub mod zone;

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{Bus, Error as BusError};
use tidings_protocol::text::Catalogue;
use tidings_service::{Caller, Health};
use tidings_storage::Store;
use tidings_world::{Config as RulesConfig, Content};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{Clock, HostConfig};
use inbox::Hub;
use shared::Shared;
use unwritten::Unwritten;

/// What a host is built on.
pub struct Parts {
    /// The bus.
    pub bus: Bus,
    /// The storage.
    pub store: Store,
    /// The world.
    pub content: Arc<Content>,
    /// How the rules are set up.
    pub rules: RulesConfig,
    /// The message catalogue.
    pub catalogue: Arc<Catalogue>,
    /// Mutes that storage may not have yet: the process's one, which its services have too.
    pub unwritten: Arc<Unwritten>,
    /// What this process depends on: each zone reports here.
    pub health: Health,
}

/// Why zones cannot be hosted.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The bus does not have what is needed.
    #[error("the bus: {0}")]
    Bus(#[from] BusError),
    /// The threads cannot be started.
    #[error("the zones' threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// The zones that this process hosts, on threads of their own. Dropped, they end where they are, as if the
/// process had been killed.
pub struct Hosts {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tracker: TaskTracker,
    runtime: Option<Runtime>,
}

impl Hosts {
    /// Hosts every zone of the content whose lease this process gets.
    pub fn start(config: HostConfig, parts: Parts) -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("zones")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            leases: parts.bus.kv(&config.lease_bucket)?,
            presence: parts.bus.kv("presence")?,
            caller: Caller::new(parts.bus.clone()),
            bus: parts.bus,
            store: parts.store,
            content: parts.content,
            rules: parts.rules,
            catalogue: parts.catalogue,
            hub: Hub::default(),
            unwritten: parts.unwritten,
            health: parts.health,
            shutdown: CancellationToken::new(),
            config,
        });
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        for zone in shared.content.zones.keys() {
            let host = owner::host_zone(Arc::clone(&shared), zone.clone(), stop.clone());
            tracker.spawn_on(host, runtime.handle());
        }
        tracker.spawn_on(watch::presence(Arc::clone(&shared), stop.clone()), runtime.handle());
        tracker.close();
        Ok(Self { shared, stop, tracker, runtime: Some(runtime) })
    }

    /// Cancelled when the rules want the process to stop: staff shut the world down.
    pub fn shutdown_wanted(&self) -> CancellationToken {
        self.shared.shutdown.clone()
    }

    /// Finishes what is under way, checkpoints every zone and gives the leases back. What is not done by the
    /// deadline is left to the next owner, who finds it in the log. Whether everything was done.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without the word to stop, which would begin a drain that nobody waits for. And not the blocking way:
            // a handle may be dropped inside another runtime.
            runtime.shutdown_background();
        }
    }
}
