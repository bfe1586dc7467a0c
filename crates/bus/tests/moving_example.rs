//! The example that stands beside plain client code does what it says, on a real server: the others need none, and run in
//! `examples`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[allow(dead_code, reason = "a test has a main of its own")]
#[path = "../examples/moving_from_async_nats.rs"]
mod example;

use tidings_test_support::{NatsServer, newest_nats};

#[tokio::test]
async fn moving_from_async_nats_runs() {
    let server = NatsServer::start(newest_nats()).unwrap();
    example::run(&server.url()).await.unwrap();
}
