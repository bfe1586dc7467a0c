//! The pool of connections over real servers: started in part, a member lost and repaired, all lost, order, and spreading.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_bus::resilience::State;
use tidings_bus::{Bus, ErrorKind, MemberView, Nats, NatsConfig, POOL_MAX, Pattern, Subject, Subscription};
use tidings_test_support::{NatsServer, Proxy, Wire, newest_nats};

use crate::checker::registry;

const SOON: Duration = Duration::from_secs(20);
/// Enough that each of four members has some, whatever their hashes.
const AUDIENCES: usize = 64;

fn config(servers: &[String], pool: usize) -> NatsConfig {
    let mut config = NatsConfig { servers: servers.to_vec(), pool, ..NatsConfig::default() };
    config.bus.reconnect_first = Duration::from_millis(20);
    config.bus.reconnect_most = Duration::from_millis(200);
    config
}

async fn connect(servers: &[String], pool: usize) -> (Arc<Nats>, Bus) {
    let backend = Nats::connect(config(servers, pool), registry()).await.unwrap();
    (backend.clone(), Bus::new(backend, registry()))
}

/// Waits until it is so.
async fn until(nats: &Nats, what: &str, is_so: impl Fn(&[MemberView]) -> bool) {
    let begun = Instant::now();
    while !is_so(&nats.members()) {
        assert!(begun.elapsed() < SOON, "{what}: {:?}", nats.members());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the pool is so: a member is told of before the pool is.
async fn is(nats: &Nats, states: &[State]) {
    let mut watching = nats.states().watch();
    let reached = tokio::time::timeout(SOON, watching.until(|state| states.contains(state))).await;
    assert!(reached.is_ok(), "it is {}, and never {states:?}", nats.states().now());
}

fn up(members: &[MemberView]) -> usize {
    members.iter().filter(|member| member.state == State::Connected).count()
}

fn at_home(members: &[MemberView]) -> bool {
    members.iter().all(|member| member.carried_by == member.number)
}

fn audiences(bus: &Bus) -> Vec<Subject> {
    (0..AUDIENCES).map(|number| bus.registry().subject("say", &[&number.to_string()]).unwrap()).collect()
}

async fn hear_all(bus: &Bus) -> Subscription {
    bus.subscribe(&bus.registry().pattern("say", &[None]).unwrap(), 200_000).await.unwrap()
}

/// Every audience gets one message through.
async fn each_is_heard(bus: &Bus) {
    let mut heard = hear_all(bus).await;
    for audience in audiences(bus) {
        bus.publish(&audience, Bytes::from("x"), Vec::new()).await.unwrap();
    }
    for _ in 0..AUDIENCES {
        tokio::time::timeout(SOON, heard.next()).await.unwrap().unwrap();
    }
}

/// Numbers of each audience, as they are heard: they only ever grow. Answers how many came of each.
#[derive(Default)]
struct Order(HashMap<Subject, (u64, usize)>);

impl Order {
    fn hear(&mut self, message: &tidings_bus::Message) {
        let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        let (last, count) = self.0.entry(message.subject.clone()).or_default();
        assert!(number > *last, "{number} of '{}' came after {last}", message.subject);
        (*last, *count) = (number, *count + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_while_one_of_two_servers_is_down() {
    let (running, mut down) =
        (NatsServer::start(newest_nats()).unwrap(), NatsServer::start(newest_nats()).unwrap());
    down.kill().unwrap();
    let (nats, bus) = connect(&[running.url(), down.url()], 2).await;
    let members = nats.members();
    assert_eq!(up(&members), 2, "each found the one that runs: {members:?}");
    assert!(members[0].troubles.is_empty(), "{members:?}");
    let [(address, cause)] = members[1].troubles.as_slice() else { panic!("{members:?}") };
    assert_eq!(*address, down.url(), "the first address of the second member");
    assert!(cause.contains("refused"), "{cause}");
    is(&nats, &[State::Connected]).await;
    each_is_heard(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_at_all_is_connection_and_names_each() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap(), NatsServer::start(newest_nats()).unwrap()];
    servers.iter_mut().for_each(|server| server.kill().unwrap());
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    for pool in [1, 3] {
        let error = Nats::connect(config(&urls, pool), registry()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Connection);
        let told = error.to_string();
        assert!(urls.iter().all(|url| told.matches(url.as_str()).count() == 1), "{told}");
    }
    for pool in [0, POOL_MAX + 1] {
        let error = Nats::connect(config(&urls, pool), registry()).await.err().unwrap();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("nats.pool"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_with_what_it_has_and_repairs_the_rest() {
    let server = NatsServer::start_with(newest_nats(), "max_connections: 2", &[]).unwrap();
    let (nats, bus) = connect(&[server.url()], 4).await;
    let members = nats.members();
    assert_eq!(up(&members), 2, "{members:?}");
    is(&nats, &[State::Degraded]).await;
    for missing in members.iter().filter(|member| member.state != State::Connected) {
        let (address, cause) = &missing.troubles[0];
        assert!(*address == server.url() && cause.contains("maximum connections"), "{missing:?}");
        assert_ne!(missing.carried_by, missing.number);
    }
    each_is_heard(&bus).await;
    bus.append(&bus.registry().subject("room", &["a_b"]).unwrap(), Bytes::from("kept")).await.unwrap();
    server.reconfigure("max_connections: 100").unwrap();
    until(&nats, "repaired", |members| up(members) == 4 && at_home(members)).await;
    is(&nats, &[State::Connected]).await;
    each_is_heard(&bus).await;
}

/// Members are put out while everyone publishes, cannot come back for a while, and then can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_while_members_are_lost_and_repaired() {
    let server = NatsServer::start_with(newest_nats(), "max_connections: 100", &[]).unwrap();
    let (nats, bus) = connect(&[server.url()], 4).await;
    let mut heard = hear_all(&bus).await;
    let publishing = audiences(&bus).into_iter().map(|audience| {
        let bus = bus.clone();
        tokio::spawn(async move {
            for number in 1_u64.. {
                // What is refused is not heard: that is no disorder.
                let _ = bus.publish(&audience, Bytes::from(number.to_string()), Vec::new()).await;
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        })
    });
    let publishing: Vec<_> = publishing.collect();
    let listening = tokio::spawn(async move {
        let mut order = Order::default();
        while let Some(message) = heard.next().await {
            order.hear(&message);
        }
        order
    });
    for _ in 0..2 {
        server.reconfigure("max_connections: 2").unwrap();
        let moved = |members: &[MemberView]| up(members) == 2 && !at_home(members);
        until(&nats, "the others carry their audiences", moved).await;
        is(&nats, &[State::Degraded]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.reconfigure("max_connections: 100").unwrap();
        until(&nats, "they are back", |members| up(members) == 4 && at_home(members)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(!listening.is_finished(), "something came out of order");
    publishing.iter().for_each(tokio::task::JoinHandle::abort);
    bus.drain(Duration::from_secs(5)).await;
    let order = listening.await.unwrap();
    assert_eq!(order.0.len(), AUDIENCES);
}

/// A member is repaired while who carries its audiences says nothing: what that one still holds comes before what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audiences_stay_with_a_carrier_that_does_not_answer_until_it_does() {
    let server = NatsServer::start(newest_nats()).unwrap();
    let to = server.url().strip_prefix("nats://").unwrap().parse().unwrap();
    let (first, second) = (Proxy::start(to).await.unwrap(), Proxy::start(to).await.unwrap());
    let mut config = config(&[first.url(), second.url()], 2);
    config.bus.connect_wait = Duration::from_secs(1);
    let nats = Nats::connect(config, registry()).await.unwrap();
    let bus = Bus::new(nats.clone(), registry());
    assert_eq!(up(&nats.members()), 2);
    let (_, other) = connect(&[server.url()], 1).await;
    let mut heard = hear_all(&other).await;

    // The second has its connection and gets nothing through; nobody gets another.
    second.set(Wire::Stalled);
    first.set(Wire::Cut);
    until(&nats, "the second carries all", |members| members[0].carried_by == 1).await;
    for audience in audiences(&bus) {
        bus.publish(&audience, Bytes::from("1"), Vec::new()).await.unwrap();
    }
    first.set(Wire::Through);
    until(&nats, "the first is repaired", |members| members[0].state == State::Connected).await;
    until(&nats, "its audiences are on their way", at_home).await;
    until(&nats, "and stay where they were", |members| members[0].carried_by == 1).await;
    second.set(Wire::Through);
    until(&nats, "the second answers", at_home).await;
    for audience in audiences(&bus) {
        bus.publish(&audience, Bytes::from("2"), Vec::new()).await.unwrap();
    }
    let mut order = Order::default();
    for _ in 0..2 * AUDIENCES {
        order.hear(&tokio::time::timeout(SOON, heard.next()).await.unwrap().unwrap());
    }
    // They are on their way for a moment each time: now they are there.
    until(&nats, "all are back", |members| up(members) == 2 && at_home(members)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_lost_is_connection_and_all_come_back() {
    let mut server = NatsServer::start(newest_nats()).unwrap();
    let (nats, bus) = connect(&[server.url()], 3).await;
    server.kill().unwrap();
    until(&nats, "all are lost", |members| up(members) == 0).await;
    for audience in audiences(&bus) {
        let error = bus.publish(&audience, Bytes::new(), Vec::new()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Connection | ErrorKind::CircuitOpen), "{error:?}");
        assert!(error.is_retryable() && error.retry_after().is_some());
    }
    is(&nats, &[State::Reconnecting, State::CircuitOpen]).await;
    server.restart().unwrap();
    until(&nats, "all are back", |members| up(members) == 3 && at_home(members)).await;
    is(&nats, &[State::Connected]).await;
    each_is_heard(&bus).await;
    bus.append(&bus.registry().subject("room", &["a_b"]).unwrap(), Bytes::from("x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subjects_spread_over_the_members_and_each_keeps_its_order() {
    const EACH: u64 = 300;
    let server = NatsServer::start(newest_nats()).unwrap();
    let (nats, bus) = connect(&[server.url()], 4).await;
    let mut heard = hear_all(&bus).await;
    let publishing = audiences(&bus).into_iter().map(|audience| {
        let bus = bus.clone();
        tokio::spawn(async move {
            for number in 1..=EACH {
                bus.publish(&audience, Bytes::from(number.to_string()), Vec::new()).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    let publishing: Vec<_> = publishing.collect();
    let mut order = Order::default();
    for _ in 0..EACH as usize * AUDIENCES {
        order.hear(&tokio::time::timeout(SOON, heard.next()).await.unwrap().unwrap());
    }
    for one in publishing {
        one.await.unwrap();
    }
    assert!(order.0.values().all(|(last, count)| (*last, *count) == (EACH, EACH as usize)));
    // No member has more than twice its share, or less than half.
    let sent: Vec<u64> = nats.members().iter().map(|member| member.sent).collect();
    let share = EACH * AUDIENCES as u64 / 4;
    assert!(sent.iter().all(|sent| (share / 2..=share * 2).contains(sent)), "{sent:?}");
    // Requests go by all of them, too, and find their way back.
    for number in 0..AUDIENCES {
        let what = bus.registry().subject("ask", &[&format!("q{number}")]).unwrap();
        let mut questions = bus.queue_subscribe(&Pattern::from(&what), "g", 8).await.unwrap();
        let answering = tokio::spawn(async move {
            let question = questions.next().await.unwrap();
            let answer = question.payload.clone();
            question.respond(answer).unwrap();
        });
        let payload = Bytes::from(number.to_string());
        assert_eq!(bus.request(&what, payload.clone(), Vec::new(), SOON).await.unwrap(), payload);
        answering.await.unwrap();
    }
}
