//! What the tests share: the real server as a process, and players who talk to it over real sockets.

mod player;
mod server;
mod world;

pub use player::Player;
pub use server::{Server, ServerBuilder};
pub use world::small_world;
