//! What is stored, as it comes: the stream's republished copies, made whole, in one bounded tail for all followers
//! of the process. Without followers it is asleep and hears none: see `wake`.
//!
//! Copies come over core NATS, which loses some: on a reconnect, to a reader too slow, with a leader that dies between
//! storing and sending. Every message of the stream is copied, so a gap in the sequences is a loss. It is read from
//! the stream before anything later is shown. A sweep compares with the stream's end where nothing later comes: after
//! a reconnect, a drop, an election, and at a slow beat; that another life of the stream has begun it finds asleep, too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::error::Error;
use crate::log::{From, LogMessage};
use crate::nats::connection::{Connection, jitter};
use crate::nats::ear::{Ear, TAKEN_AT_ONCE};
use crate::nats::epoch::Epoch;
use crate::nats::headers;
use crate::nats::read::{Raw, Reader, parse_time};
use crate::nats::repair::{AGAIN, AGAIN_MOST};
use crate::nats::rights::leader_elected;
use crate::nats::stream::{self, StreamInfo};
use crate::nats::tail::Tail;
use crate::nats::wake::New;
use crate::registry::Registry;
use crate::subject::Subject;

/// Subjects kept parsed.
const SUBJECTS_MAX: usize = 65_536;

pub(crate) struct Hub {
    connection: Arc<Connection>,
    pub(crate) reader: Arc<Reader>,
    registry: Arc<Registry>,
    pub(crate) tail: RwLock<Tail>,
    tail_bytes: usize,
    subjects: Mutex<HashMap<String, Subject>>,
    /// The highest sequence this process knows to be stored.
    known: AtomicU64,
    woken: watch::Sender<u64>,
    /// The first follower has come, or the last one has gone.
    called: Notify,
}

/// What the task of the hub listens to.
pub(crate) struct Ears {
    /// Only while somebody follows.
    copies: Option<Ear>,
    elections: Ear,
    /// When a waking is tried, and how long is waited after that.
    again: Instant,
    pause: Duration,
}

/// Where a follower begins something.
pub(crate) struct Start {
    /// Nothing up to here is wanted.
    pub(crate) after: u64,
    /// How far everything live is taken out for one that has nothing yet.
    pub(crate) end: u64,
    /// Whether that is said anew once the hub is awake.
    pub(crate) waits: bool,
}

impl Hub {
    /// Asleep until somebody follows.
    pub(crate) async fn open(
        connection: Arc<Connection>,
        reader: Arc<Reader>,
        registry: Arc<Registry>,
        tail_bytes: usize,
    ) -> Result<(Arc<Self>, Ears), Error> {
        let stream = reader.names.events();
        let elections = Ear::open(&connection, leader_elected(&stream), None).await?;
        let info = stream::info(&connection, &stream, reader.deadline).await?;
        let mut tail = Tail::default();
        tail.reset(info.last_seq);
        tail.wake.led_by(info.leader.as_deref());
        let hub = Arc::new(Self {
            connection,
            reader,
            registry,
            tail: RwLock::new(tail),
            tail_bytes,
            subjects: Mutex::default(),
            known: AtomicU64::new(info.last_seq),
            woken: watch::Sender::new(0),
            called: Notify::new(),
        });
        Ok((hub, Ears { copies: None, elections, again: Instant::now(), pause: AGAIN }))
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
        self.tail.write().trim(log, through);
    }

    /// Whether what is known to be stored has come, as far as anybody follows.
    pub(crate) fn is_whole(&self) -> bool {
        let (known, tail) = (self.known.load(Ordering::Acquire), self.tail.read());
        match tail.wake.new_after() {
            _ if tail.wake.is_idle() => true,
            Some(_) => known <= tail.end,
            // It wakes, but not without a connection.
            None => self.connection.check_up().is_err(),
        }
    }

    /// The highest sequence this process knows to be stored; who hears nothing asks for it.
    pub(crate) async fn known_now(&self) -> u64 {
        let hears = self.tail.read().wake.new_after().is_some();
        if !hears {
            let name = self.reader.names.events();
            if let Ok(info) = stream::info(&self.connection, &name, self.reader.deadline).await {
                self.learn(info.last_seq);
            }
        }
        self.known()
    }

    /// A follower has come: what is stored is heard from soon on. Answers the life of the stream that holds.
    pub(crate) fn come(&self) -> u64 {
        let mut tail = self.tail.write();
        tail.wake.come();
        self.called.notify_one();
        tail.life
    }

    /// A follower has gone.
    pub(crate) fn go(&self) {
        self.tail.write().wake.go();
        self.called.notify_one();
    }

    /// A follower begins something.
    pub(crate) fn start(&self, from: From) -> Start {
        let mut tail = self.tail.write();
        let known = self.known.load(Ordering::Acquire).max(tail.end);
        let waits = !tail.wake.ask(from, known);
        let after = match from {
            From::After(seq) => seq,
            From::New => known,
        };
        Start { after, end: if waits { known } else { tail.end }, waits }
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

    /// Takes copies and repairs, wakes and sleeps, until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, mut ears: Ears, epoch: Arc<Epoch>, sweep_every: Duration) {
        let mut link = self.connection.link();
        let mut beat = tokio::time::interval(sweep_every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stop = self.connection.stop.clone();
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let work = async {
            loop {
                let turn_at = self.tail.read().wake.turn_at(ears.again);
                tokio::select! {
                    biased;
                    changed = link.changed() => {
                        let up = link.borrow_and_update().up;
                        if changed.is_err() {
                            return;
                        }
                        if up {
                            self.sweep(&epoch, &mut ears).await;
                        }
                    }
                    () = self.called.notified() => {}
                    // Before the copies: who hears without end sleeps, too.
                    () = at(turn_at) => self.turn(&epoch, &mut ears).await,
                    more = hear(&mut ears.copies, &mut taken) => {
                        if !more {
                            return;
                        }
                        self.take_all(&mut taken).await;
                    }
                    _ = ears.elections.next() => self.sweep(&epoch, &mut ears).await,
                    _ = beat.tick() => self.sweep(&epoch, &mut ears).await,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        self.wake();
    }

    /// Sleeps where nobody follows any more, wakes where somebody does; what cannot be done now is tried some time later.
    async fn turn(&self, epoch: &Epoch, ears: &mut Ears) {
        if self.fall_asleep() {
            ears.copies = None;
        }
        if !self.tail.read().wake.is_waking() {
            return;
        }
        ears.pause = match self.wake_up(epoch).await {
            Ok(copies) => {
                ears.copies = Some(copies);
                AGAIN
            }
            Err(error) => {
                tracing::warn!(%error, "what is stored cannot be heard yet");
                ears.again = Instant::now() + jitter(ears.pause);
                (ears.pause * 2).min(AGAIN_MOST)
            }
        };
    }

    fn fall_asleep(&self) -> bool {
        let mut tail = self.tail.write();
        let falls = tail.wake.close();
        if falls {
            tail.give_back();
            self.subjects.lock().clear();
        }
        falls
    }

    /// Hears from now on, and then looks where the stream is, so that nothing is between.
    async fn wake_up(&self, epoch: &Epoch) -> Result<Ear, Error> {
        let mut copies = Ear::open(&self.connection, self.reader.names.live(), None).await?;
        let info = self.look(epoch, Some(&mut copies)).await?;
        let (end, asked) = (info.last_seq, self.tail.read().wake.asked());
        let new_after = match asked.new {
            Some(new) => self.new_after(&info, new).await?,
            // Whoever asks for it from now on asks after this answer.
            None => end,
        };
        let from = asked.tail_after(new_after, end);
        self.tail.write().reset(from);
        if self.read_missing(from, end).await?.is_none() {
            self.tail.write().reset(end);
        }
        self.tail.write().wake.open(new_after);
        self.wake();
        Ok(copies)
    }

    /// The place after which everything is that was stored from a moment on. Where the stream does not tell its time, it is
    /// what was known then.
    async fn new_after(&self, info: &StreamInfo, new: New) -> Result<u64, Error> {
        let before = match info.clock {
            Some(clock) => {
                let time_ms = self.tail.read().wake.time_of(new, clock, self.reader.copies.count());
                self.reader.leader_has_since(time_ms).await?.map_or(info.last_seq, |raw| raw.seq - 1)
            }
            None => new.known,
        };
        Ok(before.max(new.known).min(info.last_seq))
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

    pub(crate) fn append(&self, tail: &mut Tail, raw: Raw, prev: u64) {
        self.learn(raw.seq);
        match self.subject(&raw.subject) {
            Some(subject) => {
                let Raw { seq, time_ms, payload, .. } = raw;
                tail.push(LogMessage::new(subject, seq, prev, time_ms, payload), self.tail_bytes);
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
    async fn sweep(&self, epoch: &Epoch, ears: &mut Ears) {
        if self.connection.check_up().is_err() {
            return;
        }
        let info = match self.look(epoch, ears.copies.as_mut()).await {
            Ok(info) => info,
            Err(error) => {
                tracing::warn!(%error, "the event stream could not be looked at");
                return;
            }
        };
        if ears.copies.is_some() && info.last_seq > self.tail.read().end {
            self.repair(info.last_seq).await;
        }
        self.wake();
    }

    /// Looks at the stream, and whether it is still the one that was known.
    async fn look(&self, epoch: &Epoch, copies: Option<&mut Ear>) -> Result<StreamInfo, Error> {
        // What is known now the stream has reached before it is looked at.
        let (info, another) = epoch.renew(self.known()).await?;
        if another {
            tracing::error!(last = info.last_seq, "the event stream is another one: a new epoch");
            if let Some(copies) = copies {
                // Copies that wait are of the life before, with sequences that come again.
                while tokio::task::unconstrained(copies.next()).now_or_never().flatten().is_some() {}
            }
            self.known.store(info.last_seq, Ordering::Release);
            self.tail.write().begin_life(info.last_seq);
        }
        self.learn(info.last_seq);
        self.tail.write().wake.led_by(info.leader.as_deref());
        Ok(info)
    }
}

/// Moves copies that have come into `taken`; `false` once there will be none. Cancel safe.
async fn hear(copies: &mut Option<Ear>, taken: &mut Vec<async_nats::Message>) -> bool {
    match copies {
        Some(copies) => copies.some(taken).await,
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
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
