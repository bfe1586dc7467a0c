//! A hundred readers of which one never reads: the others lose nothing, the one is counted, and memory is bounded.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, Followed, From, Nats, NatsConfig, Pattern};
use tidings_test_support::{NatsServer, memory, newest_nats};

use crate::checker::counters::Counters;
use crate::checker::registry;
use crate::checker::servers::config;

const READERS: usize = 100;
const MESSAGES: usize = 2_000;
const BYTES: usize = 1_000;
/// What the one who never reads may keep waiting.
const CAPACITY: usize = 64;
/// What the process may grow by, with a client's and a hundred readers' queues in it: a fifth of what is delivered.
const GROWTH_MAX: u64 = 40 << 20;
const SOON: Duration = Duration::from_secs(60);

fn grown(before: Option<u64>, what: &str) {
    let (Some(before), Some(now)) = (before, memory::own()) else {
        println!("{what}: this system does not say what a process holds");
        return;
    };
    let growth = now.saturating_sub(before);
    println!("{what}: grew by {} MiB of {}", growth >> 20, GROWTH_MAX >> 20);
    assert!(growth <= GROWTH_MAX, "{what}: {growth}");
}

/// One after the other: they count and weigh one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_one_never_reads() {
    let counters = Counters::install();
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    // Less than what is written: a follower who is late reads the stream.
    let settings = NatsConfig { tail_bytes: 256 * 1024, ..config(&servers) };
    let bus = Bus::new(Nats::connect(settings, registry()).await.unwrap(), registry());
    subscribers(&bus, &counters).await;
    followers(&bus).await;
}

async fn subscribers(bus: &Bus, counters: &Counters) {
    let say = bus.registry().subject("say", &["all"]).unwrap();
    let before = memory::own();
    let mut never = bus.subscribe(&Pattern::from(&say), CAPACITY).await.unwrap();
    let mut readers = Vec::new();
    for _ in 1..READERS {
        let mut reader = bus.subscribe(&Pattern::from(&say), MESSAGES).await.unwrap();
        readers.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                let message = tokio::time::timeout(SOON, reader.next()).await.unwrap().unwrap();
                assert_eq!(number_of(&message.payload), number, "none is lost, in order");
            }
        }));
    }
    for number in 0..MESSAGES {
        bus.publish(&say, padded(number), Vec::new()).await.unwrap();
        // At the pace of readers who read.
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    grown(before, "subscribers");
    let waiting: Vec<usize> =
        std::iter::from_fn(|| never.try_next()).map(|one| number_of(&one.payload)).collect();
    assert_eq!(waiting, (0..CAPACITY).collect::<Vec<_>>(), "what it could keep");
    let dropped = counters.told("tidings_bus_slow_reader_total outcome=dropped_newest");
    assert_eq!(dropped, (MESSAGES - CAPACITY) as u64, "each of the others is counted");
    assert_eq!(counters.told("tidings_bus_client_dropped_total"), 0, "none is lost where nobody counts");
}

async fn followers(bus: &Bus) {
    let room = bus.registry().subject("room", &["z_a"]).unwrap();
    let before = memory::own();
    let mut never = bus.follow(&room, From::After(0));
    let mut readers = Vec::new();
    for _ in 1..READERS {
        let mut set = bus.follow(&room, From::After(0));
        readers.push(tokio::spawn(async move { all_of(&mut set).await }));
    }
    for number in 0..MESSAGES {
        bus.append(&room, padded(number)).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    grown(before, "followers");
    // It held a place, not a queue: everything is still there for it.
    all_of(&mut never).await;
}

async fn all_of(set: &mut tidings_bus::FollowSet) {
    for number in 0..MESSAGES {
        let next = tokio::time::timeout(SOON, set.next()).await.unwrap().unwrap();
        let Followed::Message(message) = next else { panic!("{next:?}") };
        assert_eq!(number_of(&message.payload), number, "none is lost, in order");
    }
}

fn padded(number: usize) -> Bytes {
    Bytes::from(format!("{number:0BYTES$}"))
}

fn number_of(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}
