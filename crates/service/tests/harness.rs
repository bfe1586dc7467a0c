//! Calls over the embedded bus: what callers are told, whatever the handler does.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use tidings_bus::{Bus, Embedded, EmbeddedConfig, Pattern};
use tidings_protocol::proto::services::v1::{Empty, Ticket};
use tidings_protocol::proto::world::v1::{self as world, ZoneReply, ZoneRequest, zone_reply};
use tidings_protocol::{ErrorCode, ZoneId};
use tidings_service::{CallContext, CallError, Caller, Health, Lease, Server, Subjects, declare, subjects};
use tokio::sync::{Notify, Semaphore};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

fn bus() -> Bus {
    let backend = Embedded::open(declare(EmbeddedConfig::default())).unwrap();
    Bus::new(backend, Arc::new(subjects::registry(None).unwrap()))
}

fn ticket(number: u32) -> Ticket {
    Ticket { ticket: "t".into(), expires_in: number }
}

async fn call(caller: &Caller, method: &str, number: u32) -> Result<u32, CallError> {
    let answer: Ticket = caller.call("desk", method, &ticket(number), SECOND).await?;
    Ok(answer.expires_in)
}

fn code(result: Result<u32, CallError>) -> ErrorCode {
    result.unwrap_err().code
}

async fn double(_: CallContext, request: Ticket) -> Result<Ticket, CallError> {
    Ok(ticket(request.expires_in * 2))
}

async fn refuse(_: CallContext, _: Ticket) -> Result<Ticket, CallError> {
    Err(CallError::new(ErrorCode::RateLimited, "Not so fast.").after(SECOND))
}

async fn panics(_: CallContext, request: Ticket) -> Result<Ticket, CallError> {
    assert!(request.expires_in > 100, "a handler's mistake");
    Ok(request)
}

/// It panics before there is a future.
fn panics_early(_: CallContext, request: Ticket) -> std::future::Ready<Result<Ticket, CallError>> {
    assert!(request.expires_in > 100, "a handler's mistake");
    std::future::ready(Ok(request))
}

#[tokio::test]
async fn a_call_has_its_answer_or_its_error() {
    let bus = bus();
    let caller = Caller::new(bus.clone());
    assert_eq!(code(call(&caller, "double", 1).await), ErrorCode::Unavailable, "nobody serves yet");
    let server = Server::new(bus.clone(), "desk")
        .method("double", double)
        .method("refuse", refuse)
        .method("panic", panics)
        .method("panic-early", panics_early);
    let _handle = server.start().await.unwrap();
    assert_eq!(call(&caller, "double", 21).await, Ok(42));
    let refused = call(&caller, "refuse", 1).await.unwrap_err();
    assert_eq!((refused.message.as_str(), refused.retry_after), ("Not so fast.", Some(SECOND)));
    assert!(refused.is_retryable());
    for method in ["panic", "panic-early"] {
        assert_eq!(code(call(&caller, method, 1).await), ErrorCode::Internal);
        assert_eq!(call(&caller, method, 101).await, Ok(101), "and the service goes on");
    }
    assert_eq!(code(call(&caller, "missing", 1).await), ErrorCode::Unimplemented);
    assert_eq!(code(call(&caller, "Not.A.*", 1).await), ErrorCode::InvalidArgument);
    let nonsense = Subjects(bus.registry()).service("desk", "double").unwrap();
    let answer = bus.request(&nonsense, b"\xff\xff"[..].into(), Vec::new(), SECOND).await.unwrap();
    assert_eq!(answer[0], 1, "an error");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_travels_and_ends_the_handler() {
    let bus = bus();
    let caller = Caller::new(bus.clone());
    let ended = Arc::new(AtomicUsize::new(0));
    struct Ends(Arc<AtomicUsize>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = Arc::clone(&ended);
    let server = Server::new(bus, "desk").method("sleep", move |call: CallContext, request: Ticket| {
        let ends = Ends(Arc::clone(&count));
        async move {
            assert!(call.remaining() <= SECOND, "{:?}", call.remaining());
            tokio::time::sleep(LONG).await;
            drop(ends);
            Ok::<_, CallError>(request)
        }
    });
    let _handle = server.start().await.unwrap();
    assert_eq!(code(call(&caller, "sleep", 1).await), ErrorCode::DeadlineExceeded);
    tokio::time::sleep(SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1, "the handler does not outlive its deadline");
}

#[tokio::test]
async fn no_more_run_at_once_than_allowed_and_the_queue_is_bounded() {
    let bus = bus();
    let caller = Caller::new(bus.clone());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (now, peak, door) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&gate));
    let server = Server::new(bus, "desk").concurrency(3).method("wait", move |_: CallContext, _: Empty| {
        let (now, peak, door) = (Arc::clone(&now), Arc::clone(&peak), Arc::clone(&door));
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            drop(door.acquire().await.unwrap());
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, CallError>(Empty {})
        }
    });
    let _handle = server.start().await.unwrap();
    let calls: Vec<_> = (0..tidings_service::server::WAITING_MAX + 100)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call::<_, Empty>("desk", "wait", &Empty {}, LONG).await })
        })
        .collect();
    // The refused ones answer while the others wait.
    while calls.iter().filter(|call| call.is_finished()).count() < 90 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    let mut refused = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(Empty {}) => {}
            Err(error) => {
                assert_eq!(error.code, ErrorCode::ResourceExhausted);
                assert!(error.retry_after.is_some());
                refused += 1;
            }
        }
    }
    assert!((90..=100).contains(&refused), "{refused}");
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_drain_waits_for_what_is_in_flight_and_then_gives_up() {
    for (finishes, abandoned) in [(true, 0), (false, 1)] {
        let bus = bus();
        let caller = Caller::new(bus.clone());
        let health = Health::new();
        let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, gate) = (Arc::clone(&started), Arc::clone(&go));
        let server =
            Server::new(bus, "desk").health(&health).method("wait", move |_: CallContext, t: Ticket| {
                let (told, gate) = (Arc::clone(&told), Arc::clone(&gate));
                async move {
                    told.notify_one();
                    gate.notified().await;
                    Ok::<_, CallError>(t)
                }
            });
        let handle = server.start().await.unwrap();
        assert!(health.is_ready());
        let other = caller.clone();
        let call_in_flight = tokio::spawn(async move {
            other.call::<_, Ticket>("desk", "wait", &ticket(7), LONG).await.map(|t| t.expires_in)
        });
        started.notified().await;
        let deadline = if finishes { LONG } else { Duration::from_millis(20) };
        let drain = tokio::spawn(async move { handle.drain(deadline).await });
        while health.is_ready() {
            tokio::task::yield_now().await;
        }
        assert_eq!(health.states()[0].1.reason, "draining");
        if finishes {
            go.notify_one();
        }
        assert_eq!(drain.await.unwrap().abandoned, abandoned);
        let answer = call_in_flight.await.unwrap();
        if finishes {
            assert_eq!(answer, Ok(7));
        } else {
            assert_eq!(code(answer), ErrorCode::Unavailable);
        }
        assert_eq!(code(call(&caller, "wait", 1).await), ErrorCode::Unavailable, "nothing new is taken");
    }
}

/// However many there are: more than a task may take before others have their turn.
#[tokio::test]
async fn what_came_before_a_drain_is_answered() {
    const CALLS: u32 = 200;
    let bus = bus();
    let caller = Caller::new(bus.clone());
    let handle = Server::new(bus, "desk").concurrency(256).method("double", double).start().await.unwrap();
    tokio::task::yield_now().await;
    let mut calls: Vec<_> = (0..CALLS).map(|number| Box::pin(call(&caller, "double", number))).collect();
    for call in &mut calls {
        assert!(futures_util::poll!(call).is_pending(), "it waits in the queue");
    }
    let (answers, drained) = tokio::join!(futures_util::future::join_all(calls), handle.drain(LONG));
    assert_eq!(drained.abandoned, 0);
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Ok(u32::try_from(number).unwrap() * 2));
    }
}

#[tokio::test]
async fn a_zones_refusal_is_an_error_and_its_answer_is_not() {
    let bus = bus();
    let caller = Caller::new(bus.clone());
    let zone: ZoneId = "town".parse().unwrap();
    let subject = Subjects(bus.registry()).zone_commands(&zone).unwrap();
    let mut requests = bus.queue_subscribe(&Pattern::from(&subject), "zone", 10).await.unwrap();
    let host = tokio::spawn(async move {
        let refusal: world::Refusal = CallError::unavailable("Changing hands.").after(SECOND).into();
        let answers = [
            Some(zone_reply::Answer::Done(world::Done {})),
            Some(zone_reply::Answer::Refusal(refusal)),
            None,
        ];
        for answer in answers {
            let message = requests.next().await.unwrap();
            message.respond(ZoneReply { answer }.encode_to_vec().into()).unwrap();
        }
    });
    let empty = ZoneRequest::default();
    let ask = || caller.zone(&zone, &empty, SECOND);
    assert_eq!(ask().await, Ok(zone_reply::Answer::Done(world::Done {})));
    let refused = ask().await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (ErrorCode::Unavailable, Some(SECOND)));
    assert_eq!(ask().await.unwrap_err().code, ErrorCode::Internal);
    host.await.unwrap();
    let started = Instant::now();
    assert_eq!(ask().await.unwrap_err().code, ErrorCode::Unavailable, "nobody owns it");
    assert!(started.elapsed() < SECOND);
}

/// A service over a lease, with a method that doubles, and one that waits at a gate and counts who came there.
async fn leased(
    bus: &Bus,
    lease: &Lease,
) -> (tidings_service::ServerHandle, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (door, count) = (Arc::clone(&gate), Arc::clone(&begun));
    let server = Server::new(bus.clone(), "desk").method("double", double);
    let server = server.method("wait", move |_: CallContext, request: Ticket| {
        let (door, count) = (Arc::clone(&door), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            door.acquire().await.unwrap().forget();
            Ok::<_, CallError>(request)
        }
    });
    (server.while_held(lease.clone()).start().await.unwrap(), gate, begun)
}

#[tokio::test]
async fn a_service_whose_lease_has_lapsed_answers_nothing() {
    let (bus, lease) = (bus(), Lease::until(Instant::now() + LONG));
    let (_handle, gate, begun) = leased(&bus, &lease).await;
    let caller = Caller::new(bus);
    assert_eq!(call(&caller, "double", 21).await, Ok(42));
    lease.extend(Instant::now());
    assert_eq!(code(call(&caller, "wait", 1).await), ErrorCode::Unavailable);
    assert_eq!(begun.load(Ordering::SeqCst), 0, "and begins nothing");
    tokio::time::timeout(SECOND, lease.doubted()).await.unwrap();
    lease.extend(Instant::now() + LONG);
    gate.add_permits(1);
    assert_eq!(call(&caller, "wait", 7).await, Ok(7), "it is held again");
}

#[tokio::test]
async fn what_was_begun_under_a_lease_is_not_answered_without_it() {
    let (bus, lease) = (bus(), Lease::until(Instant::now() + LONG));
    let (_handle, gate, begun) = leased(&bus, &lease).await;
    let caller = Caller::new(bus);
    let asking = tokio::spawn(async move { call(&caller, "wait", 7).await });
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    lease.extend(Instant::now());
    gate.add_permits(1);
    assert_eq!(code(asking.await.unwrap()), ErrorCode::Unavailable);
}
