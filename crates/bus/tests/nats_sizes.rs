//! Messages that are larger than the servers take: refused at the start, or where they are posted, and never tried for
//! ever.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, Class, ErrorKind, Nats, NatsConfig, Registry, SlowReader, TemplateDef, WorkConfig};
use tidings_test_support::{NatsServer, Proxy, Wire, newest_nats};

use crate::checker::counters::Counters;

fn row(name: &'static str, template: &'static str, class: Class, max_payload: usize) -> TemplateDef {
    let slow = SlowReader::Refuse;
    TemplateDef { name, template, class, message: "any", max_payload, slow, check: None, wide: None }
}

/// A queue and its dead letters.
fn registry(work: usize, dead: usize) -> Arc<Registry> {
    let rows = vec![
        row("work", "work.{queue:slug}", Class::Work, work),
        row("dead", "dead.{queue:slug}", Class::Durable, dead),
    ];
    Arc::new(Registry::new(None, rows).unwrap())
}

#[tokio::test]
async fn a_server_that_takes_less_than_is_declared_is_refused_by_name() {
    let server = NatsServer::start_with(newest_nats(), "max_payload: 65536\n", &[]).unwrap();
    let connect = |registry| Nats::connect(NatsConfig::default().server(server.url()), registry);
    let error = connect(registry(1_024, 65_536)).await.err().expect("its headers do not fit");
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in [
        "takes messages of 65536 bytes",
        "'dead' ('dead.{queue:slug}') have up to 65536",
        "max_payload: 69632",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    connect(registry(1_024, 65_536 - 4_096)).await.expect("it fits");
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let asked = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect(what);
}

/// The server takes less from now on, and the bus comes to it anew.
async fn shrink(server: &NatsServer, proxy: &Proxy, nats: &Nats, max_payload: usize) {
    server.reconfigure(&format!("max_payload: {max_payload}\n")).unwrap();
    until("it took its configuration", || server.log().contains(&format!("max_payload = {max_payload}")))
        .await;
    let before = nats.client_id();
    proxy.set(Wire::Cut);
    until("the connection is lost", || proxy.open() == 0).await;
    proxy.set(Wire::Through);
    until("it is made anew", || nats.client_id() != before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_connected_to_later_is_told_of_and_not_refused() {
    let counters = Counters::install();
    let told = || counters.told("tidings_bus_unfit_servers_total");
    let server = NatsServer::start_with(newest_nats(), "max_payload: 65536\n", &[]).unwrap();
    let proxy = Proxy::start(server.url().strip_prefix("nats://").unwrap().parse().unwrap()).await.unwrap();
    let registry = registry(1_024, 60_000);
    let config = NatsConfig::default().server(proxy.url());
    let nats = Nats::connect(config, registry.clone()).await.unwrap();
    let bus = Bus::new(nats.clone(), registry);
    shrink(&server, &proxy, &nats, 32_768).await;
    until("it is told of", || told() == 1).await;
    let dead = bus.registry().subject("dead", &["q"]).unwrap();
    bus.append(&dead, Bytes::from("small")).await.expect("it goes on with what fits");
    shrink(&server, &proxy, &nats, 16_384).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // it is looked at again after a second
    assert_eq!(told(), 1, "once");
}

#[tokio::test]
async fn a_letter_fits_however_long_its_history_and_what_would_not_is_refused_at_the_queue() {
    let server = NatsServer::start_with(newest_nats(), "max_payload: 65536\n", &[]).unwrap();
    let registry = registry(61_440, 61_440);
    let config = NatsConfig::default().server(server.url());
    let bus = Bus::new(Nats::connect(config, registry.clone()).await.unwrap(), registry);
    let queue = bus.registry().subject("work", &["q"]).unwrap();
    let dead = bus.registry().subject("dead", &["q"]).unwrap();
    let work = bus.work(&queue, &dead, WorkConfig { deliveries_max: 40, ..WorkConfig::default() }).unwrap();
    let refused = work.enqueue(Bytes::from(vec![0; 61_000]), Vec::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Schema);
    assert!(refused.to_string().contains("at most 53248"), "{refused}");
    let headers = vec![("h".to_owned(), "x".repeat(60_000))];
    assert_eq!(work.enqueue(Bytes::new(), headers).await.unwrap_err().kind(), ErrorKind::Schema);

    work.enqueue(Bytes::from(vec![7; 53_000]), Vec::new()).await.unwrap();
    // Forty attempts with a kilobyte each would be a letter of ninety.
    let letters = bus.dead_letters(&queue, &dead).unwrap();
    let done = async {
        for _ in 0..40 {
            let job = work.next().await.unwrap();
            job.nak(Duration::ZERO, &"y".repeat(2_000)).await.unwrap();
        }
        while letters.depth().await.unwrap().letters == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), done).await.expect("the letter is stored");
    let page = letters.list(&tidings_bus::LetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(page.letters[0].letter.payload.len(), 53_000);
    assert_eq!(page.letters[0].letter.attempts.len(), 2, "the first and the last");
    letters.replay(page.letters[0].id).await.unwrap().expect("it goes back");
    work.next().await.unwrap().term(&"z".repeat(5_000)).await.unwrap();
    assert_eq!(letters.depth().await.unwrap().letters, 1, "and may be a letter again");
}
