//! Work that is pulled ahead of workers: what they turn out to have no time for is given back, and is as new as before.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tidings_bus::{Bus, ErrorKind, Work, WorkConfig};
use tidings_test_support::{NatsServer, newest_nats, oldest_nats};

use crate::checker::servers::connect;

/// How long all workers are busy: longer than pulls stand, and than a message needs that comes back every other second to
/// use up its deliveries.
const BUSY: Duration = Duration::from_secs(12);
/// How many workers there are.
const WORKERS: usize = 4;

async fn enqueue(work: &Work, what: &'static str, count: usize) {
    let stored = (0..count).map(|_| work.enqueue(Bytes::from(what), Vec::new()));
    futures_util::future::try_join_all(stored).await.unwrap();
}

/// Takes work until the bus ends, and notes what came and for the how-manieth time.
async fn worker(work: Work, seen: Arc<Mutex<Vec<(Bytes, u32)>>>) {
    while let Ok(job) = work.next().await {
        seen.lock().push((job.payload.clone(), job.delivery));
        if &job.payload[..] == b"slow" {
            tokio::time::sleep(BUSY).await;
        }
        job.ack().await.unwrap();
    }
}

async fn busy_workers_use_up_no_attempts(version: &str) {
    let servers = [NatsServer::start(version).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let dead = subject("dlq", "q");
    let work = bus.work(&subject("work", "q"), &dead, WorkConfig::default()).unwrap();
    // Quick ones, so that much is pulled ahead, and then all workers are busy.
    enqueue(&work, "quick", 1_000).await;
    enqueue(&work, "slow", WORKERS).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..WORKERS).map(|_| tokio::spawn(worker(work.clone(), seen.clone()))).collect();
    let slow = |seen: &[(Bytes, u32)]| seen.iter().filter(|(what, _)| what == "slow").count();
    let begun = Instant::now();
    while slow(&seen.lock()) < WORKERS {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", seen.lock().len());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    enqueue(&work, "late", 40).await;
    let begun = Instant::now();
    while work.depth().await.unwrap() > 0 {
        assert!(begun.elapsed() < BUSY + Duration::from_secs(20), "{:?}", work.depth().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(bus.read(&[dead], 0, 100).await.unwrap().is_empty(), "none is a dead letter");
    let late: Vec<u32> =
        seen.lock().iter().filter(|(what, _)| what == "late").map(|(_, number)| *number).collect();
    assert_eq!(late, vec![1; 40], "the first worker to see it has its first delivery");
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_workers_use_up_no_attempts_of_work() {
    tokio::join!(
        busy_workers_use_up_no_attempts(oldest_nats()),
        busy_workers_use_up_no_attempts(newest_nats())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_work_is_stored_though_nobody_waits() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let dead = subject("dlq", "q");
    let settings =
        WorkConfig { ack_wait: Duration::from_secs(1), deliveries_max: 1, ..WorkConfig::default() };
    let work = bus.work(&subject("work", "q"), &dead, settings).unwrap();
    work.enqueue(Bytes::from("poison"), Vec::new()).await.unwrap();
    let held = work.next().await.unwrap();
    let begun = Instant::now();
    // Whoever asks for work looks once and goes away again.
    while bus.read(std::slice::from_ref(&dead), 0, 10).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the letter is stored");
        assert!(work.next().now_or_never().is_none(), "it is never handed out again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while work.depth().await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "and the message has ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_of_work_end_where_a_drain_begins() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_leaving, bus) = connect(&servers).await;
    let (_staying, other) = connect(&servers).await;
    let queue = |bus: &Bus| {
        let subject = |template| bus.registry().subject(template, &["q"]).unwrap();
        bus.work(&subject("work"), &subject("dlq"), WorkConfig::default()).unwrap()
    };
    let (work, others) = (queue(&bus), queue(&other));
    enqueue(&others, "held", 1).await;
    let held = work.next().await.unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let work = work.clone();
            tokio::spawn(async move { work.next().await })
        })
        .collect();
    // They have asked by then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let draining = tokio::spawn(async move { bus.drain(Duration::from_secs(20)).await });
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }
    // The drain goes on, for one of them is still at work; the server has ended their pulls by then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    enqueue(&others, "later", 4).await;
    let begun = Instant::now();
    for _ in 0..4 {
        let job = tokio::time::timeout(Duration::from_secs(5), others.next()).await.unwrap().unwrap();
        assert_eq!((&job.payload[..], job.delivery), (&b"later"[..], 1));
        job.double_ack().await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    held.double_ack().await.unwrap();
    assert!(draining.await.unwrap().is_clean());
}
