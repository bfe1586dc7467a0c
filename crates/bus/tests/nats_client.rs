//! What the client leaves open, and the bus closes: waits without an end, attempts in step, words that get lost.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use tidings_bus::{Bus, BusConfig, ErrorKind, Nats, Pattern, Subject, WorkConfig};
use tidings_test_support::{NatsServer, Proxy, Wire, newest_nats};

use crate::checker::registry;
use crate::checker::servers::{config, connect};

fn subject(bus: &Bus, template: &str, parameter: &str) -> Subject {
    bus.registry().subject(template, &[parameter]).unwrap()
}

/// The client's `flush` waits for as long as the server is silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_at_a_silent_server_is_refused_in_time() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    servers[0].freeze().unwrap();
    let begun = Instant::now();
    let pattern = Pattern::from(&subject(&bus, "say", "x"));
    let asked = bus.subscribe(&pattern, 16);
    let refused = tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap().unwrap_err();
    println!("refused after {:?}: {refused}", begun.elapsed());
    // A server that leaves a call without an answer for so long is left at about the same time: either may be first.
    assert!(matches!(refused.kind(), ErrorKind::Timeout | ErrorKind::Connection), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    servers[0].thaw().unwrap();
}

/// The client's `drain` returns once it is queued, and its end may never be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_at_a_silent_server_ends_in_time() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let _heard = bus.subscribe(&Pattern::from(&subject(&bus, "say", "x")), 16).await.unwrap();
    servers[0].freeze().unwrap();
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(20), bus.drain(Duration::from_secs(1))).await.unwrap();
    println!("drained after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let refused = bus.publish(&subject(&bus, "say", "x"), Bytes::new(), Vec::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    servers[0].thaw().unwrap();
}

/// The client takes nothing while the server reads nothing: whoever asked would wait for the deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_finds_a_full_queue_is_sent_when_there_is_room() {
    const SOON: Duration = Duration::from_secs(20);
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let proxy =
        Proxy::start(servers[0].url().strip_prefix("nats://").unwrap().parse().unwrap()).await.unwrap();
    let mut config = config(&servers);
    config.servers = vec![proxy.url()];
    config.bus.health = BusConfig::default().health;
    let bus = Bus::new(Nats::connect(config, registry()).await.unwrap(), registry());
    let (_backend, asker) = connect(&servers).await;
    let ask = subject(&bus, "ask", "full");
    let mut questions = bus.queue_subscribe(&Pattern::from(&ask), "g", 16).await.unwrap();
    let asking = tokio::spawn(async move { asker.request(&ask, Bytes::new(), Vec::new(), 3 * SOON).await });
    let question = tokio::time::timeout(SOON, questions.next()).await.unwrap().unwrap();

    proxy.set(Wire::Stalled);
    let (other, payload) = (subject(&bus, "say", "x"), Bytes::from(vec![0; 4 * 1024]));
    let mut taken = 0;
    while let Ok(sent) =
        tokio::time::timeout(Duration::from_millis(500), bus.publish(&other, payload.clone(), Vec::new()))
            .await
    {
        sent.unwrap();
        taken += 1;
    }
    println!("{taken} messages were taken");
    std::thread::spawn(move || drop(question)).join().expect("whatever thread lets it go");
    proxy.set(Wire::Through);
    let refused = tokio::time::timeout(SOON, asking).await.expect("long before the deadline");
    assert_eq!(refused.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
}

/// The client's own delays are the same for all: processes that lose a server together would come back together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_lose_a_server_do_not_come_back_in_step() {
    const PROCESSES: usize = 6;
    /// By then each has waited three times, the last time for 400 ms at most.
    const ATTEMPT: usize = 4;
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let to: SocketAddr = servers[0].url().strip_prefix("nats://").unwrap().parse().unwrap();
    let (mut proxies, mut buses) = (Vec::new(), Vec::new());
    for _ in 0..PROCESSES {
        let proxy = Proxy::start(to).await.unwrap();
        buses.push(Nats::connect(config(&servers).server(proxy.url()), registry()).await.unwrap());
        proxies.push(proxy);
    }
    let before: Vec<usize> = proxies.iter().map(Proxy::accepted).collect();
    proxies.iter().for_each(|proxy| proxy.set(Wire::Cut));
    let cut = Instant::now();
    let mut came = [None; PROCESSES];
    while came.iter().any(Option::is_none) {
        for (place, proxy) in proxies.iter().enumerate() {
            if came[place].is_none() && proxy.accepted() >= before[place] + ATTEMPT {
                came[place] = Some(cut.elapsed());
            }
        }
        assert!(cut.elapsed() < Duration::from_secs(30), "{came:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let came: Vec<Duration> = came.into_iter().flatten().collect();
    println!("the {ATTEMPT}. attempts came after {came:?}");
    let apart = *came.iter().max().unwrap() - *came.iter().min().unwrap();
    assert!(apart > Duration::from_millis(60), "{apart:?}");
    proxies.iter().for_each(|proxy| proxy.set(Wire::Through));
}

/// The client's `Term` has no words for why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_told_why_work_ends() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let client = async_nats::connect(servers[0].url()).await.unwrap();
    let mut told = client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>").await.unwrap();
    client.flush().await.unwrap();
    let work =
        bus.work(&subject(&bus, "work", "q"), &subject(&bus, "dlq", "q"), WorkConfig::default()).unwrap();
    work.enqueue(Bytes::from("x"), Vec::new()).await.unwrap();
    work.next().await.unwrap().term("no such\r\nplace").await.unwrap();
    let advisory = tokio::time::timeout(Duration::from_secs(10), told.next()).await.unwrap().unwrap();
    let advisory = String::from_utf8(advisory.payload.to_vec()).unwrap();
    assert!(advisory.contains("no such"), "{advisory}");
}

/// Messages that each of the publishers below has: more than the client's queue and the sockets' buffers hold together.
const MANY: usize = 4_000;

/// Those who publish while the client's queue is full wait for room, each behind the message before; one who gives up
/// leaves the others their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_waited_for_and_keeps_the_order() {
    const PUBLISHERS: usize = 4;
    const BYTES: usize = 4_096;
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let (_other, reader) = connect(&servers).await;
    let mut heard = Vec::new();
    for publisher in 0..PUBLISHERS {
        let pattern = Pattern::from(&subject(&bus, "say", &format!("p{publisher}")));
        heard.push(reader.subscribe(&pattern, MANY).await.unwrap());
    }
    servers[0].freeze().unwrap();
    let publish = |publisher: usize, numbers: std::ops::Range<usize>| {
        let (bus, to) = (bus.clone(), subject(&bus, "say", &format!("p{publisher}")));
        async move {
            for number in numbers {
                let line = format!("{number:0>BYTES$}");
                bus.publish(&to, Bytes::from(line), Vec::new()).await.unwrap();
            }
        }
    };
    let publishing: Vec<_> =
        (0..PUBLISHERS).map(|publisher| tokio::spawn(publish(publisher, 0..MANY))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(publishing.iter().all(|one| !one.is_finished()), "they wait");
    let begun = Instant::now();
    let given_up = tokio::time::timeout(Duration::from_millis(200), publish(0, MANY..MANY + 1)).await;
    assert!(given_up.is_err(), "no room, after {:?}", begun.elapsed());
    servers[0].thaw().unwrap();
    for (publisher, (mut heard, publishing)) in heard.into_iter().zip(publishing).enumerate() {
        for number in 0..MANY {
            let message = tokio::time::timeout(Duration::from_secs(10), heard.next()).await;
            let message = message.unwrap_or_else(|_| panic!("{publisher}: {number} is missing")).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&message.payload).parse::<usize>().unwrap(),
                number,
                "of {publisher}"
            );
        }
        publishing.await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
        assert!(more.is_err(), "who gave up has sent nothing: {more:?}");
    }
}
