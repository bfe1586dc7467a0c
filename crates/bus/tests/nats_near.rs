//! Requests of a process that one of its own groups serves go straight to it, past the servers; without room there, or once
//! it has gone, they find the others.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tidings_bus::resilience::breaker::Phase;
use tidings_bus::{Asker, Bus, Error, ErrorKind, Headers, IDEMPOTENCY_KEY, Pattern, Subject, Subscription};
use tidings_test_support::{NatsServer, newest_nats};
use tokio::sync::mpsc;

use crate::checker::servers::connect;

const SOON: Duration = Duration::from_secs(10);
const ONE: &[u8] = b"one";
const OTHER: &[u8] = b"other";

/// A subject that is asked for, of each process its bus.
async fn two(servers: &[NatsServer]) -> (Bus, Bus, Subject) {
    let (_, one) = connect(servers).await;
    let (_, other) = connect(servers).await;
    let subject = one.registry().subject("ask", &["x"]).unwrap();
    (one, other, subject)
}

fn headers() -> Headers {
    vec![("a".to_owned(), "b".to_owned())]
}

async fn ask(bus: &Bus, subject: &Subject) -> Result<Bytes, Error> {
    bus.request(subject, Bytes::from_static(b"?"), headers(), SOON).await
}

/// As after a member has gone, which the server may give one more before it knows.
async fn ask_by_key(bus: &Bus, subject: &Subject) -> Result<Bytes, Error> {
    let mut keyed = headers();
    keyed.push((IDEMPOTENCY_KEY.to_owned(), "k".to_owned()));
    bus.request(subject, Bytes::from_static(b"?"), keyed, SOON).await
}

/// Answers with a name for as long as it lives.
fn answer(mut requests: Subscription, name: &'static [u8]) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            assert!(request.headers.contains(&headers()[0]));
            assert!(request.time_left().is_some_and(|left| left > SOON / 2));
            request.respond(Bytes::from_static(name)).unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_near_is_asked_and_nobody_else_hears_of_it() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (one, other, subject) = two(&servers).await;
    let eavesdropper = async_nats::connect(servers[0].url()).await.unwrap();
    let mut heard = eavesdropper.subscribe(subject.as_str().to_owned()).await.unwrap();
    eavesdropper.flush().await.unwrap();
    let pattern = Pattern::from(&subject);
    let serving = answer(one.queue_subscribe_near(&pattern, "g", 8).await.unwrap(), ONE);
    let _far = answer(other.queue_subscribe(&pattern, "g", 8).await.unwrap(), OTHER);
    for _ in 0..50 {
        assert_eq!(ask(&one, &subject).await.unwrap(), ONE);
    }
    assert!(heard.next().now_or_never().is_none(), "it went over the server");
    // Who did not say that it is to be asked directly shares what there is.
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(ask(&other, &subject).await.unwrap());
    }
    assert!(answers.iter().any(|answer| answer == ONE) && answers.iter().any(|answer| answer == OTHER));
    assert!(tokio::time::timeout(SOON, heard.next()).await.unwrap().is_some());
    // Once it has gone, the others are asked.
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    assert_eq!(ask_by_key(&one, &subject).await.unwrap(), OTHER);
}

/// Asks until another one has answered; in between the full one may be met again, over the servers, and says so.
async fn another_answers(bus: &Bus, subject: &Subject) {
    for _ in 0..50 {
        match ask(bus, subject).await {
            Ok(answer) if answer == OTHER => return,
            Err(error) if error.kind() == ErrorKind::Overloaded => {}
            answer => panic!("{answer:?}"),
        }
    }
    panic!("nobody else was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_room_near_another_is_asked() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (one, other, subject) = two(&servers).await;
    let pattern = Pattern::from(&subject);
    let (asker, mut told) = Told::new();
    let full = one.queue_subscribe_near(&pattern, "g", 1).await.unwrap();
    one.ask(&subject, Bytes::new(), headers(), SOON, asker.clone(), 1);
    let _far = answer(other.queue_subscribe(&pattern, "g", 8).await.unwrap(), OTHER);
    another_answers(&one, &subject).await;
    // What waited there goes to the other when it closes, unseen.
    drop(full);
    for _ in 0..20 {
        assert_eq!(ask_by_key(&one, &subject).await.unwrap(), OTHER);
    }
    assert_eq!(next(&mut told).await, (1, Ok(Bytes::from_static(OTHER))));
    assert!(told.try_recv().is_err(), "told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asker_is_told_once_near_or_far() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (one, other, subject) = two(&servers).await;
    let pattern = Pattern::from(&subject);
    let (asker, mut told) = Told::new();
    let ask = |number| one.ask(&subject, Bytes::new(), headers(), SOON, asker.clone(), number);
    // Nobody here.
    let _far = answer(other.queue_subscribe(&pattern, "g", 8).await.unwrap(), OTHER);
    ask(1);
    assert_eq!(next(&mut told).await, (1, Ok(Bytes::from_static(OTHER))));
    let mut near = one.queue_subscribe_near(&pattern, "g", 8).await.unwrap();
    // Let go without an answer.
    ask(2);
    drop(near.next().await.unwrap());
    assert_eq!(next(&mut told).await, (2, Err(ErrorKind::Timeout)));
    let _near = answer(near, ONE);
    for number in 3..20 {
        ask(number);
        assert_eq!(next(&mut told).await, (number, Ok(Bytes::from_static(ONE))));
    }
    // A bus that drains takes no more, and says so.
    assert!(one.drain(SOON).await.is_clean());
    ask(20);
    assert_eq!(next(&mut told).await, (20, Err(ErrorKind::Closed)));
    assert!(told.try_recv().is_err(), "told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_a_try_like_any_other() {
    let mut servers = [NatsServer::start(newest_nats()).unwrap()];
    let (backend, bus) = connect(&servers).await;
    let subject = bus.registry().subject("ask", &["x"]).unwrap();
    let pattern = bus.registry().pattern_of("ask").unwrap();
    let phase = || {
        let all = backend.breakers();
        all.iter().find(|one| one.destination == subject.as_str()).map(|one| one.phase)
    };
    // Nobody serves it until its circuit opens: who comes then is asked at once.
    while phase() != Some(Phase::Open) {
        let nobody = bus.request(&subject, Bytes::new(), headers(), Duration::from_secs(2)).await;
        assert!(nobody.is_err());
    }
    let mut near = bus.queue_subscribe_near(&pattern, "g", 8).await.unwrap();
    assert_eq!(phase(), Some(Phase::Closed));

    // Let go, a request is tried again where a key tells that it is the same.
    let keyed = vec![(IDEMPOTENCY_KEY.to_owned(), "k".to_owned())];
    let asking = bus.request(&subject, Bytes::from_static(b"?"), keyed, Duration::MAX);
    let serving = async {
        drop(near.next().await.unwrap());
        let again = near.next().await.unwrap();
        assert_eq!(again.payload, "?");
        again.respond(Bytes::from_static(ONE)).unwrap();
    };
    let (answer, ()) = tokio::time::timeout(SOON, async { tokio::join!(asking, serving) }).await.unwrap();
    assert_eq!(answer.unwrap(), ONE);

    // Its deadline holds.
    let late = bus.request(&subject, Bytes::new(), headers(), Duration::from_millis(300)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(near.next().await.unwrap().time_left().unwrap().is_zero());

    // It needs no server.
    servers[0].kill().unwrap();
    let asking = bus.request(&subject, Bytes::new(), headers(), SOON);
    let serving = async { near.next().await.unwrap().respond(Bytes::from_static(ONE)).unwrap() };
    assert_eq!(tokio::join!(asking, serving).0.unwrap(), ONE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_groups_both_hear_of_it() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let subject = bus.registry().subject("ask", &["x"]).unwrap();
    let pattern = Pattern::from(&subject);
    let mut groups = Vec::new();
    for name in ["g", "h"] {
        groups.push(bus.queue_subscribe_near(&pattern, name, 8).await.unwrap());
    }
    let asking = bus.request(&subject, Bytes::new(), headers(), SOON);
    let serving = async {
        let (one, other) = (groups.pop().unwrap().next().await, groups.pop().unwrap().next().await);
        assert!(other.is_some());
        one.unwrap().respond(Bytes::from_static(ONE)).unwrap();
    };
    assert_eq!(tokio::join!(asking, serving).0.unwrap(), ONE);
}

/// The number of a request, and what became of it.
type Answer = (u64, Result<Bytes, ErrorKind>);

struct Told(mpsc::Sender<Answer>);

impl Told {
    fn new() -> (Arc<Self>, mpsc::Receiver<Answer>) {
        let (sender, told) = mpsc::channel(64);
        (Arc::new(Self(sender)), told)
    }
}

impl Asker for Told {
    fn answered(&self, number: u64, answer: Result<Bytes, Error>) {
        self.0.try_send((number, answer.map_err(|error| error.kind()))).unwrap();
    }
}

async fn next<T>(told: &mut mpsc::Receiver<T>) -> T {
    tokio::time::timeout(SOON, told.recv()).await.unwrap().unwrap()
}
