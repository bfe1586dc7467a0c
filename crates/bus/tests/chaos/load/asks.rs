//! Askers and those who answer: the right answer or an error, and no request is received twice that carries no key.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tidings_bus::{Bus, IDEMPOTENCY_KEY, Pattern};
use tokio::task::JoinHandle;

use super::{PACE, Stage, subject, text};
use crate::pulse::Verb;

/// How long an asker waits.
const DEADLINE: Duration = Duration::from_secs(4);

#[derive(Default)]
pub struct Asks {
    received: Arc<Mutex<HashMap<String, u64>>>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

pub async fn start(stage: &Arc<Stage>, buses: &[Bus], tasks: &mut Vec<JoinHandle<()>>) -> Asks {
    let asks = Asks::default();
    let ask = subject(&buses[0], "ask", "x");
    for bus in &buses[1..] {
        let group = bus.queue_subscribe(&Pattern::from(&ask), "g", 1_024).await;
        let mut questions = group.expect("the cluster is well");
        let (stage, received) = (stage.clone(), asks.received.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let question = tokio::select! {
                    () = stage.stop.cancelled() => return,
                    question = questions.next() => question.expect("the bus is open"),
                };
                let line = text(&question.payload).to_owned();
                let answer = Bytes::from(format!("to {line}"));
                *received.lock().entry(line).or_default() += 1;
                question.respond(answer).expect("it asks");
            }
        }));
    }
    for keyed in [false, true] {
        let (stage, bus, ask) = (stage.clone(), buses[0].clone(), ask.clone());
        let (answered, failed) = (asks.answered.clone(), asks.failed.clone());
        let name = if keyed { "keyed" } else { "plain" };
        let pulse = stage.pulse(Verb::Request, format!("an asker, {name}"));
        tasks.push(tokio::spawn(async move {
            let mut turn = 0;
            while stage.rest(PACE).await {
                turn += 1;
                let born = stage.begun.elapsed();
                let line = format!("{name} {turn}");
                let key = keyed.then(|| (IDEMPOTENCY_KEY.to_owned(), line.clone())).into_iter().collect();
                match bus.request(&ask, Bytes::from(line.clone()), key, DEADLINE).await {
                    Ok(answer) => {
                        let right = text(&answer) == format!("to {line}");
                        stage.verdict.refuse(!right, "another's answer", || line);
                        answered.fetch_add(1, Ordering::AcqRel);
                        pulse.beat(born);
                    }
                    Err(error) => {
                        failed.fetch_add(1, Ordering::AcqRel);
                        stage.error(Verb::Request, error.kind());
                    }
                }
            }
        }));
    }
    asks
}

impl Asks {
    /// None without a key was received twice.
    pub fn check(self, stage: &Stage) {
        let received = self.received.lock();
        for (line, times) in received.iter().filter(|(line, times)| **times > 1 && line.starts_with("plain"))
        {
            stage.verdict.wrong("a request without a key received twice", format!("{line}, {times} times"));
        }
        println!(
            "requests: {} answered, {} failed, {} received, {} with a key more than once",
            self.answered.load(Ordering::Acquire),
            self.failed.load(Ordering::Acquire),
            received.len(),
            received.values().filter(|times| **times > 1).count()
        );
    }
}
