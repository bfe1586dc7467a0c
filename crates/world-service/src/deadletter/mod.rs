//! The service `deadletter`: what work queues could not do, for staff. It alone puts back and takes out on a cluster,
//! so that edges, which anybody can reach, need no rights on queues. Who may ask is looked at by whoever asks: staff's role by
//! the edge. What is asked and answered, and how, is
//! `tidings_service::dead_letters`, which the command line shares.

use tidings_bus::{Bus, DeadLetterQueues};
use tidings_service::{CallError, Server, dead_letters};
use tokio_util::sync::CancellationToken;

/// The service: cheap to clone.
#[derive(Clone)]
pub struct DeadLetterService {
    queues: DeadLetterQueues,
}

impl DeadLetterService {
    /// Over a bus.
    pub fn new(bus: Bus) -> Self {
        Self { queues: dead_letters::queues(bus) }
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        dead_letters::server(&self.queues)
    }

    /// Counts the letters for the metrics until it is told to stop: in the process that keeps the storage, so that they
    /// are counted once.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = dead_letters::keep_measured(self.queues) => {}
        }
        Ok(())
    }
}
