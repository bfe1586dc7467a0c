//! A follower of several logs: a place in the stream, not a queue.
//!
//! Live logs are read from the shared tail in the order of the stream: one look a message, whatever the number
//! of logs. A log that was added at an older place, or all of them when the follower fell out of the tail, is
//! *behind*: it is read by its own index, from memory or disk, in turns with the live ones, until it has caught up.
//! A refill happens only when everything taken out before was handed on, so the position is exact.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use crate::embedded::shared::{Loaded, Shared};
use crate::embedded::signal::Signal;
use crate::embedded::view::{Found, LogId, View};
use crate::error::Error;
use crate::log::{FollowSetBackend, Followed, From, LogMessage};
use crate::subject::{KeyMap, Subject};
use crate::{checks::Checks, registry::Class};

/// Messages taken out of the tail at once: enough to spread the lock's cost over them.
const LIVE_BATCH: usize = 256;
/// Messages of the tail looked at under one hold of the lock.
const LIVE_LOOKS: usize = 8_192;
/// Messages taken at once for logs that are behind; with many logs behind a quarter of their number, so that
/// setting up the merge is spread over enough messages.
const BEHIND_BATCH: usize = 128;
/// Bytes taken at once for logs that are behind.
const BEHIND_BYTES: usize = 1024 * 1024;

struct OneLog {
    subject: Subject,
    /// Tells what was taken out for an earlier `add` of the same log.
    incarnation: u64,
    /// Nothing up to here is wanted; while it is behind, what was delivered.
    delivered: u64,
}

enum Item {
    Live { log: LogId, message: LogMessage },
    Behind { log: LogId, incarnation: u64, seq: u64, followed: Result<Followed, Error> },
    CaughtUp { log: LogId, incarnation: u64 },
}

/// What a refill found.
enum Refill {
    Something,
    Nothing,
    Disk(Vec<Found>, Vec<LogId>),
}

pub(crate) struct EmbeddedFollow {
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    logs: KeyMap<LogId, OneLog>,
    ids: KeyMap<Subject, LogId>,
    behind: BTreeSet<LogId>,
    /// Everything live was taken out up to here.
    cursor: u64,
    taken: VecDeque<Item>,
    refused: VecDeque<Error>,
    reading: Option<(JoinHandle<Vec<Loaded>>, Vec<LogId>)>,
    next_incarnation: u64,
    behind_next: bool,
}

impl EmbeddedFollow {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let signal = shared.signal();
        Self {
            shared,
            signal,
            logs: KeyMap::default(),
            ids: KeyMap::default(),
            behind: BTreeSet::new(),
            cursor: 0,
            taken: VecDeque::new(),
            refused: VecDeque::new(),
            reading: None,
            next_incarnation: 0,
            behind_next: true,
        }
    }

    /// The next one of what was taken out.
    fn pop(&mut self) -> Option<Result<Followed, Error>> {
        if let Some(error) = self.refused.pop_front() {
            return Some(Err(error));
        }
        while let Some(item) = self.taken.pop_front() {
            match item {
                Item::Live { log, message } => {
                    let wanted = self.logs.get(&log).is_some_and(|one| message.seq > one.delivered);
                    if wanted && !self.behind.contains(&log) {
                        return Some(Ok(Followed::Message(message)));
                    }
                }
                Item::Behind { log, incarnation, seq, followed } => {
                    if let Some(one) = self.current(log, incarnation) {
                        one.delivered = one.delivered.max(seq);
                        return Some(followed);
                    }
                }
                Item::CaughtUp { log, incarnation } => {
                    if self.current(log, incarnation).is_some() {
                        self.behind.remove(&log);
                    }
                }
            }
        }
        None
    }

    fn current(&mut self, log: LogId, incarnation: u64) -> Option<&mut OneLog> {
        self.logs.get_mut(&log).filter(|one| one.incarnation == incarnation)
    }

    /// Takes out more; everything taken out before was handed on.
    fn refill(&mut self) -> Refill {
        self.signal.lower();
        self.behind_next = !self.behind_next;
        let shared = self.shared.clone();
        let view = shared.view.read();
        if self.behind_next {
            match self.refill_behind(&view) {
                Refill::Nothing => self.refill_live(&view),
                refill => refill,
            }
        } else {
            match self.refill_live(&view) {
                Refill::Nothing => self.refill_behind(&view),
                refill => refill,
            }
        }
    }

    fn refill_live(&mut self, view: &View) -> Refill {
        if self.cursor < view.tail.complete_after {
            // There is something to look at: those that fell behind, though they were looked at before.
            self.fall_behind(view);
            return Refill::Something;
        }
        for (looks, (log, message)) in view.tail.after(self.cursor).enumerate() {
            if looks == LIVE_LOOKS || self.taken.len() == LIVE_BATCH {
                return Refill::Something;
            }
            self.cursor = message.seq;
            let wanted = self.logs.get(log).is_some_and(|one| message.seq > one.delivered);
            if wanted && !self.behind.contains(log) {
                self.taken.push_back(Item::Live { log: *log, message: message.clone() });
            }
        }
        self.cursor = view.visible.max(self.cursor);
        if self.taken.is_empty() { Refill::Nothing } else { Refill::Something }
    }

    /// The tail has moved on: every live log is read by its index up to where the stream is now.
    fn fall_behind(&mut self, view: &View) {
        for (id, one) in &mut self.logs {
            if self.behind.insert(*id) {
                one.delivered = one.delivered.max(self.cursor);
            }
        }
        self.cursor = view.visible;
        self.shared.metrics.fell_behind.increment(1);
    }

    fn refill_behind(&mut self, view: &View) -> Refill {
        if self.behind.is_empty() {
            return Refill::Nothing;
        }
        self.tell_holes(view);
        let wanted: Vec<(LogId, u64)> = self
            .behind
            .iter()
            .filter_map(|id| {
                let (one, log) = (self.logs.get(id)?, view.log(*id)?);
                Some((*id, one.delivered.max(log.removed)))
            })
            .collect();
        let limit = BEHIND_BATCH.max(wanted.len() / 4);
        let merged = view.merge(&wanted, self.cursor, limit, BEHIND_BYTES);
        if merged.found.iter().all(|found| found.message.is_some()) || !self.shared.reads_block() {
            let loaded = self.shared.load(merged.found);
            self.take_loaded(loaded, &merged.exhausted);
            return Refill::Something;
        }
        Refill::Disk(merged.found, merged.exhausted)
    }

    fn tell_holes(&mut self, view: &View) {
        for id in &self.behind {
            let (Some(one), Some(log)) = (self.logs.get(id), view.log(*id)) else { continue };
            if one.delivered < log.removed {
                let first = log.entries.front().map_or(log.removed + 1, |entry| entry.seq);
                self.taken.push_back(Item::Behind {
                    log: *id,
                    incarnation: one.incarnation,
                    seq: log.removed,
                    followed: Ok(Followed::Hole {
                        subject: one.subject.clone(),
                        after: one.delivered,
                        first,
                    }),
                });
            }
        }
    }

    fn take_loaded(&mut self, loaded: Vec<Loaded>, exhausted: &[LogId]) {
        for Loaded { log, seq, message } in loaded {
            if let Some(one) = self.logs.get(&log) {
                let incarnation = one.incarnation;
                let followed = message.map(Followed::Message);
                self.taken.push_back(Item::Behind { log, incarnation, seq, followed });
            }
        }
        for log in exhausted {
            if let Some(one) = self.logs.get(log) {
                self.taken.push_back(Item::CaughtUp { log: *log, incarnation: one.incarnation });
            }
        }
    }

    /// Drops what was read for logs that were added anew or removed meanwhile: their place is another.
    async fn finish_reading(&mut self) -> Result<(), Error> {
        let Some((reading, _)) = &mut self.reading else { return Ok(()) };
        let loaded = reading.await;
        let (_, exhausted) = self.reading.take().expect("there while it is awaited");
        match loaded {
            Ok(loaded) => {
                self.take_loaded(loaded, &exhausted);
                Ok(())
            }
            Err(error) => Err(Error::closed().because(error)),
        }
    }

    async fn next_one(&mut self) -> Result<Followed, Error> {
        loop {
            if let Some(next) = self.pop() {
                return next;
            }
            if self.reading.is_some() {
                self.finish_reading().await?;
                continue;
            }
            match self.refill() {
                Refill::Something => {}
                Refill::Disk(found, exhausted) => {
                    let shared = self.shared.clone();
                    let reading = tokio::task::spawn_blocking(move || shared.load(found));
                    self.reading = Some((reading, exhausted));
                }
                Refill::Nothing if self.shared.is_closed() => return Err(Error::closed()),
                Refill::Nothing => self.signal.wait().await,
            }
        }
    }

    fn start(&mut self, id: LogId, subject: Subject, after: u64) {
        self.next_incarnation += 1;
        let one = OneLog { subject: subject.clone(), incarnation: self.next_incarnation, delivered: after };
        self.logs.insert(id, one);
        self.ids.insert(subject, id);
        if after < self.cursor {
            self.behind.insert(id);
        }
        self.signal.raise();
    }

    /// What is read from disk was for the places as they were: a change while it is under way starts it over.
    fn forget_reading(&mut self) {
        if let Some((reading, _)) = self.reading.take() {
            reading.abort();
        }
    }
}

impl FollowSetBackend for EmbeddedFollow {
    fn add(&mut self, subject: Subject, from: From) {
        if let Err(error) = Checks::class(subject.class(), &[Class::Durable], subject.as_str()) {
            self.refused.push_back(error);
            return;
        }
        self.remove(&subject);
        let shared = self.shared.clone();
        let mut view = shared.view.write();
        if self.logs.is_empty() && self.taken.is_empty() {
            self.cursor = view.visible;
        }
        let id = view.ensure(&subject);
        view.watch(id, &self.signal);
        let after = match from {
            From::After(seq) => seq,
            From::New => view.visible,
        };
        drop(view);
        self.start(id, subject, after);
    }

    fn remove(&mut self, subject: &Subject) {
        if let Some(id) = self.ids.remove(subject) {
            self.forget_reading();
            self.logs.remove(&id);
            self.behind.remove(&id);
            self.shared.view.write().unwatch(id, &self.signal);
        }
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Followed, Error>> {
        Box::pin(self.next_one())
    }

    fn try_next(&mut self) -> Option<Result<Followed, Error>> {
        loop {
            if let Some(next) = self.pop() {
                return Some(next);
            }
            if self.reading.is_some() {
                return None;
            }
            match self.refill() {
                Refill::Something => {}
                // Only `next` waits for the disk: it will look again.
                Refill::Disk(..) | Refill::Nothing => {
                    self.signal.raise();
                    return None;
                }
            }
        }
    }

    fn position(&self) -> (u64, Vec<(Subject, u64)>) {
        let waiting = self.taken.iter().find_map(|item| match item {
            Item::Live { message, .. } => Some(message.seq - 1),
            _ => None,
        });
        let behind = self
            .behind
            .iter()
            .filter_map(|id| self.logs.get(id))
            .map(|one| (one.subject.clone(), one.delivered))
            .collect();
        (waiting.unwrap_or(self.cursor), behind)
    }
}

impl Drop for EmbeddedFollow {
    fn drop(&mut self) {
        self.forget_reading();
        let mut view = self.shared.view.write();
        for id in self.logs.keys() {
            view.unwatch(*id, &self.signal);
        }
    }
}
