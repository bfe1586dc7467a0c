//! What decides and keeps: the services and the zones around the storage, started and taken down together. On a cluster
//! one process of a world has them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidings_bus::Bus;
use tidings_protocol::text::Catalogue;
use tidings_service::Health;
use tidings_storage::Store;
use tidings_world::Content;
use tidings_world_service::clock::wall_clock;
use tidings_world_service::host::Parts;
use tidings_world_service::services::{self, Services};
use tidings_world_service::{HostConfig, Hosts};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data::DataFolder;
use crate::sole::SoleKeeper;

#[cfg(test)]
mod tests;

/// What a process has that keeps the world.
pub struct Keeping {
    /// The world.
    pub content: Arc<Content>,
    /// The data folder, held.
    pub folder: DataFolder,
    /// The storage in it.
    pub store: Store,
}

/// The services and the zones of a process.
pub struct Keeper {
    services: Services,
    hosts: Hosts,
    /// On a cluster.
    sole: Option<SoleKeeper>,
}

impl Keeper {
    /// Starts them; on a cluster once no other process has them.
    pub async fn start(
        config: &Config,
        name: &str,
        keeping: &Keeping,
        bus: &Bus,
        health: &Health,
    ) -> Result<Self> {
        let (content, store) = (&keeping.content, &keeping.store);
        let sole = if config.uses_nats() {
            Some(SoleKeeper::take(bus, name, &keeping.folder, health).await?)
        } else {
            None
        };
        let start = content.world.as_ref().context("the world has no world.toml")?.start.zone();
        let zones = content.zones.keys().cloned().collect();
        let unwritten = Arc::default();
        let service_config = services::Config {
            account: config.account(),
            session: config.session(start, zones),
            chat: config.chat(),
            lease: sole.as_ref().map(|sole| sole.lease().clone()),
            unwritten: Arc::clone(&unwritten),
        };
        let services =
            Services::start(store.clone(), bus.clone(), wall_clock(), service_config, health).await?;
        let parts = Parts {
            bus: bus.clone(),
            store: store.clone(),
            content: Arc::clone(content),
            rules: config.rules(),
            catalogue: Arc::new(Catalogue::builtin().clone()),
            unwritten,
            health: health.clone(),
        };
        let hosts = Hosts::start(HostConfig::new(name, seed()?), parts)?;
        Ok(Self { services, hosts, sole })
    }

    /// What this process holds as the only one, on a cluster.
    pub fn sole(&self) -> Option<&SoleKeeper> {
        self.sole.as_ref()
    }

    /// Cancelled when staff shut the world down.
    pub fn shutdown_wanted(&self) -> CancellationToken {
        self.hosts.shutdown_wanted()
    }

    /// Ends both, each within the deadline. Zones ask services until their end, so services end last; but first where
    /// another process has both by now: no fence keeps services from answering, as one keeps zones from speaking.
    pub async fn drain(self, deadline: Duration) {
        let Self { services, hosts, sole } = self;
        if sole.as_ref().is_some_and(|sole| sole.lost().is_cancelled()) {
            services.drain(deadline).await;
            keep_zones(&hosts, deadline).await;
        } else {
            keep_zones(&hosts, deadline).await;
            services.drain(deadline).await;
        }
        if let Some(sole) = sole {
            sole.release().await;
        }
    }
}

async fn keep_zones(hosts: &Hosts, deadline: Duration) {
    if !hosts.drain(deadline).await {
        tracing::warn!("not every zone was kept in time; the log has the rest");
    }
}

/// What happens by chance in the world starts from here.
fn seed() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(u64::from_le_bytes(bytes))
}
