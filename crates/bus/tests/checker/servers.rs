//! The bus over real servers, as the fault tests declare it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_bus::resilience::HealthConfig;
use tidings_bus::{Bus, BusConfig, Keep, Nats, NatsConfig, Retention};
use tidings_test_support::NatsServer;

use super::registry;

/// What the tests declare, on one server or three.
pub fn config(servers: &[NatsServer]) -> NatsConfig {
    NatsConfig {
        servers: servers.iter().map(NatsServer::url).collect(),
        replicas: if servers.len() > 1 { 3 } else { 1 },
        bus: BusConfig {
            deadline: Duration::from_secs(30),
            // A server that is frozen longer than that is left for another.
            health: HealthConfig::each(Duration::from_secs(6)),
            ..BusConfig::default()
        },
        ..NatsConfig::default()
    }
    .bucket("leases", Keep::Durable)
    .retain("zone.*.owner", Retention::LAST)
    .retain("zone.*.log", Retention::UNTIL_TRIMMED)
}

/// A cluster takes some time until it can store anything.
pub async fn connect(servers: &[NatsServer]) -> (Arc<Nats>, Bus) {
    let begun = Instant::now();
    loop {
        match Nats::connect(config(servers), registry()).await {
            Ok(backend) => return (backend.clone(), Bus::new(backend, registry())),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
