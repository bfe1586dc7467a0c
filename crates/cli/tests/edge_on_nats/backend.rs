//! The messaging of several processes: a real NATS server, to which each part has a connection of its own.

use std::sync::Arc;

use tidings_bus::backend::Backend;
use tidings_bus::{Nats, NatsConfig};
use tidings_service::{declare_on_nats, subjects};
use tidings_test_support::{NatsServer, newest_nats};

/// Edges that players are spread over.
pub const EDGES: usize = 2;

/// The messaging.
pub struct Messaging(NatsServer);

impl Messaging {
    pub async fn start() -> Self {
        Self(NatsServer::start(newest_nats()).unwrap())
    }

    /// The way to it of one more part.
    pub async fn connect(&self) -> Arc<dyn Backend> {
        let config = declare_on_nats(NatsConfig::default().server(self.0.url()));
        Nats::connect(config, Arc::new(subjects::registry(None).unwrap())).await.unwrap()
    }
}
