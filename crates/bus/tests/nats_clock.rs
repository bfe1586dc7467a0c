//! The clock that everything here waits by leaps ahead, as on a machine that slept: every deadline passes at once. What was
//! confirmed is stored and told all the same, and work is done.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_bus::WorkConfig;
use tidings_test_support::{NatsServer, newest_nats};

use crate::checker::servers::connect;
use crate::checker::{World, follow};

/// On one thread: the clock of tokio can be set there.
#[tokio::test]
async fn a_clock_that_leaps() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = connect(&servers).await;
    let world = World::start(&bus, 4).await;
    let mut heard = follow(&bus, &world.rooms);
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let settings = WorkConfig { ack_wait: Duration::from_secs(3), ..WorkConfig::default() };
    let work = bus.work(&subject("work", "q"), &subject("dlq", "q"), settings).unwrap();
    let mut done = BTreeSet::new();
    for round in 0..4_u64 {
        world.go_on(100).await;
        work.enqueue(Bytes::from(round.to_string()), Vec::new()).await.unwrap();
        let job = work.next().await.unwrap();
        // Commits, pings, pulls and this job are under way.
        let begun = Instant::now();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(3_600 << round)).await;
        tokio::time::resume();
        done.insert(String::from_utf8(job.payload.to_vec()).unwrap());
        // Late by its own clock; the server's says otherwise, and takes it.
        job.double_ack().await.unwrap();
        bus.append(&subject("room", "q_q"), Bytes::from("x")).await.unwrap();
        println!("round {round}: goes on {:?} after the leap", begun.elapsed());
    }
    world.go_on(100).await;
    assert_eq!(work.depth().await.unwrap(), 0);
    assert_eq!(done.len(), 4);
    assert!(backend.health().misses < 3, "{:?}", backend.health());
    world.check(&mut heard, "a clock that leaps").await;
}
