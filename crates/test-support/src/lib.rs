//! What the tests share: the real server and real NATS servers as processes, a network that can be broken, and players who
//! talk to the server over real sockets.

mod cluster;
mod disk;
pub mod memory;
mod nats;
mod player;
mod proxy;
mod server;
mod world;

pub use cluster::NatsCluster;
pub use disk::SmallDisk;
pub use nats::{NatsServer, nats_program, newest_nats, oldest_nats};
pub use player::Player;
pub use proxy::{Proxy, Wire};
pub use server::{Server, ServerBuilder};
pub use world::small_world;
