//! What is short: room on the server's disk and under the failed batches, the size a server takes, a store of dead letters.
//! Each is an error that says so; nothing that was confirmed is lost, and it goes on once there is enough again.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tidings_bus::{
    Append, Bus, DeadLetter, Error, ErrorKind, Failure, HandlerConfig, Nats, Pattern, Subject, WorkConfig,
};
use tidings_test_support::{NatsServer, SmallDisk, newest_nats};
use tokio_util::sync::CancellationToken;

use crate::checker::servers::{config, connect};
use crate::checker::{follow, registry};

/// The disk under the server: its streams take some MiB of it before anything is stored.
const DISK: u64 = 24 << 20;
const SOON: Duration = Duration::from_secs(30);

fn subject(bus: &Bus, template: &str, parameter: &str) -> Subject {
    bus.registry().subject(template, &[parameter]).unwrap()
}

/// Says on the terminal, whatever is captured, what is not shown here and what shows it.
fn left_out(instead: &str) {
    let _ =
        writeln!(std::io::stderr(), "no small disk can be made here (it wants `unshare --mount`): {instead}");
}

/// Appends until it is refused: what was confirmed, and why it ended.
async fn until_refused(bus: &Bus, log: &Subject, confirmed: &mut Vec<(u64, Bytes)>) -> Error {
    let begun = Instant::now();
    loop {
        let text = Bytes::from(format!("{:04000}", confirmed.len()));
        match bus.append(log, text.clone()).await {
            Ok(seq) => confirmed.push((seq, text)),
            Err(error) => return error,
        }
        assert!(begun.elapsed() < SOON, "{} are stored", confirmed.len());
    }
}

async fn check(bus: &Bus, log: &Subject, confirmed: &[(u64, Bytes)], what: &str) {
    let stored = bus.read(std::slice::from_ref(log), 0, usize::MAX).await.unwrap();
    let found: Vec<_> = stored.iter().map(|message| (message.seq, message.payload.clone())).collect();
    // One that was refused without a word may be stored: it is no loss.
    let missing = confirmed.iter().filter(|one| !found.contains(one)).count();
    println!("{what}: {} confirmed, {} stored, {missing} missing", confirmed.len(), found.len());
    assert_eq!(missing, 0, "{what}");
    assert!(found.len() <= confirmed.len() + 1, "{what}: only the last try is not known");
    let mut told = follow(bus, std::slice::from_ref(log));
    for (seq, _) in &found {
        let next = tokio::time::timeout(SOON, told.next()).await.unwrap().unwrap();
        assert!(matches!(next, tidings_bus::Followed::Message(ref message) if message.seq == *seq));
    }
}

/// Under a server whose disk is full, and, without the rights to make a disk, one that may store no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_server() {
    let Some(disk) = SmallDisk::make(DISK).unwrap() else {
        left_out("`a_server_that_may_store_no_more` alone shows it");
        return;
    };
    let mut servers = [NatsServer::start_on(newest_nats(), disk).unwrap()];
    let mut settings = config(&servers);
    settings.bus.deadline = Duration::from_secs(6);
    let bus = Bus::new(Nats::connect(settings, registry()).await.unwrap(), registry());
    let log = subject(&bus, "room", "z_a");
    let mut confirmed = Vec::new();
    for number in 0..200 {
        confirmed.push((
            bus.append(&log, Bytes::from(number.to_string())).await.unwrap(),
            number.to_string().into(),
        ));
    }
    servers[0].disk().unwrap().fill().unwrap();
    let begun = Instant::now();
    let refused = until_refused(&bus, &log, &mut confirmed).await;
    println!("full: {:?} after {:?}: {refused}", refused.kind(), begun.elapsed());
    assert!(refused.is_retryable(), "{refused:?}");
    servers[0].disk().unwrap().free().unwrap();
    // A server that met a full disk stores nothing more until it is started again.
    servers[0].kill().unwrap();
    servers[0].restart().unwrap();
    let freed = Instant::now();
    let text = Bytes::from("after");
    let seq = loop {
        match bus.append(&log, text.clone()).await {
            Ok(seq) => break seq,
            Err(error) => assert!(freed.elapsed() < SOON, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("full: back {:?} after there was room", freed.elapsed());
    confirmed.push((seq, text));
    check(&bus, &log, &confirmed, "full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_store_no_more() {
    let bound = "jetstream { max_file_store: 2MB }";
    let mut servers = [NatsServer::start_with(newest_nats(), bound, &[]).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let log = subject(&bus, "room", "z_a");
    let mut confirmed = Vec::new();
    let refused = until_refused(&bus, &log, &mut confirmed).await;
    println!("bounded: {:?} after {}: {refused}", refused.kind(), confirmed.len());
    assert!(refused.is_retryable(), "{refused:?}");
    check(&bus, &log, &confirmed, "bounded").await;
    assert_eq!(refused.kind(), ErrorKind::Storage);
    // More room is the operator's to give.
    servers[0].reconfigure("jetstream { max_file_store: 64MB }").unwrap();
    servers[0].kill().unwrap();
    servers[0].restart().unwrap();
    let freed = Instant::now();
    while let Err(error) = bus.append(&log, Bytes::from("after")).await {
        assert!(freed.elapsed() < SOON, "{error}");
        tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_millis(20))).await;
    }
    println!("bounded: back {:?} after there was room", freed.elapsed());
}

/// What cannot be sent is parked on a disk that is full: it stays in memory, is bounded there, refused beyond it, and sent
/// once the server is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_failed_batches() {
    let Some(disk) = SmallDisk::make(1 << 20).unwrap() else {
        left_out("the failed queue's own tests show a disk that refuses");
        return;
    };
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let mut settings = config(&servers);
    settings.bus.batch.pending_messages = 200;
    let backend = Nats::connect(settings, registry()).await.unwrap();
    let bus = Bus::new(backend, registry());
    let log = subject(&bus, "room", "z_a");
    let batcher = bus.batcher(&disk.seen()).await.unwrap();
    disk.fill().unwrap();
    servers[0].kill().unwrap();
    let (mut taken, mut refused, begun) = (0_u64, 0, Instant::now());
    while refused < 20 {
        match batcher.push(&log, Bytes::from(taken.to_string())) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
                refused += 1;
            }
        }
        assert!(batcher.report().pending <= 200 && begun.elapsed() < SOON, "{:?}", batcher.report());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(batcher.report().on_disk, 0, "there is no room");
    disk.free().unwrap();
    servers[0].restart().unwrap();
    let back = Instant::now();
    let count =
        || async { bus.read(std::slice::from_ref(&log), 0, usize::MAX).await.map_or(0, |found| found.len()) };
    while (count().await as u64) < taken {
        batcher.flush().await;
        batcher.recover().await;
        assert!(back.elapsed() < SOON, "{:?}", batcher.report());
    }
    println!(
        "failed batches: {taken} taken, {refused} refused, all stored {:?} after there was room",
        back.elapsed()
    );
    let stored = bus.read(std::slice::from_ref(&log), 0, usize::MAX).await.unwrap();
    let stored = stored.iter().map(|one| std::str::from_utf8(&one.payload).unwrap().parse().unwrap());
    assert_eq!(stored.collect::<Vec<u64>>(), (0..taken).collect::<Vec<_>>(), "each once, in order");
}

/// More than the server takes, though not more than the subject: refused before it is sent, whatever it is, and the
/// connection stands. An answer as large ends its request at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_server_takes() {
    let servers = [NatsServer::start_with(newest_nats(), "max_payload: 8192", &[]).unwrap()];
    let (backend, bus) = connect(&servers).await;
    let id = backend.client_id();
    // A server that takes less than the largest payload is refused at the start; headers may be as large as they like.
    let (small, large) = (|| Bytes::from(vec![b'x'; 3_000]), || Bytes::from(vec![b'x'; 9_000]));
    let headers = || vec![("Story".to_owned(), "x".repeat(6_000))];
    let (say, room) = (subject(&bus, "say", "x"), subject(&bus, "room", "z_a"));
    let (ask, far) = (subject(&bus, "ask", "x"), subject(&bus, "ask", "far"));
    let append = |payload| Append { subject: room.clone(), payload };
    let work =
        bus.work(&subject(&bus, "work", "q"), &subject(&bus, "dlq", "q"), WorkConfig::default()).unwrap();
    let mut served = bus.queue_subscribe(&Pattern::from(&far), "g", 16).await.unwrap();
    tokio::spawn(async move {
        while let Some(message) = served.next().await {
            let _ = message.respond(Bytes::from(vec![b'x'; 9_000]));
        }
    });
    let begun = Instant::now();
    let refusals = [
        ("publish", bus.publish(&say, small(), headers()).await.unwrap_err()),
        ("append", bus.append(&room, large()).await.unwrap_err()),
        (
            "commit",
            bus.commit(vec![append(Bytes::from("a")), append(large())], Vec::new()).await.unwrap_err(),
        ),
        ("request", bus.request(&ask, small(), headers(), SOON).await.unwrap_err()),
        ("enqueue", work.enqueue(small(), headers()).await.unwrap_err()),
    ];
    for (what, error) in refusals {
        println!("{what}: {:?}: {error}", error.kind());
        assert!(!error.is_retryable(), "{what}: {error:?}: it will never be smaller");
    }
    let answer = bus.request(&far, Bytes::new(), Vec::new(), SOON).await.unwrap_err();
    println!("answer: {:?} after {:?}: {answer}", answer.kind(), begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "each at once: {:?}", begun.elapsed());
    assert_eq!(backend.client_id(), id, "the connection stands");
    bus.append(&room, Bytes::from("fits")).await.unwrap();
    assert_eq!(bus.read(&[room], 0, 10).await.unwrap().len(), 1, "no part of a commit");
    assert_eq!(work.depth().await.unwrap(), 0);
}

/// Changes a stream as an operator would.
async fn change(server: &NatsServer, stream: &str, change: impl Fn(&mut Value)) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let ask = async |verb: &str, question: Value| {
        let subject = format!("$JS.API.STREAM.{verb}.{stream}");
        let answer = client.request(subject, Bytes::from(question.to_string())).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        answer
    };
    let mut config = ask("INFO", json!({})).await["config"].take();
    change(&mut config);
    ask("UPDATE", config).await;
}

/// Dead letters that cannot be stored: their messages stay, and come again; once the store is back each has one letter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_dead_letters_that_is_down() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let dead = subject(&bus, "dlq", "q");
    let settings =
        WorkConfig { ack_wait: Duration::from_secs(2), deliveries_max: 2, ..WorkConfig::default() };
    let work = bus.work(&subject(&bus, "work", "q"), &dead, settings).unwrap();
    bus.append(&subject(&bus, "room", "z_a"), Bytes::from("the only one")).await.unwrap();
    // The stream that the letters go to is full.
    change(&servers[0], "w_EVENTS", |config| config["max_msgs"] = json!(1)).await;
    let count = 6;
    for number in 0..count {
        work.enqueue(Bytes::from(number.to_string()), Vec::new()).await.unwrap();
    }
    let (stop, deliveries) = (CancellationToken::new(), Arc::new(parking_lot::Mutex::new(0)));
    let (counted, config) = (
        deliveries.clone(),
        HandlerConfig { nak_first: Duration::from_millis(10), ..HandlerConfig::default() },
    );
    let handler = move |delivery: tidings_bus::Delivery| {
        *counted.lock() += 1;
        let never = delivery.payload == "0" || delivery.payload == "1";
        async move { Err(if never { Failure::never("impossible") } else { Failure::again("busy") }) }
    };
    let handling = tokio::spawn({
        let (work, stop) = (work.clone(), stop.clone());
        async move { work.handle(config, stop, handler).await.unwrap() }
    });
    let begun = Instant::now();
    while *deliveries.lock() < count * 2 {
        assert!(begun.elapsed() < SOON, "{}", deliveries.lock());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Some tries to store them later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(work.depth().await.unwrap(), count as usize, "none is gone");
    assert!(bus.last(&dead).await.unwrap().is_none());
    change(&servers[0], "w_EVENTS", |config| config["max_msgs"] = json!(-1)).await;
    let back = Instant::now();
    while work.depth().await.unwrap() > 0 {
        assert!(back.elapsed() < SOON, "{:?}", work.depth().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("dead letters: all stored {:?} after their store was back", back.elapsed());
    stop.cancel();
    handling.await.unwrap();
    let letters = bus.read(&[dead], 0, 100).await.unwrap();
    let mut buried: Vec<_> =
        letters.iter().map(|one| DeadLetter::decode(&one.payload).unwrap().payload).collect();
    buried.sort();
    assert_eq!(buried, ["0", "1", "2", "3", "4", "5"], "each once");
}
