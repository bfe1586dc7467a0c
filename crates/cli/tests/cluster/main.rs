//! One world in three processes on a real NATS server: what players see is what they see of one process. The tests of one
//! process run here once more, with the players spread over two edges; then what only several can do.

mod harness;

#[path = "../it/crash.rs"]
mod crash;
#[path = "../it/evening.rs"]
mod evening;
#[path = "../it/hostile.rs"]
mod hostile;
#[path = "../it/staff.rs"]
mod staff;

mod ends;
mod keeper;
mod operation;
mod permissions;
mod replicas;
mod starts;

use harness::{Cluster as World, elsewhere, server, server_with_limits};
