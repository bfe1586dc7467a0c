//! Two owners of each zone, in two processes, who take it from each other and both believe to have it: what was confirmed
//! is stored, once, in order, whole, and nobody speaks after another has taken over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tidings_bus::{Append, Bus, Committed, Error, ErrorKind, Fence, LogMessage, Subject};
use tokio::task::JoinHandle;

use super::{PACE, Stage, number, subject, text};
use crate::pulse::{Pulse, Verb};

const ZONES: usize = 3;
/// How long an owner who lost its zone lets the other have it.
const LET: Duration = Duration::from_millis(300);

/// What the owners know.
#[derive(Default)]
struct Written {
    /// Text by the sequence that was confirmed.
    confirmed: HashMap<u64, String>,
    /// Texts of which the outcome is not known.
    unsure: HashSet<String>,
    /// Why what was refused was refused.
    refused: HashMap<String, String>,
    fenced: u64,
}

pub struct Commits {
    pub logs: Vec<Subject>,
    written: Arc<Mutex<Written>>,
}

struct Owner {
    stage: Arc<Stage>,
    bus: Bus,
    written: Arc<Mutex<Written>>,
    pulse: Arc<Pulse>,
    name: String,
    record: Subject,
    logs: [Subject; 3],
    next: u64,
}

pub fn start(stage: &Arc<Stage>, buses: &[Bus], tasks: &mut Vec<JoinHandle<()>>) -> Commits {
    let written = Arc::new(Mutex::new(Written::default()));
    let mut all = Vec::new();
    for zone in 0..ZONES {
        let name = format!("z{zone}");
        let bus = &buses[0];
        let room = |which: &str| subject(bus, "room", &format!("{name}_{which}"));
        let logs = [subject(bus, "zone", &name), room("a"), room("b")];
        all.extend(logs.iter().cloned());
        // Each makes its zone's pulse beat: of two owners one is silent, and is meant to be.
        let pulse = stage.pulse(Verb::Commit, format!("commits of {name}"));
        for (who, bus) in ["one", "other"].iter().zip(&buses[zone % 2..]) {
            let owner = Owner {
                stage: stage.clone(),
                bus: bus.clone(),
                written: written.clone(),
                pulse: pulse.clone(),
                name: format!("{name}-{who}"),
                record: subject(bus, "owner", &name),
                logs: logs.clone(),
                next: 0,
            };
            tasks.push(tokio::spawn(owner.run()));
        }
    }
    Commits { logs: all, written }
}

impl Owner {
    async fn run(mut self) {
        while self.stage.rest(PACE).await {
            let Ok(last) = self.bus.last(&self.record).await else { continue };
            let before = last.map_or(0, |message| message.seq);
            let own = Append { subject: self.record.clone(), payload: Bytes::from(self.name.clone()) };
            let taken = self.commit(Some(own), 0, 1, before).await;
            if let Some(Committed { first, .. }) = taken {
                while self.stage.rest(PACE).await {
                    let count = 1 + 2 * (self.next % 2);
                    if self.commit(None, first, count, first).await.is_none() {
                        break;
                    }
                }
            }
            self.stage.rest(LET).await;
        }
    }

    /// Commits so many lines as the owner of `fence`, where the record is at `at`; `None`: it is not the owner any more,
    /// or does not know.
    async fn commit(&mut self, own: Option<Append>, fence: u64, count: u64, at: u64) -> Option<Committed> {
        self.next += 1;
        let born = self.stage.begun.elapsed();
        let lines = (0..count)
            .map(|place| format!("{} {fence} {} {place} {count} {}", self.name, self.next, born.as_millis()));
        let lines: Vec<String> = lines.collect();
        let appends = lines.iter().zip(&self.logs);
        let appends =
            appends.map(|(line, log)| Append { subject: log.clone(), payload: Bytes::from(line.clone()) });
        let batch: Vec<Append> = own.into_iter().chain(appends).collect();
        let outcome = self.bus.commit(batch, vec![Fence { subject: self.record.clone(), seq: at }]).await;
        self.note(lines, &outcome);
        if outcome.is_ok() {
            self.pulse.beat(born);
        }
        outcome.ok()
    }

    fn note(&self, lines: Vec<String>, outcome: &Result<Committed, Error>) {
        let mut written = self.written.lock();
        match outcome {
            Ok(committed) => {
                let first = committed.last + 1 - lines.len() as u64;
                written.confirmed.extend((first..).zip(lines));
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {
                self.stage.error(Verb::Commit, error.kind());
                written.unsure.extend(lines);
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::Fenced => written.fenced += 1,
                    kind => self.stage.error(Verb::Commit, kind),
                }
                written.refused.extend(lines.into_iter().map(|line| (line, error.to_string())));
            }
        }
    }
}

impl Commits {
    /// Compares what was confirmed with what is stored.
    pub async fn check(self, stage: &Stage, bus: &Bus) -> Vec<LogMessage> {
        let stored = bus.read(&self.logs, 0, usize::MAX).await.expect("the logs can be read");
        let written = std::mem::take(&mut *self.written.lock());
        let verdict = &stage.verdict;
        let mut seen = HashSet::new();
        let (mut found, mut learned) = (0, 0);
        for message in &stored {
            let line = text(&message.payload);
            verdict.refuse(!seen.insert(line), "stored twice", || line.to_owned());
            match written.confirmed.get(&message.seq) {
                Some(confirmed) if confirmed == line => found += 1,
                Some(confirmed) => verdict.wrong("confirmed as another", format!("{confirmed}, not {line}")),
                None if written.unsure.contains(line) => learned += 1,
                None => {
                    let why = written.refused.get(line);
                    verdict.wrong("stored though refused", format!("{line} at {}: {why:?}", message.seq));
                }
            }
        }
        check_owners(stage, &stored);
        let there: HashSet<u64> = stored.iter().map(|message| message.seq).collect();
        for (seq, line) in &written.confirmed {
            verdict.refuse(!there.contains(seq), "confirmed and not stored", || line.clone());
        }
        println!(
            "commits: {} confirmed, {found} of them stored, {} stored; {} of unknown outcome, {learned} of them stored; \
             {} times the other owner was first",
            written.confirmed.len(),
            stored.len(),
            written.unsure.len(),
            written.fenced
        );
        stored
    }
}

/// Each zone has one owner at a time, whose lines are in order, and whose commits are whole.
fn check_owners(stage: &Stage, stored: &[LogMessage]) {
    let mut fences: HashMap<&str, u64> = HashMap::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut before: Option<(u64, u64, u64)> = None;
    for message in stored {
        let line = text(&message.payload);
        let who = line.split(' ').next().unwrap_or_default();
        let zone = who.split('-').next().unwrap_or_default();
        let (fence, turn, place, count) =
            (number(line, 1), number(line, 2), number(line, 3), number(line, 4));
        if fence == 0 {
            // The record was stored before this line, in one commit.
            fences.insert(zone, message.seq - 1);
        } else {
            let late = fences.get(zone) != Some(&fence);
            stage.verdict.refuse(late, "spoken after another took over", || line.to_owned());
        }
        // A commit stands in a row: the next one begins where the one before has ended.
        let follows = match place {
            0 => before.is_none(),
            _ => before == Some((message.seq - 1, turn, place - 1)),
        };
        stage.verdict.refuse(!follows, "a commit in part", || line.to_owned());
        before = (place + 1 < count).then_some((message.seq, turn, place));
        if place == 0 {
            let earlier = last.insert(who, turn).unwrap_or(0);
            stage.verdict.refuse(turn <= earlier, "stored out of order", || line.to_owned());
        }
    }
    stage.verdict.refuse(before.is_some(), "a commit in part", || "the last one".to_owned());
}
