//! The whole server, as a process, talked to over real sockets by the Rust client.

mod crash;
mod evening;
mod hostile;
mod staff;

use std::net::SocketAddr;
use std::path::PathBuf;

use tidings_test_support::{Server, ServerBuilder};

/// What the tests talk to.
type World = Server;

/// The server under test, with the tests' world and limits out of the way.
fn server() -> ServerBuilder {
    let world = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/world");
    ServerBuilder::new(env!("CARGO_BIN_EXE_tidings")).set("world", world.display()).without_limits()
}

/// A server with the limits that players meet.
fn server_with_limits() -> ServerBuilder {
    let world = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/world");
    ServerBuilder::new(env!("CARGO_BIN_EXE_tidings")).set("world", world.display())
}

/// Where one who was at this address comes back: there is no other.
fn elsewhere(_: &World, address: SocketAddr) -> SocketAddr {
    address
}
