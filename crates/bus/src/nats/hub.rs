//! What is stored, as it comes: the stream's republished copies, made whole, in one bounded tail for all followers
//! of the process.
//!
//! Copies come over core NATS, which loses some: on a reconnect, to a reader too slow, with a leader that dies between
//! storing and sending. Every message of the stream is copied, so a gap in the sequences is a loss. It is read from
//! the stream before anything later is shown. A sweep compares with the stream's end where nothing later comes: after
//! a reconnect, a drop, an election, and at a slow beat.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::log::LogMessage;
use crate::nats::connection::{Connection, jitter};
use crate::nats::ear::{Ear, TAKEN_AT_ONCE};
use crate::nats::epoch::Epoch;
use crate::nats::headers;
use crate::nats::read::{Raw, Reader, parse_time};
use crate::nats::rights::leader_elected;
use crate::nats::stream;
use crate::registry::Registry;
use crate::subject::Subject;

/// A longer gap is not read into the tail: each follower reads its own logs instead.
const REPAIR_MAX: u64 = 5_000;
/// Subjects kept parsed.
const SUBJECTS_MAX: usize = 65_536;
/// The longest wait before a repair that failed is tried again.
const REPAIR_AGAIN: Duration = Duration::from_secs(2);
/// What a message costs the tail beside its payload.
const MESSAGE_COST: usize = 160;

/// The recent messages of the stream: whole after `complete_after`, up to `end`.
#[derive(Default)]
pub(crate) struct Tail {
    messages: VecDeque<LogMessage>,
    bytes: usize,
    pub(crate) complete_after: u64,
    pub(crate) end: u64,
    /// Which life of the stream it is of, counted by this process.
    pub(crate) life: u64,
    /// How far this process trimmed logs: what the tail still has of them is not shown to who comes later.
    trimmed: HashMap<Subject, u64>,
}

impl Tail {
    /// Messages after a sequence, in order.
    pub(crate) fn after(&self, seq: u64) -> impl Iterator<Item = &LogMessage> {
        let start = self.messages.partition_point(|message| message.seq <= seq);
        self.messages.range(start..)
    }

    /// Whether what a log has after a sequence is all here.
    pub(crate) fn reaches(&self, log: &Subject, after: u64) -> bool {
        after >= self.complete_after && self.trimmed.get(log).is_none_or(|through| after >= *through)
    }

    fn push(&mut self, message: LogMessage, most: usize) {
        self.end = message.seq;
        self.bytes += message.payload.len() + MESSAGE_COST;
        self.messages.push_back(message);
        while self.bytes > most
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes -= oldest.payload.len() + MESSAGE_COST;
            self.complete_after = oldest.seq;
        }
    }

    /// Forgets everything: what is before `end` is read from the stream.
    fn reset(&mut self, end: u64) {
        self.messages.clear();
        self.bytes = 0;
        self.complete_after = end;
        self.end = end;
    }
}

pub(crate) struct Hub {
    connection: Arc<Connection>,
    reader: Arc<Reader>,
    registry: Arc<Registry>,
    pub(crate) tail: RwLock<Tail>,
    tail_bytes: usize,
    subjects: Mutex<HashMap<String, Subject>>,
    /// The highest sequence this process knows to be stored.
    known: AtomicU64,
    woken: watch::Sender<u64>,
}

/// What the task of the hub listens to.
pub(crate) struct Ears {
    copies: Ear,
    elections: Ear,
}

impl Hub {
    /// Listens from now on; everything up to `end` is read from the stream.
    pub(crate) async fn open(
        connection: Arc<Connection>,
        reader: Arc<Reader>,
        registry: Arc<Registry>,
        tail_bytes: usize,
    ) -> Result<(Arc<Self>, Ears), Error> {
        let stream = reader.names.events();
        let copies = Ear::open(&connection, reader.names.live(), None).await?;
        let elections = Ear::open(&connection, leader_elected(&stream), None).await?;
        let info = stream::info(&connection, &stream, reader.deadline).await?;
        let mut tail = Tail::default();
        tail.reset(info.last_seq);
        let hub = Arc::new(Self {
            connection,
            reader,
            registry,
            tail: RwLock::new(tail),
            tail_bytes,
            subjects: Mutex::default(),
            known: AtomicU64::new(info.last_seq),
            woken: watch::Sender::new(0),
        });
        Ok((hub, Ears { copies, elections }))
    }

    /// Something is stored up to here.
    pub(crate) fn learn(&self, seq: u64) {
        self.known.fetch_max(seq, Ordering::AcqRel);
    }

    /// The highest sequence this process knows to be stored.
    pub(crate) fn known(&self) -> u64 {
        self.known.load(Ordering::Acquire).max(self.tail.read().end)
    }

    /// A log was trimmed by this process.
    pub(crate) fn trimmed(&self, log: &Subject, through: u64) {
        let mut tail = self.tail.write();
        let known = tail.trimmed.entry(log.clone()).or_default();
        *known = through.max(*known);
    }

    /// Whether what is known to be stored has come.
    pub(crate) fn is_whole(&self) -> bool {
        self.known.load(Ordering::Acquire) <= self.tail.read().end
    }

    /// Wakes whoever waits for more.
    pub(crate) fn waker(&self) -> watch::Receiver<u64> {
        self.woken.subscribe()
    }

    pub(crate) fn wake(&self) {
        self.woken.send_modify(|count| *count += 1);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connection.stop.is_cancelled()
    }

    /// Takes copies and repairs until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, mut ears: Ears, epoch: Arc<Epoch>, sweep_every: Duration) {
        let mut link = self.connection.link();
        let mut beat = tokio::time::interval(sweep_every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stop = self.connection.stop.clone();
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let work = async {
            loop {
                tokio::select! {
                    biased;
                    changed = link.changed() => {
                        let up = link.borrow_and_update().up;
                        if changed.is_err() {
                            return;
                        }
                        if up {
                            self.sweep(&epoch, &mut ears.copies).await;
                        }
                    }
                    more = ears.copies.some(&mut taken) => {
                        if !more {
                            return;
                        }
                        self.take_all(&mut taken).await;
                    }
                    _ = ears.elections.next() => self.sweep(&epoch, &mut ears.copies).await,
                    _ = beat.tick() => self.sweep(&epoch, &mut ears.copies).await,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        self.wake();
    }

    async fn take_all(&self, copies: &mut Vec<async_nats::Message>) {
        let mut rest = copies.drain(..).filter_map(read_copy).peekable();
        loop {
            {
                let mut tail = self.tail.write();
                while let Some((raw, prev)) = rest.next_if(|(raw, _)| raw.seq <= tail.end + 1) {
                    if raw.seq > tail.end {
                        self.append(&mut tail, raw, prev);
                    }
                }
            }
            let Some(missing_before) = rest.peek().map(|(raw, _)| raw.seq) else { break };
            metrics::counter!("tidings_bus_follow_gaps_total").increment(1);
            self.repair(missing_before - 1).await;
            if self.tail.read().end + 1 < missing_before {
                // It is read by the next sweep: what is after a gap is not shown before.
                rest.next();
            }
        }
        drop(rest);
        self.wake();
    }

    fn append(&self, tail: &mut Tail, raw: Raw, prev: u64) {
        self.learn(raw.seq);
        match self.subject(&raw.subject) {
            Some(subject) => {
                let Raw { seq, time_ms, payload, .. } = raw;
                tail.push(LogMessage { subject, seq, prev, time_ms, payload }, self.tail_bytes);
            }
            // One of the bus's own.
            None => tail.end = raw.seq,
        }
    }

    fn subject(&self, text: &str) -> Option<Subject> {
        let mut subjects = self.subjects.lock();
        if let Some(subject) = subjects.get(text) {
            return Some(subject.clone());
        }
        let (subject, _) = self.registry.parse(text).ok()?;
        if subjects.len() >= SUBJECTS_MAX {
            subjects.clear();
        }
        subjects.insert(text.to_owned(), subject.clone());
        Some(subject)
    }

    /// Compares with the stream's end.
    async fn sweep(&self, epoch: &Epoch, copies: &mut Ear) {
        if self.connection.check_up().is_err() {
            return;
        }
        // What is known now the stream has reached before it is looked at.
        let (info, another) = match epoch.renew(self.known()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the event stream could not be looked at");
                return;
            }
        };
        if another {
            tracing::error!(last = info.last_seq, "the event stream is another one: a new epoch");
            // Copies that wait are of the life before, with sequences that come again.
            while tokio::task::unconstrained(copies.next()).now_or_never().flatten().is_some() {}
            self.known.store(info.last_seq, Ordering::Release);
            let mut tail = self.tail.write();
            tail.reset(info.last_seq);
            tail.trimmed.clear();
            tail.life += 1;
        }
        self.learn(info.last_seq);
        if info.last_seq > self.tail.read().end {
            self.repair(info.last_seq).await;
        }
        self.wake();
    }

    /// Reads what is missing up to a sequence; nothing later is shown before.
    async fn repair(&self, up_to: u64) {
        let mut pause = Duration::from_millis(50);
        loop {
            let end = self.tail.read().end;
            if end >= up_to {
                return;
            }
            if up_to - end > REPAIR_MAX {
                self.leave_to_followers(up_to);
                return;
            }
            match self.read_missing(end, up_to).await {
                Ok(count) => {
                    metrics::counter!("tidings_bus_follow_repaired_total").increment(count);
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    tracing::warn!(%error, end, up_to, "what is missing could not be read yet");
                    tokio::time::sleep(jitter(pause)).await;
                    pause = (pause * 2).min(REPAIR_AGAIN);
                }
            }
        }
    }

    async fn read_missing(&self, after: u64, up_to: u64) -> Result<u64, Error> {
        let everything = self.reader.names.everything();
        let found = self.reader.range(&everything, after, up_to, usize::MAX).await?;
        if (found.len() as u64) < up_to - after {
            // Some of it was trimmed or has expired: a follower of it has to be told of a hole.
            self.leave_to_followers(up_to);
            return Ok(0);
        }
        let mut logs: Vec<String> = found.iter().map(|raw| raw.subject.clone()).collect();
        logs.sort_unstable();
        logs.dedup();
        let mut last: HashMap<String, u64> = HashMap::new();
        for some in logs.chunks(SUBJECTS_AT_ONCE) {
            let before = self.reader.last_of_each(some, after).await?;
            last.extend(before.into_iter().map(|raw| (raw.subject, raw.seq)));
        }
        let count = found.len() as u64;
        for raw in found {
            let prev = last.insert(raw.subject.clone(), raw.seq).unwrap_or(0);
            self.append(&mut self.tail.write(), raw, prev);
        }
        Ok(count)
    }

    /// Each follower reads its own logs up to a sequence, with what is to be told of holes in them.
    fn leave_to_followers(&self, up_to: u64) {
        metrics::counter!("tidings_bus_follow_resets_total").increment(1);
        self.tail.write().reset(up_to);
    }
}

/// A copy of a message, and the sequence of the one before it in its log; `None`: it is none.
fn read_copy(copy: async_nats::Message) -> Option<(Raw, u64)> {
    let map = copy.headers.as_ref();
    let raw = Raw {
        subject: headers::text(map, headers::SUBJECT)?.to_owned(),
        seq: headers::number(map, headers::SEQUENCE)?,
        time_ms: headers::text(map, headers::TIME).and_then(parse_time)?,
        gone: false,
        payload: copy.payload.clone(),
    };
    Some((raw, headers::number(map, headers::LAST_SEQUENCE).unwrap_or(0)))
}

/// Logs asked for in one question: the server answers 1,024 at most.
const SUBJECTS_AT_ONCE: usize = 500;
