//! The service `chat`: what was said, for thirty days.
//!
//! One reader (`consumer`) follows the logs of all audiences and writes their lines to storage, with the place it
//! has read each log to in the same transaction; what is at or before that place is there. So after a kill it reads on from where
//! storage is, and no line is missed or kept twice. `history` answers from storage up to that place and from the log
//! after it, so a line is in the history as soon as it was said.

mod consumer;
mod history;
mod line;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{Bus, Kv};
use tidings_service::{CallError, Server};
use tidings_storage::Store;

use crate::clock::Clock;

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long lines are kept (30 days).
    pub keep: Duration,
    /// Most lines kept (2,000,000): some 300 bytes each; beyond it the oldest go first.
    pub lines_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 24 * 60 * 60), lines_max: 2_000_000 }
    }
}

/// The service: cheap to clone.
#[derive(Clone)]
pub struct ChatService {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    bus: Bus,
    sessions: Kv,
    clock: Clock,
    config: Config,
}

impl ChatService {
    /// Over a store and a bus.
    pub fn new(store: Store, bus: Bus, clock: Clock, config: Config) -> Result<Self, CallError> {
        let sessions = bus.kv(crate::session::BUCKET)?;
        Ok(Self { inner: Arc::new(Inner { store, bus, sessions, clock, config }) })
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        let service = self.clone();
        Server::new(self.inner.bus.clone(), "chat").method("history", move |_call, request| {
            let service = service.clone();
            async move { service.history(request).await }
        })
    }
}
