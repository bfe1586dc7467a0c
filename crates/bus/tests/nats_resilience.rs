//! What keeps calls useful over real servers that stop, go, or have no leader: the connection's state and health, retries,
//! breakers.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_bus::resilience::breaker::Phase;
use tidings_bus::resilience::{HealthConfig, State, Watching};
use tidings_bus::{
    Append, Bus, BusConfig, Error, ErrorKind, IDEMPOTENCY_KEY, Nats, NatsConfig, Pattern, Subject,
};
use tidings_test_support::{NatsServer, newest_nats};

use crate::checker::{registry, servers};

const SOON: Duration = Duration::from_secs(20);

async fn connect(servers: &[NatsServer], change: impl Fn(&mut BusConfig)) -> (Arc<Nats>, Bus) {
    let mut config = NatsConfig { ..servers::config(servers) };
    config.bus = BusConfig::default();
    change(&mut config.bus);
    let begun = Instant::now();
    loop {
        match Nats::connect(config.clone(), registry()).await {
            Ok(backend) => return (backend.clone(), Bus::new(backend, registry())),
            // A cluster takes some time until it can store anything.
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
    }
}

async fn until(watching: &mut Watching, state: State) {
    let reached = watching.until(|now| *now == state);
    let reached = tokio::time::timeout(SOON, reached).await;
    assert!(reached.is_ok(), "it is never {state}, but {}", watching.now());
}

fn subject(bus: &Bus, template: &str, parameter: &str) -> Subject {
    bus.registry().subject(template, &[parameter]).unwrap()
}

async fn ask(bus: &Bus, what: &str, deadline: Duration) -> Result<Bytes, Error> {
    bus.request(&subject(bus, "ask", what), Bytes::new(), Vec::new(), deadline).await
}

/// Answers all but the first `ignored` questions; counts all.
async fn serve(bus: &Bus, what: &str, ignored: usize) -> Arc<AtomicUsize> {
    let pattern = Pattern::from(&subject(bus, "ask", what));
    let mut questions = bus.queue_subscribe(&pattern, "g", 64).await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(question) = questions.next().await {
            if counted.fetch_add(1, Ordering::AcqRel) < ignored {
                kept.push(question);
            } else {
                question.respond(Bytes::from("answer")).unwrap();
            }
        }
    });
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_is_found_within_three_intervals() {
    stopped_and_found(false).await;
}

/// More waits to be written than the socket and the client's queue take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_is_found_while_everyone_publishes() {
    stopped_and_found(true).await;
}

async fn stopped_and_found(loaded: bool) {
    let every = Duration::from_millis(1_200);
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = connect(&servers, |config| config.health = HealthConfig::each(every)).await;
    let states = backend.states();
    let mut watching = states.watch();
    until(&mut watching, State::Connected).await;
    // Between two pings, as it happens.
    tokio::time::sleep(every / 3).await;
    let health = backend.health();
    assert!(health.healthy && health.score > 60, "{health:?}");
    let load = (0..if loaded { 4 } else { 0 }).map(|_| {
        let (bus, say) = (bus.clone(), subject(&bus, "say", "x"));
        tokio::spawn(async move {
            loop {
                let _ = bus.publish(&say, Bytes::from(vec![b'x'; 4_000]), Vec::new()).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    });
    let load: Vec<_> = load.collect();
    for round in 0..2 {
        servers[0].freeze().unwrap();
        let frozen = Instant::now();
        until(&mut watching, State::Degraded).await;
        assert!(!backend.health().healthy, "connected means that the last ping came back");
        until(&mut watching, State::Reconnecting).await;
        let took = frozen.elapsed();
        println!("loaded {loaded}, round {round}: stale after {took:?}, of {:?}", every * 3);
        assert!(took <= every * 3, "{took:?}");
        let refused = bus.publish(&subject(&bus, "say", "x"), Bytes::new(), Vec::new()).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Connection | ErrorKind::CircuitOpen), "{refused:?}");
        servers[0].thaw().unwrap();
        let thawed = Instant::now();
        until(&mut watching, State::Connected).await;
        bus.append(&subject(&bus, "room", "a_b"), Bytes::from("x")).await.unwrap();
        println!("round {round}: back after {:?}", thawed.elapsed());
        let back = async {
            while !backend.health().healthy {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, back).await.unwrap();
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
}

/// With the defaults three pings would take fifteen seconds and more: a call that had no answer is enough to look at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_left_for_another_after_a_call_without_an_answer() {
    let servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let (backend, bus) = connect(&servers, |_| {}).await;
    let log = subject(&bus, "room", "a_b");
    bus.append(&log, Bytes::from("before")).await.unwrap();
    let mut watching = backend.states().watch();
    until(&mut watching, State::Connected).await;
    let here = backend.members()[0].server.clone().unwrap();
    let place = servers.iter().position(|server| server.url().ends_with(&here)).unwrap();
    servers[place].freeze().unwrap();
    let frozen = Instant::now();
    // The server stays frozen: what stores this is another.
    let stored = bus.append(&log, Bytes::from("after")).await;
    println!("stored after {:?}: {stored:?}", frozen.elapsed());
    stored.unwrap();
    let moves = backend.states().history();
    assert!(moves.iter().any(|(_, made)| made.to == State::Reconnecting), "{moves:?}");
    servers[place].thaw().unwrap();
}

/// Whoever serves takes long, and the connection brings other things: it is not the connection that is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_while_a_service_is_slow() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = connect(&servers, |_| {}).await;
    serve(&bus, "slow", usize::MAX).await;
    for _ in 0..4 {
        let error = ask(&bus, "slow", Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    let health = backend.health();
    assert!(health.healthy && health.misses == 0, "{health:?}");
    let moves: Vec<State> = backend.states().history().iter().map(|(_, made)| made.to).collect();
    assert_eq!(moves, [State::Connecting, State::Connected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_stop_is_a_degraded_connection_that_recovers() {
    let every = Duration::from_secs(2);
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = connect(&servers, |config| config.health = HealthConfig::each(every)).await;
    let mut watching = backend.states().watch();
    until(&mut watching, State::Connected).await;
    servers[0].freeze().unwrap();
    until(&mut watching, State::Degraded).await;
    servers[0].thaw().unwrap();
    until(&mut watching, State::Connected).await;
    let moves: Vec<State> = backend.states().history().iter().map(|(_, made)| made.to).collect();
    assert_eq!(
        moves,
        [State::Connecting, State::Connected, State::Degraded, State::Connected],
        "none was lost"
    );
    assert!(backend.health().healthy);
    bus.drain(Duration::from_secs(5)).await;
    assert_eq!(backend.states().now(), State::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_keep_failing_open_the_circuit_and_it_closes_by_itself() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let quick = |config: &mut BusConfig| {
        config.reconnect_first = Duration::from_millis(10);
        config.reconnect_most = Duration::from_millis(500);
    };
    let (backend, bus) = connect(&servers, quick).await;
    let mut watching = backend.states().watch();
    let say = subject(&bus, "say", "x");
    servers[0].kill().unwrap();
    until(&mut watching, State::CircuitOpen).await;
    let refused = bus.publish(&say, Bytes::new(), Vec::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CircuitOpen);
    assert!(refused.retry_after().is_some_and(|wait| wait <= Duration::from_millis(500)), "{refused:?}");
    let refused = ask(&bus, "x", SOON).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CircuitOpen, "at once, not at the deadline");
    // What has to be stored waits for the connection, within its deadline.
    let room = subject(&bus, "room", "a_b");
    let (appending, again) = (bus.clone(), room.clone());
    let appended = tokio::spawn(async move { appending.append(&again, Bytes::from("kept")).await });
    servers[0].restart().unwrap();
    until(&mut watching, State::Connected).await;
    appended.await.unwrap().unwrap();
    bus.publish(&say, Bytes::new(), Vec::new()).await.unwrap();
    assert_eq!(bus.read(&[room], 0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_sent_again_only_where_that_is_safe() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let quick = |config: &mut BusConfig| {
        config.retry.first = Duration::from_millis(200);
        config.retry.attempts = 20;
        config.breaker.in_a_row = 100;
        config.breaker.of = 100;
        config.try_wait = Duration::from_millis(300);
    };
    let (_backend, bus) = connect(&servers, quick).await;
    // Nobody received it: it is repeated until somebody does.
    let asking = tokio::spawn({
        let bus = bus.clone();
        async move { ask(&bus, "late", SOON).await }
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!asking.is_finished(), "no responders yet, and time left");
    let count = serve(&bus, "late", 0).await;
    asking.await.unwrap().unwrap();
    assert_eq!(count.load(Ordering::Acquire), 1);
    // It may have been received: once, whatever time is left.
    let count = serve(&bus, "silent", 1).await;
    let error = ask(&bus, "silent", Duration::from_millis(900)).await.unwrap_err();
    assert_eq!((error.kind(), count.load(Ordering::Acquire)), (ErrorKind::Timeout, 1));
    // With a key the receiver knows a repeat.
    let count = serve(&bus, "keyed", 1).await;
    let key = vec![(IDEMPOTENCY_KEY.to_owned(), "k1".to_owned())];
    let asked = bus.request(&subject(&bus, "ask", "keyed"), Bytes::new(), key, SOON).await;
    assert_eq!(&asked.unwrap()[..], b"answer");
    assert_eq!(count.load(Ordering::Acquire), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_is_left_alone_and_nobody_else_is() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = connect(&servers, |config| config.retry.attempts = 1).await;
    let _well = serve(&bus, "well", 0).await;
    for _ in 0..5 {
        let error = ask(&bus, "gone", SOON).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoResponders);
    }
    let error = ask(&bus, "gone", SOON).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    let wait = error.retry_after().unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    ask(&bus, "well", SOON).await.unwrap();
    let _back = serve(&bus, "gone", 0).await;
    tokio::time::sleep(wait).await;
    for _ in 0..2 {
        ask(&bus, "gone", SOON).await.unwrap();
    }
    assert!(backend.breakers().iter().all(|view| view.phase == Phase::Closed), "{:?}", backend.breakers());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_leader_is_given_its_time_and_then_left_alone() {
    let mut servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let short = |config: &mut BusConfig| {
        config.deadline = Duration::from_secs(8);
        config.retry.settle_for = Duration::from_secs(4);
        config.breaker.settle_for = Duration::from_secs(4);
        config.try_wait = Duration::from_secs(1);
    };
    let (backend, bus) = connect(&servers, short).await;
    let room = subject(&bus, "room", "a_b");
    bus.append(&room, Bytes::from("before")).await.unwrap();
    servers[1].kill().unwrap();
    servers[2].kill().unwrap();
    let begun = Instant::now();
    let refused = loop {
        let error = bus.append(&room, Bytes::from("meanwhile")).await.unwrap_err();
        if error.kind() == ErrorKind::CircuitOpen {
            break error;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{error:?}");
    };
    assert!(begun.elapsed() > Duration::from_secs(4), "an election is no failure");
    assert!(refused.retry_after().is_some());
    println!("left alone after {:?}", begun.elapsed());
    servers[1].restart().unwrap();
    servers[2].restart().unwrap();
    let returned = Instant::now();
    while let Err(error) = bus.append(&room, Bytes::from("after")).await {
        assert!(returned.elapsed() < Duration::from_secs(60), "{error:?}");
        tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_millis(50))).await;
    }
    println!("back after {:?}: {:?}", returned.elapsed(), backend.breakers());
    let stored = bus.read(&[room], 0, 1_000).await.unwrap();
    assert_eq!(stored.last().unwrap().payload, "after");
}

/// Several by themselves are one call to a stream that failed: of those one at a time may pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_come_while_a_circuit_closes_are_stored_together() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let short = |config: &mut BusConfig| {
        config.deadline = Duration::from_secs(3);
        (config.breaker.settle_for, config.breaker.in_a_row) = (Duration::ZERO, 2);
    };
    let (backend, bus) = connect(&servers, short).await;
    let room = subject(&bus, "room", "a_b");
    let is_closed = || backend.breakers().iter().all(|view| view.phase == Phase::Closed);
    servers[0].freeze().unwrap();
    let begun = Instant::now();
    while is_closed() {
        bus.append(&room, Bytes::from("meanwhile")).await.unwrap_err();
        assert!(begun.elapsed() < SOON, "no circuit opens");
    }
    servers[0].thaw().unwrap();
    let returned = Instant::now();
    let line = |n: usize| Append { subject: room.clone(), payload: Bytes::from(n.to_string()) };
    let (mut refused, mut together) = (0, 0);
    loop {
        let half_open = !is_closed();
        match bus.commit_each((0..3).map(line).collect(), Vec::new()).await {
            Ok(_) if half_open => together += 1,
            Ok(_) => break,
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::CircuitOpen, "{error:?}");
                tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_millis(50))).await;
            }
        }
        assert!(returned.elapsed() < SOON, "the circuit does not close: {:?}", backend.breakers());
    }
    println!("refused {refused} times, then stored {together} times while the circuit was not closed");
    assert!(together > 0, "it was never tried while the circuit was half open");
    let stored = bus.read(&[room], 0, 1_000).await.unwrap();
    let lines = stored.iter().filter(|message| message.payload.len() == 1).count();
    assert_eq!(lines, 3 * (together + 1), "some of those that were refused are stored");
}

#[tokio::test]
async fn settings_that_cannot_hold_are_refused_before_anything_is_opened() {
    let mut config = NatsConfig::default().server("nats://127.0.0.1:1");
    config.bus.retry.attempts = 0;
    config.bus.breaker.successes = 0;
    let error = Nats::connect(config, registry()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    let told = error.to_string();
    assert!(told.contains("retry.attempts") && told.contains("breaker.successes"), "{told}");
}
