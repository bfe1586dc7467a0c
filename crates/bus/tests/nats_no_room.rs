//! Where there is no room for more: in the client's queue of a subscription, and among the batches that a stream has open.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use tidings_bus::{Append, Bus, CLIENT_QUEUE_MIN, Followed, From, Nats, NatsConfig};
use tidings_test_support::{NatsServer, newest_nats};
use tokio::sync::oneshot;

use crate::checker::counters::Counters;
use crate::checker::registry;
use crate::checker::servers::{config, connect};

const SOON: Duration = Duration::from_secs(30);

/// A follower's process stands still while more is said than its client keeps for it: it has each message once, in order,
/// from the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_the_client_drops_are_read_from_the_stream() {
    const MESSAGES: usize = 2 * CLIENT_QUEUE_MIN;
    const AT_ONCE: usize = 256;
    let counters = Counters::install();
    // It waits for who stands still.
    let patient = "write_deadline: \"60s\"\n";
    let servers = [NatsServer::start_with(newest_nats(), patient, &[]).unwrap()];
    let (_backend, writer) = connect(&servers).await;
    let room = writer.registry().subject("room", &["a_b"]).unwrap();
    let small = NatsConfig { client_queue: CLIENT_QUEUE_MIN, ..config(&servers) };
    let (ready, follows) = oneshot::channel();
    let mut ready = Some(ready);
    let (stored, go_on) = mpsc::sync_channel(1);
    let subject = room.clone();
    // On a thread of its own, which can be stopped.
    let reader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bus = Bus::new(Nats::connect(small, registry()).await.unwrap(), registry());
            let mut follower = bus.follow(&subject, From::After(0));
            let (mut told, mut last) = (Vec::new(), 0);
            while told.len() <= MESSAGES {
                match tokio::time::timeout(SOON, follower.next()).await.expect("it is told").unwrap() {
                    Followed::Message(message) => told.push(message.seq),
                    Followed::Hole { after, first, .. } => {
                        panic!("nothing is missing between {after} and {first}")
                    }
                }
                if told.len() == 1 {
                    ready.take().map(|ready: oneshot::Sender<()>| ready.send(()));
                    last = go_on.recv().unwrap();
                }
            }
            assert_eq!(told.last(), Some(&last));
            told
        })
    });
    writer.append(&room, Bytes::from("first")).await.unwrap();
    follows.await.unwrap();
    let mut last = 0;
    for _ in 0..MESSAGES / AT_ONCE {
        let all = (0..AT_ONCE).map(|_| writer.append(&room, Bytes::from("x")));
        last = futures_util::future::try_join_all(all).await.unwrap().into_iter().max().unwrap();
    }
    stored.send(last).unwrap();
    let told = tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
    assert!(told.is_sorted_by(|one, next| one < next), "each once, in order");
    let dropped = counters.told("tidings_bus_client_dropped_total");
    println!("the client dropped copies {dropped} times");
    assert!(dropped > 0, "it was to drop some");
}

/// Others have begun as many batches as a stream takes, and do not go on: what is refused meanwhile is sent again until the
/// server has given those up, and is stored once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_finds_a_place_among_the_open_batches() {
    /// What nats-server takes of one stream.
    const OPEN_MAX: usize = 50;
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let rooms = ["a_a", "a_b"].map(|room| bus.registry().subject("room", &[room]).unwrap());
    bus.append(&rooms[0], Bytes::from("before")).await.unwrap();
    let client = async_nats::connect(servers[0].url()).await.unwrap();
    let begin = async |n: usize| {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", format!("begun-{n}"));
        headers.insert("Nats-Batch-Sequence", "1");
        client.request_with_headers(rooms[0].to_string(), headers, Bytes::from("never")).await.unwrap()
    };
    for n in 0..OPEN_MAX {
        let answer = begin(n).await;
        assert!(answer.payload.is_empty(), "{answer:?}");
    }
    let refused = String::from_utf8(begin(OPEN_MAX).await.payload.to_vec()).unwrap();
    assert!(refused.contains("error"), "one more is refused: {refused}");
    let begun = Instant::now();
    let batch = rooms.clone().map(|subject| Append { subject, payload: Bytes::from("both") });
    let stored = bus.commit(batch.into(), Vec::new()).await.unwrap();
    println!("stored at {stored:?} after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(1), "it had to wait");
    let all = bus.read(&rooms, 0, 100).await.unwrap();
    let texts: Vec<_> = all.iter().map(|message| &message.payload[..]).collect();
    assert_eq!(texts, [&b"before"[..], b"both", b"both"]);
}
