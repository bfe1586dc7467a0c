//! The conformance suite over the embedded backend, in memory and on disk.

#![allow(clippy::unwrap_used, missing_docs)]
mod suite;

use tidings_bus::{BucketConfig, Bus, BusConfig, Embedded, EmbeddedConfig, Keep, Retention};

use crate::suite::{Fixture, Traits, registry};

fn config() -> EmbeddedConfig {
    let bounded = |name: &str, keep| BucketConfig {
        keys_max: 100,
        value_bytes_max: 1_024,
        ..BucketConfig::new(name, keep)
    };
    EmbeddedConfig {
        prefix: Some("t".to_owned()),
        buckets: vec![bounded("kept", Keep::Durable), bounded("loose", Keep::Volatile)],
        ..EmbeddedConfig::default()
    }
    .retain("zone.*.owner", Retention::LAST)
    .retain("zone.*.log", Retention::UNTIL_TRIMMED)
}

fn fixture(config: EmbeddedConfig, keep: Box<dyn std::any::Any + Send>) -> Fixture {
    let backend = Embedded::open(config).unwrap();
    let unchecked = BusConfig { check_outbound: false, ..BusConfig::default() };
    Fixture {
        bus: Bus::new(backend.clone(), registry()),
        backend: backend.clone(),
        unchecked: Bus::with_config(backend, registry(), unchecked),
        traits: Traits::HERE,
        keep,
    }
}

async fn in_memory() -> Fixture {
    fixture(config(), Box::new(()))
}

async fn on_disk() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { data: Some(folder.path().join("bus")), ..config() };
    fixture(config, Box::new(folder))
}

/// As on disk, with a tail that holds next to nothing: everything older than a message or two is read back.
async fn tailless() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let data = Some(folder.path().join("bus"));
    let config = EmbeddedConfig { data, tail_bytes: 300, segment_bytes: 4_096, ..config() };
    fixture(config, Box::new(folder))
}

conformance!(memory, in_memory);
conformance!(disk, on_disk);
conformance!(disk_without_tail, tailless);
