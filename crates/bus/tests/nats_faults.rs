//! Real servers, killed and frozen while the bus works: what was confirmed is stored, once, and told, once, in order.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_bus::{DeadLetter, ErrorKind, Followed, From, KvEvent, Pattern, WorkConfig};
use tidings_test_support::{NatsServer, newest_nats, oldest_nats};

use crate::checker::servers::connect;
use crate::checker::{World, follow};

async fn killed_and_restarted(version: &str) {
    let mut servers = [NatsServer::start(version).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let epoch = bus.epoch();
    let world = World::start(&bus, 4).await;
    let mut heard = follow(&bus, &world.rooms);
    for _ in 0..3 {
        world.go_on(200).await;
        servers[0].kill().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        servers[0].restart().unwrap();
    }
    world.go_on(200).await;
    assert_eq!(bus.epoch(), epoch);
    world.check(&mut heard, &format!("{version}, killed three times")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_killed_and_restarted() {
    killed_and_restarted(oldest_nats()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_killed_and_restarted() {
    killed_and_restarted(newest_nats()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_and_thawed() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let world = World::start(&bus, 4).await;
    let mut heard = follow(&bus, &world.rooms);
    for _ in 0..2 {
        world.go_on(200).await;
        servers[0].freeze().unwrap();
        // Longer than one try takes: commits are repeated behind the first, and both arrive.
        tokio::time::sleep(Duration::from_secs(5)).await;
        servers[0].thaw().unwrap();
    }
    world.go_on(200).await;
    world.check(&mut heard, "frozen twice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_three_killed() {
    let mut servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let (backend, bus) = connect(&servers).await;
    let world = World::start(&bus, 4).await;
    let mut heard = follow(&bus, &world.rooms);
    for _ in 0..2 {
        world.go_on(200).await;
        let leader = backend.leader().await.unwrap().unwrap();
        let server = servers.iter_mut().find(|server| server.name() == leader).unwrap();
        server.kill().unwrap();
        world.go_on(50).await;
        server.restart().unwrap();
    }
    world.go_on(200).await;
    world.check(&mut heard, "leader of three killed twice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_three_frozen() {
    let servers = NatsServer::cluster(oldest_nats(), 3).unwrap();
    let (backend, bus) = connect(&servers).await;
    let world = World::start(&bus, 4).await;
    let mut heard = follow(&bus, &world.rooms);
    world.go_on(200).await;
    let leader = backend.leader().await.unwrap().unwrap();
    let server = servers.iter().find(|server| server.name() == leader).unwrap();
    server.freeze().unwrap();
    // Others lead meanwhile; thawed, the old one still has in its sockets what was sent to it.
    world.go_on(50).await;
    server.thaw().unwrap();
    world.go_on(200).await;
    world.check(&mut heard, "leader of three frozen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_else_goes_on_after_a_restart() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let (say, ask) = (subject("say", "x"), subject("ask", "x"));
    let mut heard = bus.subscribe(&Pattern::from(&say), 16).await.unwrap();
    let mut asked = bus.queue_subscribe(&Pattern::from(&ask), "g", 16).await.unwrap();
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            message.respond(Bytes::from("answer")).unwrap();
        }
    });
    let leases = bus.kv("leases").unwrap();
    let mut watch = leases.watch();
    leases.put("a", Bytes::from("1"), None).await.unwrap();
    let settings = WorkConfig { ack_wait: Duration::from_secs(4), ..WorkConfig::default() };
    let work = bus.work(&subject("work", "q"), &subject("dlq", "q"), settings).unwrap();
    work.enqueue(Bytes::from("first"), Vec::new()).await.unwrap();
    let held = work.next().await.unwrap();

    servers[0].kill().unwrap();
    let begun = std::time::Instant::now();
    let refused = loop {
        match bus.publish(&say, Bytes::new(), Vec::new()).await {
            Ok(()) => assert!(begun.elapsed() < Duration::from_secs(5), "it is noticed"),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(refused.kind(), ErrorKind::Connection, "not queued and called a success");
    let error = bus.request(&ask, Bytes::new(), Vec::new(), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    servers[0].restart().unwrap();

    // What has to be stored waits for the connection.
    leases.put("b", Bytes::from("2"), None).await.unwrap();
    work.enqueue(Bytes::from("second"), Vec::new()).await.unwrap();
    // Killed, the server may have forgotten that it handed the first one out: then it comes again.
    let mut expected = vec!["second"];
    if let Err(error) = held.double_ack().await {
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        expected = vec!["first", "second"];
    }
    let mut done = Vec::new();
    while work.depth().await.unwrap() > 0 {
        let job = work.next().await.unwrap();
        done.push(String::from_utf8(job.payload.to_vec()).unwrap());
        job.double_ack().await.unwrap();
    }
    done.sort();
    assert_eq!(done, expected);
    let answer = bus.request(&ask, Bytes::new(), Vec::new(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(&answer[..], b"answer");
    bus.publish(&say, Bytes::from("again"), Vec::new()).await.unwrap();
    loop {
        // What was sent before the loss was noticed may have waited in the client, or be gone.
        let message = tokio::time::timeout(Duration::from_secs(5), heard.next()).await.unwrap().unwrap();
        if &message.payload[..] == b"again" {
            break;
        }
        assert!(message.payload.is_empty(), "{message:?}");
    }
    let mut known = std::collections::BTreeMap::new();
    while known.len() < 2 {
        match tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap() {
            KvEvent::Put(entry) => drop(known.insert(entry.key, entry.value)),
            KvEvent::Delete { key, .. } => drop(known.remove(&key)),
            KvEvent::Resync => known.clear(),
            KvEvent::Current => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_life_of_the_stream_is_another_epoch() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_first, bus) = connect(&servers).await;
    let epoch = bus.epoch();
    let (_second, other) = connect(&servers).await;
    assert_eq!(other.epoch(), epoch, "every process has the same");
    drop((_first, _second));
    servers[0].kill().unwrap();
    servers[0].restart().unwrap();
    let (_third, bus) = connect(&servers).await;
    assert_eq!(bus.epoch(), epoch, "also after a restart");
    servers[0].kill().unwrap();
    servers[0].wipe().unwrap();
    servers[0].restart().unwrap();
    let (_fourth, bus) = connect(&servers).await;
    assert_ne!(bus.epoch(), epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_lost_its_end_is_another_epoch() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let room = bus.registry().subject("room", &["z_r"]).unwrap();
    bus.append(&room, Bytes::from("kept")).await.unwrap();
    servers[0].kill().unwrap();
    servers[0].keep_copy().unwrap();
    servers[0].restart().unwrap();
    let mut set = bus.follow(&room, From::After(0));
    for number in 2..10 {
        assert_eq!(bus.append(&room, Bytes::from("lost")).await.unwrap(), number);
    }
    for number in 1..10 {
        let next = tokio::time::timeout(Duration::from_secs(5), set.next()).await.unwrap().unwrap();
        assert!(matches!(next, Followed::Message(ref message) if message.seq == number), "{next:?}");
    }
    // What was acknowledged is gone, as after a loss of power to a majority, and its sequences come again.
    let epoch = bus.epoch();
    servers[0].kill().unwrap();
    servers[0].go_back().unwrap();
    servers[0].restart().unwrap();
    let next = tokio::time::timeout(Duration::from_secs(30), set.next()).await.unwrap().unwrap();
    assert!(matches!(next, Followed::Hole { after: 9, first: 2, .. }), "{next:?}");
    assert_ne!(bus.epoch(), epoch, "no position of before is believed");
    assert_eq!(bus.append(&room, Bytes::from("new")).await.unwrap(), 2);
    let next = tokio::time::timeout(Duration::from_secs(5), set.next()).await.unwrap().unwrap();
    assert!(matches!(next, Followed::Message(ref message) if &message.payload[..] == b"new"), "{next:?}");
    let (_later, other) = connect(&servers).await;
    assert_eq!(other.epoch(), bus.epoch());
}

/// Until the others have chosen a leader, one that led and comes back with an empty store answers for the stream that it is
/// empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_wiped_is_not_believed() {
    const KEPT: u64 = 50;
    let mut servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let (backend, bus) = connect(&servers).await;
    let room = bus.registry().subject("room", &["z_r"]).unwrap();
    for number in 1..=KEPT {
        assert_eq!(bus.append(&room, Bytes::from("kept")).await.unwrap(), number);
    }
    let epoch = bus.epoch();
    let mut set = bus.follow(&room, From::After(KEPT));
    let leader = backend.leader().await.unwrap().unwrap();
    let place = servers.iter().position(|server| server.name() == leader).unwrap();
    servers[place].kill().unwrap();
    servers[place].wipe().unwrap();
    servers[place].restart().unwrap();
    // What is asked meanwhile waits for a leader; an election takes some seconds.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        assert_ne!(backend.leader().await.unwrap(), None, "after {:?}", begun.elapsed());
        let (_other, other) = connect(&servers).await;
        assert_eq!(other.epoch(), epoch, "after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(bus.append(&room, Bytes::from("new")).await.unwrap(), KEPT + 1);
    let next = tokio::time::timeout(Duration::from_secs(10), set.next()).await.unwrap().unwrap();
    assert!(matches!(next, Followed::Message(ref message) if message.seq == KEPT + 1), "{next:?}");
    assert_eq!(bus.epoch(), epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_over_restarts_is_done_or_a_dead_letter() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let dead = subject("dlq", "q");
    let settings =
        WorkConfig { ack_wait: Duration::from_secs(2), deliveries_max: 3, ..WorkConfig::default() };
    let work = bus.work(&subject("work", "q"), &dead, settings).unwrap();
    let total = 120;
    let done = Arc::new(parking_lot::Mutex::new(std::collections::BTreeMap::<u32, u32>::new()));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (work, done) = (work.clone(), done.clone());
            tokio::spawn(async move {
                while let Ok(job) = work.next().await {
                    let number: u32 = std::str::from_utf8(&job.payload).unwrap().parse().unwrap();
                    let outcome = match number % 10 {
                        3 => job.nak(Duration::from_millis(10), "never").await,
                        7 => job.term("impossible").await,
                        _ => {
                            *done.lock().entry(number).or_default() += 1;
                            job.double_ack().await
                        }
                    };
                    if let Err(error) = outcome {
                        println!("settling {number}: {error}");
                    }
                }
            })
        })
        .collect();
    for number in 0..total {
        work.enqueue(Bytes::from(number.to_string()), Vec::new()).await.unwrap();
        if number % 50 == 30 {
            servers[0].kill().unwrap();
            servers[0].restart().unwrap();
        }
    }
    let begun = std::time::Instant::now();
    while work.depth().await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", work.depth().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let letters = bus.read(&[dead], 0, 1_000).await.unwrap();
    let mut buried: Vec<u32> = Vec::new();
    for letter in letters {
        let letter = DeadLetter::decode(&letter.payload).unwrap();
        let number: u32 = std::str::from_utf8(&letter.payload).unwrap().parse().unwrap();
        let expected = if number % 10 == 3 { "3 attempts" } else { "impossible" };
        assert!(letter.reason.contains(expected), "{letter:?}");
        buried.push(number);
    }
    buried.sort_unstable();
    let expected: Vec<u32> = (0..total).filter(|number| matches!(number % 10, 3 | 7)).collect();
    assert_eq!(buried, expected, "each once");
    let finished: Vec<u32> = done.lock().keys().copied().collect();
    let others: Vec<u32> = (0..total).filter(|number| !matches!(number % 10, 3 | 7)).collect();
    assert_eq!(finished, others, "every other one was done");
    println!("done more than once: {}", done.lock().values().filter(|times| **times > 1).count());
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}
