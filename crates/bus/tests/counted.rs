//! What calls come to is counted: how many, their bytes, and each error that a caller was told, by its kind.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, Embedded, EmbeddedConfig, ErrorKind, From, Keep, Pattern, WorkConfig};

use crate::checker::counters::Counters;
use crate::checker::registry;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn calls_bytes_and_errors() {
    let counters = Counters::install();
    let config = EmbeddedConfig::default().bucket("keys", Keep::Volatile);
    let bus = Bus::new(Embedded::open(config).unwrap(), registry());
    let at = |template: &str| {
        bus.registry().subject(template, &["x_y"]).or(bus.registry().subject(template, &["x"])).unwrap()
    };
    let four = || Bytes::from("four");
    bus.publish(&at("say"), four(), Vec::new()).await.unwrap();
    bus.append(&at("room"), four()).await.unwrap();
    let mut asked = bus.queue_subscribe(&Pattern::from(&at("ask")), "g", 8).await.unwrap();
    let answers = tokio::spawn(async move { asked.next().await.unwrap().respond(Bytes::new()).unwrap() });
    bus.request(&at("ask"), four(), Vec::new(), SOON).await.unwrap();
    answers.await.unwrap();
    let kv = bus.kv("keys").unwrap();
    kv.put("a", four(), None).await.unwrap();
    let work = bus.work(&at("work"), &at("dlq"), WorkConfig::default()).unwrap();
    work.enqueue(four(), Vec::new()).await.unwrap();
    work.next().await.unwrap().ack().await.unwrap();
    for (name, calls) in [
        ("tidings_bus_published_total", 1),
        ("tidings_bus_published_bytes_total", 4),
        ("tidings_bus_requests_total", 1),
        ("tidings_bus_requested_bytes_total", 4),
        ("tidings_bus_request_seconds", 1),
        ("tidings_bus_commits_total", 1),
        ("tidings_bus_committed_bytes_total", 4),
        ("tidings_bus_kv_writes_total", 1),
        ("tidings_bus_kv_bytes_total", 4),
        ("tidings_bus_enqueued_total", 1),
        ("tidings_bus_enqueued_bytes_total", 4),
        ("tidings_bus_errors_total", 0),
    ] {
        assert_eq!(counters.told(name), calls, "{name}");
    }

    let large = || Bytes::from(vec![0; 5_000]);
    let told = [
        bus.publish(&at("say"), large(), Vec::new()).await.unwrap_err(),
        bus.request(&at("ask"), large(), Vec::new(), SOON).await.unwrap_err(),
        bus.append(&at("room"), large()).await.unwrap_err(),
        work.enqueue(large(), Vec::new()).await.unwrap_err(),
        kv.get("no key").await.unwrap_err(),
        bus.follow(&at("say"), From::New).next().await.unwrap_err(),
    ];
    // Somebody else has the key: who asks for it alone is told so, and nothing is wrong.
    let held = kv.create("a", four(), None).await.unwrap_err();
    assert_eq!((held.kind(), counters.told("tidings_bus_kv_writes_total")), (ErrorKind::WrongRevision, 1));
    let of = |kind: ErrorKind| told.iter().filter(|error| error.kind() == kind).count() as u64;
    assert_eq!(counters.told("tidings_bus_errors_total"), told.len() as u64);
    for kind in [ErrorKind::Schema, ErrorKind::Subject] {
        let name = format!("tidings_bus_errors_by_kind_total kind={}", kind.as_str());
        assert!(of(kind) > 0);
        assert_eq!(counters.told(&name), of(kind), "{name}");
    }
}
