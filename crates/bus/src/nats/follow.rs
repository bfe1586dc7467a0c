//! A follower of several logs: a place in the stream, not a queue.
//!
//! Live logs are read from the process's shared tail in the order of the stream. A log that was added at an older
//! place, or all of them when the follower fell out of the tail, is *behind*: it is read from the tail where that
//! reaches back so far, else from the stream, until it has caught up. More is taken out only when everything taken out
//! before was handed on, so the position is exact.
//!
//! While there is a follower the hub hears. One that came before it did begins once more when it does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checks::Checks;
use crate::error::Error;
use crate::log::LogMessage;
use crate::log::{FollowSetBackend, Followed, From};
use crate::nats::catch_up::{CatchUp, Place, Reading};
use crate::nats::hub::{Hub, Start};
use crate::nats::tail::Tail;
use crate::registry::Class;
use crate::subject::{KeyMap, Subject};

/// Messages taken out of the tail at once: enough to spread the lock's cost over them.
const LIVE_BATCH: usize = 256;
/// Messages of the tail looked at under one hold of the lock.
const LIVE_LOOKS: usize = 8_192;
/// Logs that are behind and read from the stream in one go: within it they come in the order of the stream.
const BEHIND_AT_ONCE: usize = 256;

struct OneLog {
    /// Tells what was taken out for an earlier `add` of the same log.
    incarnation: u64,
    /// Nothing up to here is wanted; while it is behind, what was delivered.
    delivered: u64,
    /// Whether what is before its first message was asked for: a hole is told once.
    holes_told: bool,
    /// Whether it was asked for from a moment on at which the hub did not hear.
    is_new: bool,
}

impl OneLog {
    fn after(incarnation: u64, delivered: u64) -> Self {
        Self { incarnation, delivered, holes_told: false, is_new: false }
    }
}

enum Item {
    Live(LogMessage),
    Behind { log: Subject, incarnation: u64, seq: u64, followed: Option<Followed> },
    CaughtUp { log: Subject, incarnation: u64 },
}

pub(crate) struct NatsFollow {
    hub: Arc<Hub>,
    catch_up: Arc<CatchUp>,
    woken: watch::Receiver<u64>,
    logs: KeyMap<Subject, OneLog>,
    behind: BTreeSet<Subject>,
    /// Everything live was taken out up to here.
    cursor: u64,
    /// The life of the stream that the places are of.
    life: u64,
    /// Whether the hub did not hear when something was added.
    waits: bool,
    taken: VecDeque<Item>,
    refused: VecDeque<Error>,
    reading: Option<JoinHandle<Vec<Reading>>>,
    next_incarnation: u64,
}

impl NatsFollow {
    pub(crate) fn new(hub: Arc<Hub>, catch_up: Arc<CatchUp>) -> Self {
        let woken = hub.waker();
        let life = hub.come();
        Self {
            hub,
            catch_up,
            woken,
            logs: KeyMap::default(),
            behind: BTreeSet::new(),
            cursor: 0,
            life,
            waits: false,
            taken: VecDeque::new(),
            refused: VecDeque::new(),
            reading: None,
            next_incarnation: 0,
        }
    }

    /// The next one of what was taken out.
    fn pop(&mut self) -> Option<Result<Followed, Error>> {
        if let Some(error) = self.refused.pop_front() {
            return Some(Err(error));
        }
        while let Some(item) = self.taken.pop_front() {
            match item {
                Item::Live(message) => {
                    let wanted =
                        self.logs.get(&message.subject).is_some_and(|one| message.seq > one.delivered);
                    if wanted && !self.behind.contains(&message.subject) {
                        return Some(Ok(Followed::Message(message)));
                    }
                }
                Item::Behind { log, incarnation, seq, followed } => {
                    if let Some(one) = self.current(&log, incarnation) {
                        one.delivered = one.delivered.max(seq);
                        if let Some(followed) = followed {
                            return Some(Ok(followed));
                        }
                    }
                }
                Item::CaughtUp { log, incarnation } => {
                    if self.current(&log, incarnation).is_some() {
                        self.behind.remove(&log);
                    }
                }
            }
        }
        None
    }

    fn current(&mut self, log: &Subject, incarnation: u64) -> Option<&mut OneLog> {
        self.logs.get_mut(log).filter(|one| one.incarnation == incarnation)
    }

    /// Takes out more; everything taken out before was handed on. Says whether there is something.
    fn refill(&mut self) -> bool {
        self.woken.borrow_and_update();
        let hub = self.hub.clone();
        let tail = hub.tail.read();
        let Some(new_after) = tail.wake.new_after() else { return false };
        if self.life != tail.life {
            self.begin_anew(&tail);
        } else if self.waits {
            self.begin(&tail, new_after);
        }
        if self.cursor < tail.complete_after {
            self.fall_behind(&tail);
        }
        self.refill_behind(&tail);
        // A log that has caught up has done so to the cursor: that stays until its end is handed on.
        if self.taken.is_empty() {
            self.refill_live(&tail);
        }
        !self.taken.is_empty()
    }

    fn refill_live(&mut self, tail: &Tail) {
        let mut found = 0;
        for (looks, message) in tail.after(self.cursor).enumerate() {
            if looks == LIVE_LOOKS || found == LIVE_BATCH {
                return;
            }
            self.cursor = message.seq;
            let wanted = self.logs.get(&message.subject).is_some_and(|one| message.seq > one.delivered);
            if wanted && !self.behind.contains(&message.subject) {
                found += 1;
                self.taken.push_back(Item::Live(message.clone()));
            }
        }
        self.cursor = tail.end.max(self.cursor);
    }

    /// The tail has moved on: every live log is read from the stream up to where that is now.
    fn fall_behind(&mut self, tail: &Tail) {
        for (log, one) in &mut self.logs {
            if self.behind.insert(log.clone()) {
                one.delivered = one.delivered.max(self.cursor);
                one.holes_told = false;
            }
        }
        self.cursor = tail.end;
        metrics::counter!("tidings_bus_follower_behind_total").increment(1);
    }

    /// The hub hears: everything goes on in the order of the stream from where that was when the first was added, as far
    /// back as the tail reaches.
    fn begin(&mut self, tail: &Tail, new_after: u64) {
        (self.waits, self.cursor) = (false, self.cursor.max(tail.complete_after));
        for (log, one) in &mut self.logs {
            if std::mem::take(&mut one.is_new) {
                one.delivered = one.delivered.max(new_after);
            }
            if one.delivered < self.cursor {
                self.behind.insert(log.clone());
            }
        }
    }

    /// The stream is another one: no place is worth anything, and everything before now is a hole.
    fn begin_anew(&mut self, tail: &Tail) {
        let (cursor, behind) = (self.cursor, std::mem::take(&mut self.behind));
        (self.life, self.cursor, self.waits) = (tail.life, tail.end, false);
        self.reading = None;
        for (log, one) in &mut self.logs {
            self.next_incarnation += 1;
            let after = if behind.contains(log) { one.delivered } else { one.delivered.max(cursor) };
            let hole = Followed::Hole { subject: log.clone(), after, first: tail.end + 1 };
            *one = OneLog::after(self.next_incarnation, tail.end);
            self.taken.push_back(Item::Behind {
                log: log.clone(),
                incarnation: one.incarnation,
                seq: tail.end,
                followed: Some(hole),
            });
        }
    }

    /// What the tail holds of the logs that are behind.
    fn refill_behind(&mut self, tail: &Tail) {
        for log in &self.behind {
            let Some(one) = self.logs.get(log) else { continue };
            if !tail.reaches(log, one.delivered) {
                continue;
            }
            let missed = tail.after(one.delivered).take_while(|message| message.seq <= self.cursor);
            for message in missed.filter(|message| message.subject == *log) {
                self.taken.push_back(Item::Behind {
                    log: log.clone(),
                    incarnation: one.incarnation,
                    seq: message.seq,
                    followed: Some(Followed::Message(message.clone())),
                });
            }
            self.taken.push_back(Item::CaughtUp { log: log.clone(), incarnation: one.incarnation });
        }
    }

    /// Begins to read what the tail does not hold.
    fn start_reading(&mut self) {
        if self.waits || self.behind.is_empty() || self.reading.is_some() || self.hub.is_closed() {
            return;
        }
        let places: Vec<Place> = self
            .behind
            .iter()
            .filter_map(|log| {
                let one = self.logs.get(log)?;
                Some(Place {
                    log: log.clone(),
                    incarnation: one.incarnation,
                    after: one.delivered,
                    look_for_hole: !one.holes_told,
                })
            })
            .take(BEHIND_AT_ONCE)
            .collect();
        let (catch_up, up_to) = (self.catch_up.clone(), self.cursor);
        self.reading = Some(tokio::spawn(async move { catch_up.read(places, up_to).await }));
    }

    fn take_readings(&mut self, readings: Vec<Reading>) {
        let mut items = Vec::new();
        for reading in readings {
            let still_there = self.behind.contains(&reading.log);
            let Some(one) = self.current(&reading.log, reading.incarnation) else { continue };
            // Meanwhile the tail may have brought the log further: then this is of a place it has left, and what the
            // tail brought would come once more.
            if !still_there || one.delivered != reading.after {
                continue;
            }
            one.holes_told = true;
            let behind = |seq, followed| Item::Behind {
                log: reading.log.clone(),
                incarnation: reading.incarnation,
                seq,
                followed,
            };
            if let Some((seq, hole)) = reading.hole {
                items.push((0, behind(seq, Some(hole))));
            }
            for message in reading.messages {
                items.push((message.seq, behind(message.seq, Some(Followed::Message(message)))));
            }
            // Nothing more up to there: from there on the tail goes on, where it reaches back so far.
            if let Some(seq) = reading.complete_to {
                items.push((seq, behind(seq, None)));
            }
        }
        items.sort_by_key(|(seq, _)| *seq);
        self.taken.extend(items.into_iter().map(|(_, item)| item));
    }

    /// Waits for what is being read. What was read for a log that was added anew or removed meanwhile is dropped.
    async fn finish_reading(&mut self) -> Result<(), Error> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let readings = reading.await;
        self.reading = None;
        self.take_readings(readings.map_err(|error| Error::closed().because(error))?);
        Ok(())
    }

    async fn next_one(&mut self) -> Result<Followed, Error> {
        loop {
            if let Some(next) = self.pop() {
                return next;
            }
            if self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
                self.finish_reading().await?;
                continue;
            }
            if self.refill() {
                continue;
            }
            self.start_reading();
            if self.hub.is_closed() {
                return Err(Error::closed());
            }
            let woken = self.woken.clone();
            match &mut self.reading {
                Some(reading) => {
                    let mut woken = woken;
                    tokio::select! {
                        readings = reading => {
                            self.reading = None;
                            self.take_readings(readings.map_err(|error| Error::closed().because(error))?);
                        }
                        _ = woken.changed() => {}
                    }
                }
                None => drop(self.woken.changed().await),
            }
        }
    }
}

impl FollowSetBackend for NatsFollow {
    fn add(&mut self, subject: Subject, from: From) {
        if let Err(error) = Checks::class(subject.class(), &[Class::Durable], subject.as_str()) {
            self.refused.push_back(error);
            return;
        }
        self.remove(&subject);
        let Start { after, end, waits } = self.hub.start(from);
        if self.logs.is_empty() && self.taken.is_empty() {
            self.cursor = end;
        }
        self.waits |= waits;
        self.next_incarnation += 1;
        let mut one = OneLog::after(self.next_incarnation, after);
        one.is_new = waits && from == From::New;
        if after < self.cursor {
            self.behind.insert(subject.clone());
        }
        self.logs.insert(subject, one);
    }

    fn remove(&mut self, subject: &Subject) {
        self.logs.remove(subject);
        self.behind.remove(subject);
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Followed, Error>> {
        Box::pin(self.next_one())
    }

    fn try_next(&mut self) -> Option<Result<Followed, Error>> {
        loop {
            if let Some(next) = self.pop() {
                return Some(next);
            }
            if self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
                match self.finish_reading().now_or_never()? {
                    Ok(()) => continue,
                    Err(error) => return Some(Err(error)),
                }
            }
            if !self.refill() {
                self.start_reading();
                self.woken.mark_changed();
                return None;
            }
        }
    }

    fn position(&self) -> (u64, Vec<(Subject, u64)>) {
        let waiting = self.taken.iter().find_map(|item| match item {
            Item::Live(message) => Some(message.seq - 1),
            _ => None,
        });
        let at = waiting.unwrap_or(self.cursor);
        let behind = self.behind.iter().filter_map(|log| Some((log.clone(), self.logs.get(log)?.delivered)));
        (at, behind.filter(|(_, delivered)| *delivered < at).collect())
    }
}

impl Drop for NatsFollow {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.abort();
        }
        self.hub.go();
    }
}
