//! What a process commits or asks, and hears itself, is checked once: on its way out.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{
    Asker, Bus, BusConfig, Check, Class, Embedded, EmbeddedConfig, Error, Followed, From, Pattern, Registry,
    SlowReader, Subject, TemplateDef,
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
    ];
    Arc::new(Registry::new(None, templates).unwrap())
}

/// Takes no notice of answers.
struct Nobody;

impl Asker for Nobody {
    fn answered(&self, _: u64, _: Result<Bytes, Error>) {}
}

/// A handle, and how often its registry has checked something since it was last asked.
struct Side {
    bus: Bus,
    runs: Arc<AtomicUsize>,
}

impl Side {
    fn new(backend: &Arc<Embedded>, config: BusConfig) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        Self { bus: Bus::with_config(backend.clone(), registry(&runs), config), runs }
    }

    fn subject(&self, name: &str) -> Subject {
        self.bus.registry().subject(name, &["a"]).unwrap()
    }

    fn ran(&self) -> usize {
        self.runs.swap(0, Ordering::SeqCst)
    }
}

/// Sends `payload` by every way, and answers how many messages came.
async fn send(from: &Side, to: &Side, payload: &'static [u8]) -> usize {
    let payload = Bytes::from_static(payload);
    let asked = Pattern::from(&to.subject("ask"));
    let mut asked = to.bus.queue_subscribe(&asked, "g", 8).await.unwrap();
    let mut followed = to.bus.follow(&to.subject("log"), From::New);
    from.bus.ask(&from.subject("ask"), payload.clone(), Vec::new(), DEADLINE, Arc::new(Nobody), 1);
    let answered = asked.try_next().map(|message| message.respond(Bytes::new()).unwrap()).is_some();
    let logged = from.bus.append(&from.subject("log"), payload).await.is_ok();
    let told = matches!(followed.try_next(), Some(Ok(Followed::Message(_))));
    usize::from(answered) + usize::from(logged && told)
}

fn embedded(tail_bytes: usize) -> Arc<Embedded> {
    Embedded::open(EmbeddedConfig { tail_bytes, ..EmbeddedConfig::default() }).unwrap()
}

const LOOSE: fn() -> BusConfig = || BusConfig { check_outbound: false, ..BusConfig::default() };
const DEADLINE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn what_a_process_sends_itself_is_checked_on_its_way_out_alone() {
    let one = Side::new(&embedded(1 << 20), BusConfig::default());
    assert_eq!((send(&one, &one, b"fine").await, one.ran()), (2, 2));
    assert_eq!((send(&one, &one, b"bad").await, one.ran()), (0, 2), "refused there");
    let stored = one.bus.read(&[one.subject("log")], 0, 9).await.unwrap();
    assert_eq!((stored.len(), one.ran()), (1, 0));
}

#[tokio::test]
async fn what_nobody_has_checked_is_checked_where_it_arrives() {
    let one = Side::new(&embedded(1 << 20), LOOSE());
    assert_eq!((send(&one, &one, b"bad").await, one.ran()), (0, 2), "refused where they arrive");
    assert_eq!((send(&one, &one, b"fine").await, one.ran()), (2, 2));
    let stored = one.bus.read(&[one.subject("log")], 0, 9).await.unwrap();
    assert_eq!((stored.len(), one.ran()), (1, 2));
}

#[tokio::test]
async fn one_registry_does_not_vouch_for_another() {
    let backend = embedded(1 << 20);
    let one = Side::new(&backend, BusConfig::default());
    assert_eq!((send(&one, &one, b"fine").await, one.ran()), (2, 2));
    // Made when the message was stored already.
    let other = Side::new(&backend, BusConfig::default());
    assert_eq!(other.bus.read(&[other.subject("log")], 0, 9).await.unwrap().len(), 1);
    assert_eq!(other.ran(), 1);
    let mut followed = other.bus.follow(&other.subject("log"), From::After(0));
    assert!(matches!(followed.next().await, Ok(Followed::Message(_))));
    assert_eq!(other.ran(), 1);
    assert_eq!((send(&one, &other, b"fine").await, one.ran(), other.ran()), (2, 2, 2));
}

#[tokio::test]
async fn what_comes_from_the_disk_is_checked() {
    // Of its messages nothing stays in memory.
    let one = Side::new(&embedded(1), BusConfig::default());
    one.bus.append(&one.subject("log"), Bytes::from_static(b"fine")).await.unwrap();
    assert_eq!((one.ran(), one.bus.read(&[one.subject("log")], 0, 9).await.unwrap().len()), (1, 1));
    assert_eq!(one.ran(), 1);
}
