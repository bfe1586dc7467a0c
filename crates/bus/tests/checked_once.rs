//! What a process sends and receives itself is checked once, as long as everybody in it checks what they send.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{
    Bus, BusConfig, Check, Class, Embedded, EmbeddedConfig, Followed, From, Pattern, Registry, SlowReader,
    TemplateDef,
};

fn registry(runs: &Arc<AtomicUsize>) -> Arc<Registry> {
    let row = |name, template, class| {
        let runs = Arc::clone(runs);
        let check = Check::new(move |payload| {
            runs.fetch_add(1, Ordering::SeqCst);
            if payload == b"bad" { Err("it is bad".to_owned()) } else { Ok(()) }
        });
        let (message, slow, wide) = ("t.Message", SlowReader::Refuse, None);
        TemplateDef { name, template, class, message, max_payload: 1_024, slow, check: Some(check), wide }
    };
    let templates = vec![
        row("log", "room.{room:slug}.log", Class::Durable),
        row("ask", "ask.{what:slug}", Class::Request),
        row("say", "say.{to:slug}", Class::Ephemeral),
    ];
    Arc::new(Registry::new(None, templates).unwrap())
}

fn pattern(bus: &Bus, name: &str) -> Pattern {
    Pattern::from(&bus.registry().subject(name, &["a"]).unwrap())
}

/// Sends `payload` by every way, and answers how many messages came.
async fn send(from: &Bus, to: &Bus, payload: &'static [u8]) -> usize {
    let payload = Bytes::from_static(payload);
    let subject = |name| from.registry().subject(name, &["a"]).unwrap();
    let mut said = to.subscribe(&pattern(to, "say"), 8).await.unwrap();
    let mut asked = to.queue_subscribe(&pattern(to, "ask"), "g", 8).await.unwrap();
    let mut followed = to.follow(&to.registry().subject("log", &["a"]).unwrap(), From::New);
    let _ = from.publish(&subject("say"), payload.clone(), Vec::new()).await;
    let ask = subject("ask");
    let asking = from.request(&ask, payload.clone(), Vec::new(), Duration::from_millis(20));
    let answering = async {
        let message = tokio::time::timeout(Duration::from_millis(20), asked.next()).await.ok().flatten();
        message.map(|message| message.respond(Bytes::new()).unwrap()).is_some()
    };
    let (_, answered) = tokio::join!(asking, answering);
    let logged = from.append(&subject("log"), payload).await.is_ok()
        && matches!(followed.try_next(), Some(Ok(Followed::Message(_))));
    usize::from(said.try_next().is_some()) + usize::from(answered) + usize::from(logged)
}

#[tokio::test]
async fn what_a_process_sends_itself_is_checked_once_unless_somebody_does_not_check() {
    let runs = Arc::new(AtomicUsize::new(0));
    let (backend, registry) = (Embedded::open(EmbeddedConfig::default()).unwrap(), registry(&runs));
    let bus = Bus::new(backend.clone(), Arc::clone(&registry));
    let ran = || runs.swap(0, Ordering::SeqCst);
    assert_eq!((send(&bus, &bus, b"fine").await, ran()), (3, 3), "on their way out alone");
    assert_eq!((send(&bus, &bus, b"bad").await, ran()), (0, 3), "refused there");

    let config = BusConfig { check_outbound: false, ..BusConfig::default() };
    let loose = Bus::with_config(backend, registry, config);
    assert_eq!((send(&loose, &bus, b"bad").await, ran()), (0, 3), "refused where they arrive");
    assert_eq!((send(&loose, &bus, b"fine").await, ran()), (3, 3));
    assert_eq!((send(&bus, &bus, b"fine").await, ran()), (3, 6), "on both ways from now on");
}

#[tokio::test]
async fn by_another_registry_it_is_checked_again() {
    let (runs, others) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = Embedded::open(EmbeddedConfig::default()).unwrap();
    let bus = Bus::new(backend.clone(), registry(&runs));
    let other = Bus::new(backend, registry(&others));
    assert_eq!(send(&bus, &other, b"fine").await, 3);
    assert_eq!(runs.load(Ordering::SeqCst) + others.load(Ordering::SeqCst), 6);
}
