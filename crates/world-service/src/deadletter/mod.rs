//! The service `deadletter`: what work queues could not do, for staff. It alone puts back and takes out on a cluster,
//! so that edges, which anybody can reach, need no rights on queues. Nor does it believe them, or any other caller: it
//! verifies the token that comes with each call, and writes the audit log itself (`staff.rs`). What is asked and
//! answered, and how, is `tidings_service::dead_letters`, which the command line shares.

mod staff;
#[cfg(test)]
mod tests;

use tidings_bus::{Bus, DeadLetterQueues};
use tidings_service::{CallError, Server, dead_letters};
use tidings_storage::Store;
use tokio_util::sync::CancellationToken;

use self::staff::Staff;
use crate::account::AccountService;
use crate::clock::Clock;

/// The service: cheap to clone.
#[derive(Clone)]
pub struct DeadLetterService {
    queues: DeadLetterQueues,
    staff: Staff,
}

impl DeadLetterService {
    /// Over a store and a bus; who asks is told by the service `account` of this process.
    pub fn new(store: Store, bus: Bus, clock: Clock, account: AccountService) -> Self {
        Self { queues: dead_letters::queues(bus), staff: Staff { store, clock, account } }
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        dead_letters::server(&self.queues, self.staff.clone())
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
