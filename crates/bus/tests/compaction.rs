//! Compaction of segments of the size that servers have: the first one alone, when half of it is not wanted.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{
    Bus, Class, Embedded, EmbeddedConfig, Registry, Retention, SlowReader, Subject, TemplateDef,
};

const PAYLOAD: usize = 64 * 1024;
const SOON: Duration = Duration::from_secs(10);

fn bus(data: &std::path::Path) -> Bus {
    let zone = TemplateDef {
        name: "zone",
        template: "zone.{zone:slug}.log",
        class: Class::Durable,
        message: "text",
        max_payload: PAYLOAD,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    let config = EmbeddedConfig {
        data: Some(data.to_owned()),
        segment_bytes: 8 * PAYLOAD as u64,
        maintain_every: Duration::from_millis(1),
        ..EmbeddedConfig::default()
    };
    let backend = Embedded::open(config.retain("zone.*.log", Retention::UNTIL_TRIMMED)).unwrap();
    Bus::new(backend, Arc::new(Registry::new(None, vec![zone]).unwrap()))
}

async fn append(bus: &Bus, log: &Subject) -> u64 {
    let stored = bus.append(log, vec![7; PAYLOAD - 1].into());
    tokio::time::timeout(SOON, stored).await.expect("the writer lives").unwrap()
}

#[tokio::test]
async fn one_segment_is_compacted_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    let log = bus.registry().subject("zone", &["town"]).unwrap();
    for _ in 0..6 {
        append(&bus, &log).await;
    }
    // All but the last of the first segment; the next segment is begun, and nothing of it can go.
    let last = append(&bus, &log).await;
    bus.trim(&log, last - 1).await.unwrap();
    for _ in 0..3 {
        append(&bus, &log).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let newest = append(&bus, &log).await;
    let kept: Vec<u64> = bus.read(&[log], 0, 100).await.unwrap().iter().map(|message| message.seq).collect();
    assert_eq!((kept.first(), kept.last()), (Some(&last), Some(&newest)));
}
