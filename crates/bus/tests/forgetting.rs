//! What is forgotten by its age, and when: not at once by a process that comes back after a long stop.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{
    Bus, Class, Embedded, EmbeddedConfig, Registry, Retention, SlowReader, Subject, TemplateDef,
};

/// A message of this age is forgotten; the log tells ages by the second.
const AGE: Duration = Duration::from_millis(100);
const STOP: Duration = Duration::from_millis(1_200);

fn bus(data: &Path, forget_after: Duration) -> Bus {
    let room = TemplateDef {
        name: "room",
        template: "room.{room:slug}.log",
        class: Class::Durable,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    let config = EmbeddedConfig {
        data: Some(data.to_owned()),
        retention: Retention { messages: None, age: Some(AGE) },
        maintain_every: Duration::from_millis(1),
        forget_after,
        ..EmbeddedConfig::default()
    };
    Bus::new(Embedded::open(config).unwrap(), Arc::new(Registry::new(None, vec![room]).unwrap()))
}

fn log(bus: &Bus) -> Subject {
    bus.registry().subject("room", &["hall"]).unwrap()
}

async fn kept(bus: &Bus) -> usize {
    bus.read(&[log(bus)], 0, 100).await.unwrap().len()
}

#[tokio::test]
async fn who_was_behind_before_a_long_stop_reads_on_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let before = bus(folder.path(), Duration::from_secs(60));
    before.append(&log(&before), "the last word".into()).await.unwrap();
    before.drain(Duration::from_secs(5)).await;
    drop(before);
    tokio::time::sleep(STOP).await;
    let patient = bus(folder.path(), Duration::from_secs(60));
    // Maintenance has had its turns.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(kept(&patient).await, 1);
    patient.drain(Duration::from_secs(5)).await;
    drop(patient);
    let hasty = bus(folder.path(), Duration::ZERO);
    tokio::time::timeout(Duration::from_secs(10), async {
        while kept(&hasty).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("what is old is forgotten");
}
