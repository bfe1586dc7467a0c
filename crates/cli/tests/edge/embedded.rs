//! The messaging of one process, in memory: services, zones and edges share it.

use std::sync::Arc;

use tidings_bus::backend::Backend;
use tidings_bus::{Embedded, EmbeddedConfig};
use tidings_service::declare;

/// Edges that players are spread over.
pub const EDGES: usize = 1;

/// The messaging.
pub struct Messaging(Arc<Embedded>);

impl Messaging {
    pub async fn start() -> Self {
        Self(Embedded::open(declare(EmbeddedConfig::default())).unwrap())
    }

    /// The way to it of one more part.
    pub async fn connect(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.0) as _
    }
}
