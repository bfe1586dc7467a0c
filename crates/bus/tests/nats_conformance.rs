//! The conformance suite over real NATS servers: the oldest line that is supported and the newest.

#![allow(clippy::unwrap_used, missing_docs)]
mod suite;

use std::time::Duration;

use tidings_bus::{BucketConfig, Bus, BusConfig, Keep, Nats, NatsConfig, Retention};
use tidings_test_support::{NatsServer, newest_nats, oldest_nats};

use crate::suite::{Fixture, Traits, registry};

fn config(server: &NatsServer) -> NatsConfig {
    let bounded = |name: &str, keep| BucketConfig {
        keys_max: 100,
        value_bytes_max: 1_024,
        ..BucketConfig::new(name, keep)
    };
    NatsConfig {
        buckets: vec![bounded("kept", Keep::Durable), bounded("loose", Keep::Volatile)],
        ..NatsConfig::default()
    }
    .server(server.url())
    .retain("zone.*.owner", Retention::LAST)
    .retain("zone.*.log", Retention::UNTIL_TRIMMED)
}

async fn fixture(version: &str, tail_bytes: usize) -> Fixture {
    let server = NatsServer::start(version).unwrap();
    let config = NatsConfig { tail_bytes, ..config(&server) };
    let backend = Nats::connect(config, registry()).await.unwrap();
    assert_eq!(backend.server_version(), version);
    let unchecked = BusConfig { check_outbound: false, ..BusConfig::default() };
    Fixture {
        bus: Bus::new(backend.clone(), registry()),
        unchecked: Bus::with_config(backend, registry(), unchecked),
        traits: Traits { publisher_is_told: false, arrives_within: Duration::from_millis(200) },
        keep: Box::new(server),
    }
}

async fn oldest() -> Fixture {
    fixture(oldest_nats(), NatsConfig::default().tail_bytes).await
}

async fn newest() -> Fixture {
    fixture(newest_nats(), NatsConfig::default().tail_bytes).await
}

/// With a tail that holds next to nothing: everything older than a message or two is read from the stream.
async fn tailless() -> Fixture {
    fixture(newest_nats(), 400).await
}

conformance!(nats_oldest, oldest);
conformance!(nats_newest, newest);
conformance!(nats_without_tail, tailless);
