//! Workers, some of whose work makes them panic, hang, nak for ever or can never be done: everything that was taken is done
//! at least once, or is a dead letter, once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tidings_bus::{Bus, DeadLetter, Delivery, ErrorKind, Failure, HandlerConfig, Work, WorkConfig};
use tokio::task::JoinHandle;

use super::{PACE, Stage, number, subject, text};
use crate::pulse::{Pulse, Verb};

/// How long what waits may take to be worked off at the end.
const DONE_WITHIN: Duration = Duration::from_secs(20);
/// Work that fails, of so many.
const OF: u64 = 50;

#[derive(Default)]
struct Known {
    taken: HashSet<u64>,
    unsure: HashSet<u64>,
    done: HashMap<u64, u64>,
}

pub struct Works {
    known: Arc<Mutex<Known>>,
    work: Work,
    workers: Vec<JoinHandle<()>>,
    stop: tokio_util::sync::CancellationToken,
}

fn is_bad(turn: u64) -> bool {
    matches!(turn % OF, 3 | 13 | 23 | 33)
}

async fn handle(delivery: Delivery, known: Arc<Mutex<Known>>, pulse: Arc<Pulse>) -> Result<(), Failure> {
    let line = text(&delivery.payload);
    let turn = number(line, 0);
    match turn % OF {
        // Without a word from the hook: this is not what a reader looks for.
        3 => std::panic::resume_unwind(Box::new(format!("work {turn}"))),
        13 => std::future::pending().await,
        23 => Err(Failure::again("never")),
        33 => Err(Failure::never("impossible")),
        _ => {
            *known.lock().done.entry(turn).or_default() += 1;
            pulse.beat(Duration::from_millis(number(line, 1)));
            Ok(())
        }
    }
}

fn queue(bus: &Bus) -> Work {
    let settings =
        WorkConfig { ack_wait: Duration::from_secs(4), deliveries_max: 3, ..WorkConfig::default() };
    bus.work(&subject(bus, "work", "q"), &subject(bus, "dlq", "q"), settings).expect("the registry has it")
}

pub fn start(stage: &Arc<Stage>, buses: &[Bus], tasks: &mut Vec<JoinHandle<()>>) -> Works {
    let known = Arc::new(Mutex::new(Known::default()));
    let stop = tokio_util::sync::CancellationToken::new();
    let pulse = stage.pulse(Verb::Consume, "the workers");
    let quick = HandlerConfig {
        concurrency: 8,
        deadline: Duration::from_millis(500),
        extend_every: Duration::from_millis(250),
        nak_first: Duration::from_millis(20),
        nak_most: Duration::from_millis(100),
    };
    let workers = buses[1..].iter().map(|bus| {
        let (work, config, stop) = (queue(bus), quick.clone(), stop.clone());
        let (known, pulse) = (known.clone(), pulse.clone());
        tokio::spawn(async move {
            let handler = move |delivery| handle(delivery, known.clone(), pulse.clone());
            work.handle(config, stop, handler).await.expect("the settings hold");
        })
    });
    let workers = workers.collect();
    let work = queue(&buses[0]);
    let (stage, noted, to) = (stage.clone(), known.clone(), work.clone());
    tasks.push(tokio::spawn(async move {
        let mut turn = 0;
        while stage.rest(PACE).await {
            turn += 1;
            let line = format!("{turn} {}", stage.now_ms());
            let outcome = to.enqueue(Bytes::from(line), Vec::new()).await;
            let mut known = noted.lock();
            match outcome {
                Ok(_) => drop(known.taken.insert(turn)),
                Err(error) => {
                    stage.error(Verb::Consume, error.kind());
                    if error.kind() == ErrorKind::Timeout {
                        known.unsure.insert(turn);
                    }
                }
            }
        }
    }));
    Works { known, work, workers, stop }
}

impl Works {
    /// Lets what waits be worked off, and compares.
    pub async fn check(self, stage: &Stage, bus: &Bus) {
        let begun = Instant::now();
        let mut depth = self.work.depth().await;
        while !matches!(depth, Ok(0)) && begun.elapsed() < DONE_WITHIN {
            tokio::time::sleep(Duration::from_millis(50)).await;
            depth = self.work.depth().await;
        }
        // Servers of the oldest line were seen to keep places of work that is done, after the leader was frozen. Whether all
        // is done is looked at below, one by one.
        if !matches!(depth, Ok(0)) {
            println!("work: {depth:?} places are still held after {:?}", begun.elapsed());
        }
        self.stop.cancel();
        for worker in self.workers {
            worker.await.expect("workers end");
        }
        let letters =
            bus.read(&[subject(bus, "dlq", "q")], 0, usize::MAX).await.expect("letters can be read");
        let known = self.known.lock();
        let mut dead = HashSet::new();
        for letter in &letters {
            let letter = DeadLetter::decode(&letter.payload).expect("it is a letter");
            let turn = number(text(&letter.payload), 0);
            stage.verdict.refuse(!dead.insert(turn), "two letters of one", || turn.to_string());
        }
        for turn in &known.taken {
            let done = known.done.contains_key(turn) || dead.contains(turn);
            stage.verdict.refuse(!done, "work that was taken and is lost", || turn.to_string());
            let undead = is_bad(*turn) && !dead.contains(turn);
            stage.verdict.refuse(undead, "bad work without a letter", || turn.to_string());
        }
        for turn in known.done.keys().chain(&dead) {
            let nobody = !known.taken.contains(turn) && !known.unsure.contains(turn);
            stage.verdict.refuse(nobody, "work that was refused and done", || turn.to_string());
        }
        println!(
            "work: {} taken, {} of unknown outcome, {} done, {} of them more than once, {} dead letters",
            known.taken.len(),
            known.unsure.len(),
            known.done.len(),
            known.done.values().filter(|times| **times > 1).count(),
            letters.len()
        );
    }
}
