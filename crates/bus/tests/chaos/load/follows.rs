//! A follower of all logs: it is told what is stored, once, in order, without a hole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_bus::{Bus, ErrorKind, Followed, From, LogMessage, Subject};
use tokio::task::{AbortHandle, JoinHandle};

use super::{Stage, number, text};
use crate::pulse::{Pulse, Verb};

/// How long after the end what was stored may take to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// The sequences that were told.
#[derive(Default)]
struct Told {
    seqs: HashSet<u64>,
    before: HashMap<Subject, u64>,
}

pub struct Follows {
    told: Arc<Mutex<Told>>,
    /// It goes on when the load has stopped: what is told last is part of what is checked.
    task: AbortHandle,
}

pub fn start(stage: &Arc<Stage>, bus: &Bus, logs: &[Subject], _tasks: &mut Vec<JoinHandle<()>>) -> Follows {
    let told = Arc::new(Mutex::new(Told::default()));
    let mut set = bus.follow_set();
    for log in logs {
        set.add(log.clone(), From::After(0));
    }
    let pulse = stage.pulse(Verb::Follow, "a follower");
    let (stage, noted) = (stage.clone(), told.clone());
    let task = tokio::spawn(async move {
        loop {
            match set.next().await {
                Ok(Followed::Message(message)) => note(&stage, &pulse, &mut noted.lock(), &message),
                Ok(hole) => stage.verdict.wrong("a hole", format!("{hole:?}")),
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => stage.verdict.wrong("a follower was refused", error.to_string()),
            }
        }
    });
    Follows { told, task: task.abort_handle() }
}

fn note(stage: &Stage, pulse: &Pulse, told: &mut Told, message: &LogMessage) {
    let line = text(&message.payload);
    if !told.seqs.insert(message.seq) {
        stage.verdict.wrong("told twice", line);
        return;
    }
    let last = told.before.insert(message.subject.clone(), message.seq).unwrap_or(0);
    let what = || format!("{line} at {} after {last}, not {}", message.seq, message.prev);
    stage.verdict.refuse(message.seq < last, "told out of order", what);
    stage.verdict.refuse(message.seq > last && message.prev != last, "told with a gap", what);
    pulse.beat(Duration::from_millis(number(line, 5)));
}

impl Follows {
    /// Compares what was told with what is stored.
    pub async fn check(self, stage: &Stage, which: usize, stored: &[LogMessage]) {
        let all = async {
            while self.told.lock().seqs.len() < stored.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(TOLD_WITHIN, all).await;
        self.task.abort();
        let told = self.told.lock();
        for message in stored.iter().filter(|message| !told.seqs.contains(&message.seq)) {
            stage.verdict.wrong("stored and not told", text(&message.payload));
        }
        let more = told.seqs.len() > stored.len();
        stage.verdict.refuse(more, "told and not stored", || told.seqs.len().to_string());
        println!("follower {which}: {} told of {} stored", told.seqs.len(), stored.len());
    }
}
