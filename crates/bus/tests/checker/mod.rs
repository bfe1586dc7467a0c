//! Compares what was confirmed with what is stored and with what a follower was told: counts losses, duplicates,
//! disorder.

#![allow(dead_code, reason = "not every test uses all of it")]

pub mod counters;
pub mod servers;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tidings_bus::{
    Append, Bus, Class, Error, ErrorKind, Fence, FollowSet, Followed, From, Registry, SlowReader, Subject,
    TemplateDef,
};

/// The registry of the fault tests.
pub fn registry() -> Arc<Registry> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 4_096,
        slow: SlowReader::DropNewest,
        check: None,
        wide: None,
    };
    let templates = vec![
        row("room", "room.{room:place}.log", Class::Durable),
        row("owner", "zone.{zone:slug}.owner", Class::Durable),
        row("zone", "zone.{zone:slug}.log", Class::Durable),
        row("say", "say.{to:token}", Class::Ephemeral),
        row("ask", "ask.{what:slug}", Class::Request),
        row("work", "work.{queue:slug}", Class::Work),
        row("dlq", "dlq.{queue:slug}", Class::Durable),
    ];
    Arc::new(Registry::new(Some("w"), templates).unwrap())
}

/// A world's writers: each zone commits under its fence, one commit at a time, by turns one event and several.
pub struct World {
    bus: Bus,
    stop: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    pub rooms: Vec<Subject>,
}

/// What the writers know.
#[derive(Default)]
pub struct Written {
    /// Text by the sequence that was confirmed.
    confirmed: HashMap<u64, String>,
    /// Texts of commits of which nothing is known.
    unsure: HashSet<String>,
    /// Errors by kind.
    errors: HashMap<ErrorKind, usize>,
    /// The longest time a commit took.
    slowest: Duration,
}

impl World {
    /// Starts `zones` writers.
    pub async fn start(bus: &Bus, zones: usize) -> Self {
        let (stop, written): (Arc<AtomicBool>, Arc<Mutex<Written>>) = Default::default();
        let mut rooms = Vec::new();
        let mut tasks = Vec::new();
        for zone in 0..zones {
            let name = format!("z{zone}");
            let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
            let logs = [
                subject("zone", &name),
                subject("room", &format!("{name}_a")),
                subject("room", &format!("{name}_b")),
            ];
            rooms.extend(logs.iter().cloned());
            let owner = subject("owner", &name);
            let seq = bus.append(&owner, Bytes::from("me")).await.unwrap();
            let writer = Writer {
                bus: bus.clone(),
                stop: stop.clone(),
                written: written.clone(),
                name,
                fence: Fence { subject: owner, seq },
                logs,
            };
            tasks.push(tokio::spawn(writer.run()));
        }
        Self { bus: bus.clone(), stop, written, tasks, rooms }
    }

    pub fn confirmed(&self) -> usize {
        self.written.lock().confirmed.len()
    }

    /// Waits until so many more messages are confirmed.
    pub async fn go_on(&self, more: usize) {
        let target = self.confirmed() + more;
        let begun = Instant::now();
        while self.confirmed() < target {
            assert!(begun.elapsed() < Duration::from_secs(60), "it goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the writers and compares; `heard` followed all rooms from the start.
    pub async fn check(self, heard: &mut FollowSet, what: &str) {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap();
        }
        let stored = self.bus.read(&self.rooms, 0, usize::MAX).await.unwrap();
        let written = std::mem::take(&mut *self.written.lock());
        let mut seen = HashSet::new();
        let mut confirmed_and_stored = 0;
        for message in &stored {
            let text = std::str::from_utf8(&message.payload).unwrap();
            assert!(seen.insert(text.to_owned()), "{what}: '{text}' is stored twice");
            match written.confirmed.get(&message.seq) {
                Some(confirmed) => {
                    assert_eq!(confirmed, text, "{what}: {} was confirmed as another", message.seq);
                    confirmed_and_stored += 1;
                }
                None => assert!(written.unsure.contains(text), "{what}: '{text}' was never confirmed"),
            }
        }
        assert_eq!(confirmed_and_stored, written.confirmed.len(), "{what}: what was confirmed is stored");
        let mut before: HashMap<Subject, u64> = HashMap::new();
        let mut told = Vec::new();
        while told.len() < stored.len() {
            let next = tokio::time::timeout(Duration::from_secs(20), heard.next()).await;
            match next
                .unwrap_or_else(|_| panic!("{what}: {} of {} were told", told.len(), stored.len()))
                .unwrap()
            {
                Followed::Message(message) => {
                    let last = before.insert(message.subject.clone(), message.seq).unwrap_or(0);
                    assert_eq!(message.prev, last, "{what}: no gap, nothing twice, in order");
                    told.push((message.seq, message.payload));
                }
                hole => panic!("{what}: {hole:?}"),
            }
        }
        assert!(heard.try_next().is_none(), "{what}: more was told than is stored");
        told.sort_unstable();
        let expected: Vec<_> = stored.into_iter().map(|message| (message.seq, message.payload)).collect();
        assert_eq!(told, expected, "{what}: told is what is stored");
        println!(
            "{what}: {} confirmed, stored and told; {} of unknown outcome; slowest commit {:?}; errors {:?}",
            written.confirmed.len(),
            written.unsure.len(),
            written.slowest,
            written.errors
        );
    }
}

/// A follower of all logs of `zones` writers, from the start.
pub fn follow(bus: &Bus, rooms: &[Subject]) -> FollowSet {
    let mut set = bus.follow_set();
    for room in rooms {
        set.add(room.clone(), From::After(0));
    }
    set
}

struct Writer {
    bus: Bus,
    stop: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
    name: String,
    fence: Fence,
    logs: [Subject; 3],
}

impl Writer {
    async fn run(self) {
        for round in 0_u64.. {
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let count = if round.is_multiple_of(2) { 1 } else { 3 };
            let texts: Vec<String> =
                (0..count).map(|place| format!("{}-{round}-{place}", self.name)).collect();
            let batch = texts
                .iter()
                .zip(&self.logs)
                .map(|(text, log)| Append { subject: log.clone(), payload: Bytes::from(text.clone()) });
            let begun = Instant::now();
            let outcome = self.bus.commit(batch.collect(), vec![self.fence.clone()]).await;
            self.note(texts, outcome, begun.elapsed());
        }
    }

    fn note(&self, texts: Vec<String>, outcome: Result<tidings_bus::Committed, Error>, took: Duration) {
        let mut written = self.written.lock();
        written.slowest = written.slowest.max(took);
        match outcome {
            Ok(committed) => {
                assert_eq!(committed.last - committed.first + 1, texts.len() as u64);
                written.confirmed.extend((committed.first..).zip(texts));
            }
            Err(error) => {
                *written.errors.entry(error.kind()).or_default() += 1;
                assert_ne!(error.kind(), ErrorKind::Fenced, "nobody else owns it: {error}");
                if error.kind() == ErrorKind::Timeout {
                    written.unsure.extend(texts);
                }
            }
        }
    }
}
