//! The state of a work queue: what waits, what is out with a worker, what comes again when.
//!
//! Time passes when somebody looks: a worker that waits also waits for the next deadline. Deliveries are written
//! to the log, so that a message that kills the process is still given up after its last attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::error::{Error, ErrorKind};
use crate::subject::Subject;
use crate::work::{RawJob, WorkConfig};

pub(crate) struct WorkQueue {
    subject: Subject,
    state: Mutex<State>,
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<u64, Job>,
    ready: BTreeSet<u64>,
    timers: BTreeSet<(Instant, u64)>,
    bytes: usize,
    stopped: bool,
}

struct Job {
    envelope: Bytes,
    time_ms: i64,
    attempts: Vec<(i64, String)>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Ready,
    /// Comes again then.
    Delayed(Instant),
    /// With a worker until the deadline, which may not go beyond `latest`.
    Out {
        deadline: Instant,
        latest: Instant,
    },
}

/// What a worker finds.
pub(crate) enum Next {
    Job(RawJob),
    /// The last attempt has failed: it is to be a dead letter.
    Bury(u64),
    /// Nothing until a change, or until this time.
    Wait(Option<Instant>),
    Stopped,
}

/// What a dead letter is made of.
pub(crate) struct Remains {
    pub(crate) envelope: Bytes,
    pub(crate) time_ms: i64,
    pub(crate) attempts: Vec<(i64, String)>,
}

/// What an attempt is until it has ended.
const UNDER_WAY: &str = "delivered";

impl State {
    fn set_phase(&mut self, seq: u64, phase: Phase) {
        let Some(job) = self.jobs.get_mut(&seq) else { return };
        match job.phase {
            Phase::Ready => drop(self.ready.remove(&seq)),
            Phase::Delayed(at) | Phase::Out { deadline: at, .. } => drop(self.timers.remove(&(at, seq))),
        }
        job.phase = phase;
        match phase {
            Phase::Ready => drop(self.ready.insert(seq)),
            Phase::Delayed(at) | Phase::Out { deadline: at, .. } => drop(self.timers.insert((at, seq))),
        }
    }

    fn pass_time(&mut self) {
        let now = Instant::now();
        while let Some((at, seq)) = self.timers.first().copied()
            && at <= now
        {
            if let Some(job) = self.jobs.get_mut(&seq)
                && matches!(job.phase, Phase::Out { .. })
            {
                job.end("the deadline to acknowledge passed");
            }
            self.set_phase(seq, Phase::Ready);
        }
    }

    /// The delivery that is out; an older one has no say any more.
    fn out(&mut self, seq: u64, delivery: u32) -> Option<(&mut Job, Instant)> {
        let job = self.jobs.get_mut(&seq)?;
        match job.phase {
            Phase::Out { latest, .. } if job.attempts.len() == delivery as usize => Some((job, latest)),
            _ => None,
        }
    }
}

impl Job {
    fn end(&mut self, how: &str) {
        if let Some((_, end)) = self.attempts.last_mut()
            && end == UNDER_WAY
        {
            how.clone_into(end);
        }
    }
}

fn late(subject: &Subject, seq: u64) -> Error {
    Error::new(ErrorKind::WrongRevision, format!("work {seq} of '{subject}' was given to another worker"))
}

impl WorkQueue {
    pub(crate) fn new(subject: Subject) -> Arc<Self> {
        Arc::new(Self { subject, state: Mutex::default(), changed: Notify::new() })
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.state.lock().jobs.contains_key(&seq)
    }

    /// The bytes of each message, by sequence.
    pub(crate) fn sizes(&self) -> Vec<(u64, usize)> {
        self.state.lock().jobs.iter().map(|(seq, job)| (*seq, job.envelope.len())).collect()
    }

    pub(crate) fn depth(&self) -> usize {
        self.state.lock().jobs.len()
    }

    pub(crate) fn out_count(&self) -> usize {
        self.state.lock().jobs.values().filter(|job| matches!(job.phase, Phase::Out { .. })).count()
    }

    pub(crate) fn check_bounds(&self, config: &WorkConfig, bytes: usize) -> Result<(), Error> {
        let state = self.state.lock();
        if state.jobs.len() < config.messages_max && state.bytes + bytes <= config.bytes_max {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Overloaded,
            format!("'{}' holds {} messages, {} bytes", self.subject, state.jobs.len(), state.bytes),
        ))
    }

    pub(crate) fn apply_put(&self, seq: u64, time_ms: i64, envelope: Bytes) {
        let mut state = self.state.lock();
        state.bytes += envelope.len();
        let job = Job { envelope, time_ms, attempts: Vec::new(), phase: Phase::Ready };
        state.jobs.insert(seq, job);
        state.ready.insert(seq);
        drop(state);
        self.changed.notify_one();
    }

    /// An attempt that was stored: known already, unless the log is just being read.
    pub(crate) fn apply_attempt(&self, seq: u64, payload: &[u8]) {
        let mut state = self.state.lock();
        if let Some(job) = state.jobs.get_mut(&seq)
            && let Some((delivery, time_ms)) = decode_attempt(payload)
            && job.attempts.len() < delivery as usize
        {
            job.attempts.push((time_ms, "delivered, and nothing heard before a restart".to_owned()));
        }
    }

    pub(crate) fn apply_done(&self, seq: u64) {
        let mut state = self.state.lock();
        state.set_phase(seq, Phase::Ready);
        state.ready.remove(&seq);
        if let Some(job) = state.jobs.remove(&seq) {
            state.bytes -= job.envelope.len();
        }
    }

    /// What there is for a worker.
    pub(crate) fn next(&self, config: &WorkConfig) -> Next {
        let mut state = self.state.lock();
        if state.stopped {
            return Next::Stopped;
        }
        state.pass_time();
        let Some(seq) = state.ready.first().copied() else {
            return Next::Wait(state.timers.first().map(|(at, _)| *at));
        };
        let now = Instant::now();
        let out = Phase::Out { deadline: now + config.ack_wait, latest: now + config.in_progress_max };
        state.set_phase(seq, out);
        let job = state.jobs.get_mut(&seq).expect("what is ready is there");
        if job.attempts.len() >= config.deliveries_max as usize {
            return Next::Bury(seq);
        }
        job.attempts.push((now_ms(), UNDER_WAY.to_owned()));
        let delivery = u32::try_from(job.attempts.len()).unwrap_or(u32::MAX);
        let raw = RawJob { seq, delivery, time_ms: job.time_ms, envelope: job.envelope.clone() };
        let more = !state.ready.is_empty();
        drop(state);
        if more {
            self.changed.notify_one();
        }
        Next::Job(raw)
    }

    /// Not done: again after a while.
    pub(crate) fn nak(&self, seq: u64, delivery: u32, delay: Duration, reason: &str) -> Result<(), Error> {
        let mut state = self.state.lock();
        let (job, _) = state.out(seq, delivery).ok_or_else(|| late(&self.subject, seq))?;
        job.end(reason);
        let phase = if delay.is_zero() { Phase::Ready } else { Phase::Delayed(Instant::now() + delay) };
        state.set_phase(seq, phase);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Still at it.
    pub(crate) fn in_progress(&self, seq: u64, delivery: u32, wait: Duration) -> Result<(), Error> {
        let mut state = self.state.lock();
        let (_, latest) = state.out(seq, delivery).ok_or_else(|| late(&self.subject, seq))?;
        let now = Instant::now();
        if now >= latest {
            return Err(late(&self.subject, seq));
        }
        let deadline = (now + wait).min(latest);
        state.set_phase(seq, Phase::Out { deadline, latest });
        Ok(())
    }

    /// Ends a delivery in words, and tells what a dead letter is made of. The message stays until the dead letter
    /// is stored.
    pub(crate) fn remains(&self, seq: u64, end: Option<&str>) -> Option<Remains> {
        let mut state = self.state.lock();
        let job = state.jobs.get_mut(&seq)?;
        if let Some(end) = end {
            job.end(end);
        }
        Some(Remains { envelope: job.envelope.clone(), time_ms: job.time_ms, attempts: job.attempts.clone() })
    }

    /// Hands out nothing more.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}

/// A delivery as it is stored.
pub(crate) fn encode_attempt(delivery: u32, time_ms: i64) -> Bytes {
    let mut out = Vec::with_capacity(12);
    out.extend_from_slice(&delivery.to_le_bytes());
    out.extend_from_slice(&time_ms.to_le_bytes());
    out.into()
}

fn decode_attempt(payload: &[u8]) -> Option<(u32, i64)> {
    let delivery = u32::from_le_bytes(payload.get(..4)?.try_into().ok()?);
    Some((delivery, i64::from_le_bytes(payload.get(4..12)?.try_into().ok()?)))
}
