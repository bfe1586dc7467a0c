//! The conformance suite over real NATS servers: the oldest line that is supported and the newest.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{BucketConfig, Bus, BusConfig, Error, Keep, Nats, NatsConfig, Registry, Retention};
use tidings_test_support::{NatsServer, newest_nats, oldest_nats};

use crate::suite::{Fixture, Traits, registry, registry_of};

fn config(servers: &[NatsServer]) -> NatsConfig {
    let bounded = |name: &str, keep| BucketConfig {
        keys_max: 100,
        value_bytes_max: 1_024,
        ..BucketConfig::new(name, keep)
    };
    NatsConfig {
        servers: servers.iter().map(NatsServer::url).collect(),
        replicas: if servers.len() > 1 { 3 } else { 1 },
        buckets: vec![bounded("kept", Keep::Durable), bounded("loose", Keep::Volatile)],
        ..NatsConfig::default()
    }
    .retain("zone.*.owner", Retention::LAST)
    .retain("zone.*.log", Retention::UNTIL_TRIMMED)
}

async fn fixture(version: &str, tail_bytes: usize) -> Fixture {
    let servers = vec![NatsServer::start(version).unwrap()];
    let config = NatsConfig { tail_bytes, ..config(&servers) };
    let fixture = over(config, registry(), version).await.unwrap();
    Fixture { keep: Box::new(servers), ..fixture }
}

async fn over(config: NatsConfig, registry: Arc<Registry>, version: &str) -> Result<Fixture, Error> {
    let backend = Nats::connect(config, registry.clone()).await?;
    assert_eq!(backend.server_version(), version);
    let unchecked = BusConfig { check_outbound: false, ..BusConfig::default() };
    Ok(Fixture {
        bus: Bus::new(backend.clone(), registry.clone()),
        backend: backend.clone(),
        unchecked: Bus::with_config(backend, registry, unchecked),
        traits: Traits { publisher_is_told: false, arrives_within: Duration::from_millis(200) },
        keep: Box::new(()),
    })
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

/// Three servers, three replicas; a system of its own a case. Acknowledged is not yet everywhere: reads must not
/// show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_replicated() {
    let version = newest_nats();
    let servers = NatsServer::cluster(version, 3).unwrap();
    let open = async |number: u32| {
        let registry = registry_of(&format!("t{number}"));
        let begun = std::time::Instant::now();
        loop {
            match over(config(&servers), registry.clone(), version).await {
                Ok(fixture) => return fixture,
                // A cluster that has just started can store nothing yet.
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
            }
        }
    };
    assert_eq!(conformance_in_turn!(open), 52, "every case ran");
}
