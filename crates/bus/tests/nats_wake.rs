//! Copies of what is stored are heard only while somebody follows. Nobody who follows notices: what is asked for while
//! nothing is heard comes all the same, each once, and nothing of long before.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt;
use tidings_bus::{
    Bus, Embedded, EmbeddedConfig, ErrorKind, FollowSet, Followed, From, LogMessage, Nats, NatsConfig,
    Subject,
};
use tidings_test_support::{NatsServer, newest_nats, oldest_nats};

use crate::checker::registry;
use crate::checker::servers::{config, connect};

const SOON: Duration = Duration::from_secs(20);
/// What the copies' subjects begin with.
const COPIES: &str = "w.bus.live.";
/// With a port that tells who hears what.
const MONITORED: &str = "http: \"127.0.0.1:-1\"\n";

fn subject(bus: &Bus, template: &str, parameter: &str) -> Subject {
    bus.registry().subject(template, &[parameter]).unwrap()
}

async fn next(set: &mut FollowSet) -> Followed {
    tokio::time::timeout(SOON, set.next()).await.expect("something comes").unwrap()
}

async fn message(set: &mut FollowSet) -> LogMessage {
    match next(set).await {
        Followed::Message(message) => message,
        hole => panic!("{hole:?}"),
    }
}

async fn append(bus: &Bus, log: &Subject, text: &str) -> u64 {
    bus.append(log, Bytes::from(text.to_owned())).await.unwrap()
}

/// How many hear copies, as the server tells it.
fn hearing(server: &NatsServer) -> usize {
    let log = server.log();
    let told = log.split("http monitor on ").nth(1).expect("it tells where its monitor is");
    let mut stream = TcpStream::connect(told.split_whitespace().next().unwrap()).unwrap();
    stream.write_all(b"GET /connz?subs=1 HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("subscriptions_list"), "{page}");
    page.matches(&format!("\"{COPIES}")).count()
}

async fn until_hearing(server: &NatsServer, count: usize) -> Duration {
    let begun = Instant::now();
    while hearing(server) != count {
        assert!(begun.elapsed() < 3 * SOON, "it is never {count} that hear copies");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_heard_while_somebody_follows() {
    let servers = [NatsServer::start_with(newest_nats(), MONITORED, &[]).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let (_other, other) = connect(&servers).await;
    let room = subject(&bus, "room", "z_r");
    for number in 1..=50 {
        assert_eq!(append(&bus, &room, "mine").await, number);
    }
    assert_eq!(hearing(&servers[0]), 0, "who only commits hears nothing");
    let mut set = bus.follow(&room, From::New);
    assert_eq!(append(&other, &room, "theirs").await, 51);
    assert_eq!(message(&mut set).await.seq, 51);
    assert_eq!(hearing(&servers[0]), 1);
    // As long as one is left, and some time beyond.
    let second = bus.follow(&room, From::New);
    drop(set);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(hearing(&servers[0]), 1);
    drop(second);
    let slept = until_hearing(&servers[0], 0).await;
    println!("asleep after {slept:?}");
    assert!(slept > Duration::from_secs(8), "{slept:?}");
    for number in 52..=60 {
        assert_eq!(append(if number % 2 == 0 { &bus } else { &other }, &room, "meanwhile").await, number);
    }
    let mut set = bus.follow(&room, From::After(51));
    let mut new = bus.follow(&room, From::New);
    for number in 52..=60 {
        assert_eq!(message(&mut set).await.seq, number);
    }
    assert_eq!(append(&other, &room, "later").await, 61);
    for set in [&mut set, &mut new] {
        let first = message(set).await.seq;
        assert!(first == 61, "{first}");
    }
    assert_eq!(hearing(&servers[0]), 1);
}

/// What a writer knows of a message: when it was about to be stored, and when that was confirmed.
type Known = Arc<Mutex<BTreeMap<u64, (Instant, Instant)>>>;

async fn write(bus: &Bus, log: &Subject, known: &Known) -> u64 {
    let begun = Instant::now();
    let seq = append(bus, log, "x").await;
    known.lock().insert(seq, (begun, Instant::now()));
    seq
}

/// One follower from now on, of a hub that has not heard anything yet, beside writers that never stop.
async fn from_now_on(bus: &Bus, writer: &Bus, log: &Subject, known: &Known, grace: Duration) {
    let pause = Duration::from_micros(rand::rng().random_range(0..1_500_000));
    tokio::time::sleep(pause).await;
    let own = append(bus, log, "own").await;
    let asked = Instant::now();
    let mut set = bus.follow_set();
    set.add(log.clone(), From::New);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_micros(rand::rng().random_range(0..3_000))).await;
    let last = write(writer, log, known).await;
    let mut found = vec![message(&mut set).await.seq];
    // Where it took longer, it may have taken an election.
    let woke_at_once = begun.elapsed() < Duration::from_millis(900);
    while found.last() != Some(&last) {
        assert!(*found.last().unwrap() < last, "{last} never came");
        found.push(message(&mut set).await.seq);
    }
    let known = known.lock();
    let first = found[0];
    assert!(first > own, "what this process stored before: {first}, {own}");
    for (seq, (stored, confirmed)) in known.range(..=last) {
        let came = found.binary_search(seq).is_ok();
        if *stored >= begun || *seq >= first {
            assert!(came, "{seq} never came, the first was {first}");
        } else if woke_at_once && *confirmed + grace < asked {
            assert!(!came, "{seq} was stored {:?} before", asked - *confirmed);
        }
    }
}

const ROUNDS: usize = 6;
const AT_ONCE: usize = 8;

/// `open` gives a bus that has not followed anything; `grace` is how old at most may be what comes.
async fn all_from_now_on(open: impl AsyncFn() -> Bus, grace: Duration) {
    let (writer, known, stop) = (open().await, Known::default(), Arc::new(AtomicBool::new(false)));
    let log = subject(&writer, "room", "z_r");
    let writing = tokio::spawn({
        let (bus, log, known, stop) = (writer.clone(), log.clone(), known.clone(), stop.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                write(&bus, &log, &known).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    for _ in 0..ROUNDS {
        let rounds = (0..AT_ONCE).map(|_| async {
            let bus = open().await;
            from_now_on(&bus, &writer, &log, &known, grace).await;
        });
        futures_util::future::join_all(rounds).await;
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    println!("{} followers beside {} messages", ROUNDS * AT_ONCE, known.lock().len());
}

async fn from_now_on_at(servers: &[NatsServer], pool: usize, grace: Duration) {
    let config = NatsConfig { pool, ..config(servers) };
    // A cluster takes some time until it can store anything.
    drop(connect(servers).await);
    let open = async || Bus::new(Nats::connect(config.clone(), registry()).await.unwrap(), registry());
    all_from_now_on(open, grace).await;
}

/// Some round trips, on a machine that does other things as well.
const GRACE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_now_on_is_from_now_on_at_the_oldest() {
    from_now_on_at(&[NatsServer::start(oldest_nats()).unwrap()], 1, GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_now_on_is_from_now_on_at_the_newest() {
    from_now_on_at(&[NatsServer::start(newest_nats()).unwrap()], 3, GRACE).await;
}

/// Replicas store what was given its time before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_now_on_is_from_now_on_at_three() {
    let servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    from_now_on_at(&servers, 1, Duration::from_secs(1) + GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_now_on_is_from_now_on_in_the_process() {
    let bus = Bus::new(Embedded::open(EmbeddedConfig::default()).unwrap(), registry());
    all_from_now_on(async || bus.clone(), Duration::ZERO).await;
}

/// What was stored seconds before, by another process and with nothing since, does not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_long_before_comes() {
    for version in [oldest_nats(), newest_nats()] {
        let servers = [NatsServer::start(version).unwrap()];
        let (_other, other) = connect(&servers).await;
        let config = NatsConfig { sweep_every: Duration::from_secs(3_600), ..config(&servers) };
        let bus = Bus::new(Nats::connect(config, registry()).await.unwrap(), registry());
        let room = subject(&bus, "room", "z_r");
        tokio::time::sleep(Duration::from_millis(500)).await;
        for number in 1..=5 {
            assert_eq!(append(&other, &room, "before").await, number);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut set = bus.follow(&room, From::New);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(set.try_next().is_none(), "{version}");
        assert_eq!(append(&other, &room, "now").await, 6);
        let found = message(&mut set).await;
        assert_eq!((found.seq, found.prev), (6, 5), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_place_comes_all_with_its_holes() {
    const FAR: u64 = 1_200;
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_other, other) = connect(&servers).await;
    let (room, zone) = (subject(&other, "room", "z_r"), subject(&other, "zone", "z"));
    for number in 1..=FAR {
        assert_eq!(append(&other, if number % 2 == 1 { &room } else { &zone }, "x").await, number);
    }
    other.trim(&room, 1_001).await.unwrap();
    for (after, hole) in [(0, Some(1_003)), (999, Some(1_003)), (1_001, None), (FAR - 2, None), (FAR, None)] {
        let (_backend, bus) = connect(&servers).await;
        let mut set = bus.follow_set();
        set.add(room.clone(), From::After(after));
        set.add(zone.clone(), From::After(FAR - 20));
        let (mut rooms, mut zones, mut told) = (Vec::new(), Vec::new(), None);
        let end = append(&other, &room, "end").await;
        while rooms.last() != Some(&end) || zones.len() < 10 {
            match next(&mut set).await {
                Followed::Message(message) if message.subject == room => rooms.push(message.seq),
                Followed::Message(message) => zones.push(message.seq),
                Followed::Hole { after: from, first, .. } => {
                    assert_eq!(from, after);
                    assert!(rooms.is_empty(), "before what follows it");
                    told = Some(first);
                }
            }
        }
        assert_eq!(told, hole, "after {after}");
        let all = other.read(std::slice::from_ref(&room), after, 2_000).await.unwrap();
        assert_eq!(rooms, all.iter().map(|one| one.seq).collect::<Vec<_>>(), "after {after}");
        assert_eq!(zones, (FAR - 19..=FAR).filter(|seq| seq % 2 == 0).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_life_of_the_stream_while_nothing_is_heard() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let room = subject(&bus, "room", "z_r");
    append(&bus, &room, "kept").await;
    servers[0].kill().unwrap();
    servers[0].keep_copy().unwrap();
    servers[0].restart().unwrap();
    for waking in [false, true] {
        let epoch = bus.epoch();
        for number in 2..10 {
            assert_eq!(append(&bus, &room, "lost").await, number);
        }
        servers[0].kill().unwrap();
        // Asleep when it begins, or about to hear.
        let before = waking.then(|| bus.follow(&room, From::After(9)));
        servers[0].go_back().unwrap();
        servers[0].restart().unwrap();
        let begun = Instant::now();
        while bus.epoch() == epoch {
            assert!(begun.elapsed() < Duration::from_secs(40), "it is found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Some(mut set) = before {
            let told = next(&mut set).await;
            assert!(matches!(told, Followed::Hole { after: 9, first: 2, .. }), "{told:?}");
            assert_eq!(append(&bus, &room, "new").await, 2);
            assert_eq!(message(&mut set).await.seq, 2);
        }
    }
    let (mut new, mut all) = (bus.follow(&room, From::New), bus.follow(&room, From::After(0)));
    assert_eq!(append(&bus, &room, "newer").await, 3);
    assert_eq!(message(&mut new).await.seq, 3);
    for number in 1..=3 {
        assert_eq!(message(&mut all).await.seq, number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_the_server_is_away_waits_for_it() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let pool = NatsConfig { pool: 2, ..config(&servers) };
    let bus = Bus::new(Nats::connect(pool, registry()).await.unwrap(), registry());
    let (_other, other) = connect(&servers).await;
    let room = subject(&bus, "room", "z_r");
    for number in 1..=3 {
        assert_eq!(append(&other, &room, "before").await, number);
    }
    servers[0].kill().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut new, mut all) = (bus.follow(&room, From::New), bus.follow(&room, From::After(0)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    servers[0].restart().unwrap();
    assert_eq!(append(&other, &room, "after").await, 4);
    assert_eq!(message(&mut new).await.seq, 4);
    for number in 1..=4 {
        assert_eq!(message(&mut all).await.seq, number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_ends_while_it_wakes() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let room = subject(&bus, "room", "z_r");
    append(&bus, &room, "before").await;
    servers[0].kill().unwrap();
    let mut set = bus.follow(&room, From::New);
    let begun = Instant::now();
    let (_, ended) = tokio::join!(bus.drain(Duration::from_millis(500)), set.next());
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
