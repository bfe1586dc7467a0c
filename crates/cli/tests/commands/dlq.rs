//! `tidings dlq`: dead letters of a folder, of a running server, and of a cluster.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use serde_json::Value;
use tidings_bus::{Bus, Embedded, EmbeddedConfig, Nats, NatsConfig, WorkConfig};
use tidings_service::subjects::registry;
use tidings_service::{declare, declare_on_nats};
use tidings_test_support::{NatsServer, newest_nats};

use crate::harness::Place;

/// Three letters in the queue 'mail', left by a worker that gave them up.
async fn give_up(bus: &Bus) -> Result<()> {
    let (queue, dead) =
        (bus.registry().subject("work", &["mail"])?, bus.registry().subject("dlq", &["mail"])?);
    let work = bus.work(&queue, &dead, WorkConfig::default())?;
    for (text, why) in [("to ann", "timed out"), ("to ben", "no such\u{1b} person"), ("to cy", "timed out")] {
        work.enqueue(text.into(), vec![("kind".to_owned(), "letter".to_owned())]).await?;
        work.next().await?.term(why).await?;
    }
    bus.drain(std::time::Duration::from_secs(5)).await;
    Ok(())
}

async fn in_folder(data: &Path) -> Result<()> {
    std::fs::create_dir_all(data)?;
    let config = EmbeddedConfig { data: Some(data.join("log")), ..EmbeddedConfig::default() };
    give_up(&Bus::new(Embedded::open(declare(config))?, Arc::new(registry(None)?))).await
}

/// Looks, puts back, takes out and puts in; `at` says where.
fn tour(place: &Place, at: &[&str]) {
    let run = |args: &[&str]| place.run(&[&["dlq"], args, at].concat());
    let json = |args: &[&str]| run(&[args, &["--json"]].concat()).ends(0).json();
    let queues = json(&["list"]);
    assert_eq!((&queues["queues"][0]["queue"], &queues["queues"][0]["letters"]), (&"mail".into(), &3.into()));
    assert!(run(&["list"]).ends(0).out.starts_with("mail "));
    let page = json(&["list", "mail", "--limit", "2"]);
    let next = page["next"].to_string();
    assert_eq!(page["letters"].as_array().map(Vec::len), Some(2));
    assert_eq!(json(&["list", "mail", "--after", &next])["letters"][0]["text"], "to cy");
    assert_eq!(json(&["list", "mail", "--reason", "TIMED"])["letters"].as_array().map(Vec::len), Some(2));
    assert_eq!(json(&["list", "mail", "--until", "1h"])["letters"], Value::Array(Vec::new()));
    let ben = page["letters"][1]["id"].to_string();
    let shown = run(&["show", "mail", &ben]).ends(0).out;
    for part in ["no such\u{fffd} person", "kind: letter", "(text) to ben", "term: no such"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let lines = run(&["export", "mail"]).ends(0).out;
    assert_eq!(lines.lines().count(), 3);
    place.write("mail.jsonl", &lines);
    assert_eq!(json(&["replay", "mail", "--reason", "timed", "--per-second", "1000"])["replayed"], 2);
    assert!(run(&["replay", "mail", "1"]).ends(1).err.contains("no dead letter 1"));
    assert!(run(&["purge", "mail", &ben]).ends(0).out.contains("1 taken out"));
    assert_eq!(run(&["list"]).ends(0).out, "There are no dead letters.\n");
    assert_eq!(json(&["import", "mail", "mail.jsonl"])["imported"], 3);
    let again = json(&["import", "mail", "mail.jsonl"]);
    assert_eq!((&again["imported"], &again["known"]), (&0.into(), &3.into()));
    assert_eq!(json(&["purge", "mail", "--all"])["purged"], 3);
    place.write("wrong.jsonl", "\n{\"queue\":\"x\"}\n");
    let wrong = run(&["import", "mail", "wrong.jsonl"]).ends(1);
    assert!(wrong.err.contains("line 2"), "{wrong:?}");
    assert!(run(&["list", "no.queue"]).ends(1).err.contains("no.queue"));
}

#[tokio::test]
async fn letters_of_a_folder() -> Result<()> {
    let place = Place::new();
    in_folder(&place.data()).await?;
    tour(&place, &["--data", "data"]);
    assert!(place.run(&["dlq", "list", "--data", "nowhere"]).ends(1).err.contains("no data folder"));
    for wrong in [&["dlq"][..], &["dlq", "replay", "mail"], &["dlq", "purge", "mail", "1", "--all"]] {
        place.run(wrong).ends(2);
    }
    assert!(place.run(&["dlq", "--help"]).ends(0).out.contains("Tidings-Replay-Id"));
    Ok(())
}

#[tokio::test]
async fn letters_of_a_running_server() -> Result<()> {
    let place = Place::new();
    in_folder(&place.data()).await?;
    let _server = place.serve(&[]);
    tour(&place, &["--data", "data"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_cluster() -> Result<()> {
    let server = NatsServer::start(newest_nats())?;
    let registry = Arc::new(registry(None)?);
    let config = declare_on_nats(NatsConfig::default().server(server.url()));
    give_up(&Bus::new(Nats::connect(config, registry.clone()).await?, registry)).await?;
    let place = Place::new();
    tour(&place, &["--nats", &server.url()]);
    assert!(!place.path().join("tidings-data").exists(), "a cluster's letters need no folder");
    Ok(())
}
