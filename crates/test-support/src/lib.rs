//! What the tests share: the real server and real NATS servers as processes, and players who talk to it over real sockets.

mod nats;
mod player;
mod server;
mod world;

pub use nats::{NatsServer, nats_program, newest_nats, oldest_nats};
pub use player::Player;
pub use server::{Server, ServerBuilder};
pub use world::small_world;
