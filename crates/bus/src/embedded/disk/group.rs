//! One write: the commits whose conditions hold against what is stored and what is before them in the same write.

use std::collections::HashSet;

use crate::embedded::disk::codec::{FrameWriter, Record, Written};
use crate::embedded::disk::inbox::{Condition, Target, Txn};
use crate::embedded::view::View;
use crate::error::{Error, ErrorKind};
use crate::kv::Expect;
use crate::kv::check_expected;
use crate::log::Committed;
use crate::subject::{KeyMap, Subject};

/// A commit whose conditions hold, in the write.
pub(crate) struct Accepted {
    pub(crate) txn: Txn,
    pub(crate) committed: Committed,
    pub(crate) written: Vec<(u64, u64, Written)>,
}

/// One write.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) bytes: Vec<u8>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) refused: Vec<(Txn, Error)>,
    /// What the logs and keys will be at after it; 0: nothing there.
    ahead: KeyMap<Subject, u64>,
    done: HashSet<(Subject, u64)>,
    pub(crate) last_seq: u64,
}

impl Group {
    /// An empty one, after this sequence, in the room of one before.
    pub(crate) fn after(last_seq: u64, room: Vec<u8>) -> Self {
        Self { last_seq, bytes: room, ..Self::default() }
    }

    /// A commit is written, or refused: who asked is told after the write, as the reason may be in the same write.
    pub(crate) fn add(&mut self, view: &View, txn: Txn, number: u64, seed: u32, time_ms: i64) {
        if let Err(error) = txn.conditions.iter().try_for_each(|condition| self.check(view, condition)) {
            self.refused.push((txn, error));
            return;
        }
        let first = self.last_seq + 1;
        let mut written = Vec::with_capacity(txn.records.len());
        self.bytes.reserve(txn.bytes());
        let mut frame = FrameWriter::begin(&mut self.bytes, number, seed);
        for record in &txn.records {
            let kind = record.target.kind();
            let (mut seq, mut prev) = (0, 0);
            if kind.is_numbered() {
                self.last_seq += 1;
                seq = self.last_seq;
            }
            if matches!(record.target, Target::Log { .. }) {
                prev = self.ahead.get(&record.subject).copied().unwrap_or_else(|| view.last(&record.subject));
            }
            let aux = if matches!(record.target, Target::Log { .. } | Target::Work(_)) {
                time_ms
            } else {
                record.aux
            };
            let subject = record.subject.as_str();
            let place = frame.push(&Record { kind, seq, prev, aux, subject, payload: &record.payload });
            written.push((seq, prev, place));
            match &record.target {
                Target::Log { .. } | Target::Put(..) | Target::Delete(..) => {
                    self.ahead.insert(record.subject.clone(), seq);
                }
                Target::Trim => trim_ahead(&mut self.ahead, view, &record.subject, record.aux.unsigned_abs()),
                Target::Done(_) => {
                    self.done.insert((record.subject.clone(), record.aux.unsigned_abs()));
                }
                Target::Work(_) | Target::Attempt(_) => {}
            }
        }
        frame.end();
        let committed = Committed { first: first.min(self.last_seq), last: self.last_seq };
        self.accepted.push(Accepted { txn, committed, written });
    }

    fn check(&self, view: &View, condition: &Condition) -> Result<(), Error> {
        match condition {
            Condition::Fence(subject, seq) => {
                let found = self.ahead.get(subject).copied().unwrap_or_else(|| view.last(subject));
                if found == *seq {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::Fenced, format!("'{subject}' is at {found}, not at {seq}")))
            }
            Condition::Value(subject, bucket, key, expect) => {
                if *expect == Expect::Any {
                    return Ok(());
                }
                let found = match self.ahead.get(subject) {
                    Some(revision) => Some(*revision).filter(|revision| *revision > 0),
                    None => bucket.revision(key),
                };
                check_expected(key, *expect, found)
            }
            Condition::Pending(queue, seq) => {
                if queue.contains(*seq) && !self.done.contains(&(queue.subject().clone(), *seq)) {
                    return Ok(());
                }
                Err(Error::new(
                    ErrorKind::WrongRevision,
                    format!("work {seq} of '{}' is done with already", queue.subject()),
                ))
            }
        }
    }
}

fn trim_ahead(ahead: &mut KeyMap<Subject, u64>, view: &View, subject: &Subject, through: u64) {
    let last = ahead.get(subject).copied().unwrap_or_else(|| view.last(subject));
    if last <= through {
        ahead.insert(subject.clone(), 0);
    }
}
