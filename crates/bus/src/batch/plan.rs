//! What is sent when: messages grouped by subject, a group at a time in each, later ones behind.
//!
//! Pure: the time is passed in, and what to do comes out. A subject's messages are a lane:
//!
//! ```text
//! appended -> waiting --(100 messages, bytes or 50 ms)--> ready -> a group is sent -> done
//!                                                                   | failed: again after 100, 200, 400 ms
//!                                                                   v
//!                                             parked on disk, and all that is behind it, in order, until recovered
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::batch::BatchConfig;
use crate::subject::Subject;

/// Messages of one subject that are sent together, under an id by which a repeat is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where they go.
    pub subject: Subject,
    /// The same for every try of the group.
    pub id: String,
    /// The messages, in order.
    pub messages: Vec<Bytes>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Todo {
    /// Send it, then say `sent` or `failed`.
    Send(Group),
    /// Put it on disk, then say `parked` or `not_parked`.
    Park(Group),
    /// Read it from disk and send it, then say `recovered` or `not_recovered`.
    Recover(Subject, u64),
    /// Nothing before this time, or before something changes.
    Wait(Option<Instant>),
}

/// Whether a message found a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Taken,
    Full,
}

#[derive(Default)]
struct Lane {
    /// Messages, each with the flush that it waits for.
    waiting: VecDeque<(u64, Bytes)>,
    /// How many of those that wait may go.
    ready: usize,
    busy: Busy,
    /// A group that failed, to be sent again or parked.
    again: Option<Again>,
    /// Groups on disk, oldest first.
    on_disk: VecDeque<u64>,
    /// Whether those on disk are tried.
    recovering: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Busy {
    #[default]
    No,
    /// Something of the lane is on its way.
    Yes,
}

struct Again {
    group: Group,
    /// The flush of each of its messages.
    flushes: Vec<u64>,
    tries: usize,
    at: Instant,
    /// To disk, rather than to its place.
    park: bool,
}

/// All lanes.
pub(crate) struct Plan {
    config: BatchConfig,
    lanes: HashMap<Subject, Lane>,
    /// Messages in memory, those on their way included, and their bytes.
    messages: usize,
    bytes: usize,
    /// Messages not ready yet, their bytes, and since when the first of them waits.
    fresh: usize,
    fresh_bytes: usize,
    fresh_since: Option<Instant>,
    /// The flush that comes next, and how many messages are still in memory of each.
    flush: u64,
    outstanding: BTreeMap<u64, usize>,
    closing: bool,
}

impl Plan {
    pub(crate) fn new(config: BatchConfig) -> Self {
        Self {
            config,
            lanes: HashMap::new(),
            messages: 0,
            bytes: 0,
            fresh: 0,
            fresh_bytes: 0,
            fresh_since: None,
            flush: 0,
            outstanding: BTreeMap::new(),
            closing: false,
        }
    }

    /// What is on disk from before.
    pub(crate) fn found_on_disk(&mut self, subject: Subject, number: u64) {
        self.lanes.entry(subject).or_default().on_disk.push_back(number);
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, subject: &Subject, message: Bytes, now: Instant) -> Pushed {
        let fits = self.messages < self.config.pending_messages
            && self.bytes + message.len() <= self.config.pending_bytes;
        if !fits {
            return Pushed::Full;
        }
        self.messages += 1;
        self.bytes += message.len();
        self.fresh += 1;
        self.fresh_bytes += message.len();
        self.fresh_since.get_or_insert(now);
        *self.outstanding.entry(self.flush).or_default() += 1;
        let entry = (self.flush, message);
        match self.lanes.get_mut(subject) {
            Some(lane) => lane.waiting.push_back(entry),
            None => self.lanes.entry(subject.clone()).or_default().waiting.push_back(entry),
        }
        if self.fresh >= self.config.messages || self.fresh_bytes >= self.config.bytes {
            self.flush();
        }
        Pushed::Taken
    }

    /// Everything that waits may go; the number of this flush.
    pub(crate) fn flush(&mut self) -> u64 {
        self.lanes.values_mut().for_each(|lane| lane.ready = lane.waiting.len());
        (self.fresh, self.fresh_bytes, self.fresh_since) = (0, 0, None);
        self.flush += 1;
        self.flush - 1
    }

    /// Whether everything of this flush, and of those before it, is sent or on disk.
    pub(crate) fn is_flushed(&self, flush: u64) -> bool {
        self.outstanding.first_key_value().is_none_or(|(oldest, _)| *oldest > flush)
    }

    fn gone(&mut self, flush: u64, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
        if let Some(left) = self.outstanding.get_mut(&flush) {
            *left -= 1;
            if *left == 0 {
                self.outstanding.remove(&flush);
            }
        }
    }

    /// No more pauses: what fails once more goes to disk.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closing = true;
        self.flush();
        for lane in self.lanes.values_mut() {
            lane.recovering = false;
            if let Some(again) = &mut lane.again {
                again.at = again.at.min(now);
            }
        }
    }

    /// Groups on disk are tried again, each lane's oldest first.
    pub(crate) fn recover(&mut self) {
        self.lanes.values_mut().for_each(|lane| lane.recovering = !lane.on_disk.is_empty());
    }

    /// Whether any lane still tries what it has on disk.
    pub(crate) fn is_recovering(&self) -> bool {
        self.lanes.values().any(|lane| lane.recovering)
    }

    /// Messages in memory.
    pub(crate) fn pending(&self) -> usize {
        self.messages
    }

    /// Whether nothing but what is on disk is left.
    pub(crate) fn is_idle(&self) -> bool {
        self.messages == 0 && self.lanes.values().all(|lane| lane.busy == Busy::No)
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: Instant, new_id: impl FnOnce() -> String) -> Todo {
        let due = self.fresh_since.map(|since| since + self.config.wait);
        if due.is_some_and(|due| due <= now) {
            self.flush();
        }
        let mut wake = self.fresh_since.map(|since| since + self.config.wait);
        let mut found = None;
        for (subject, lane) in &mut self.lanes {
            if lane.busy == Busy::Yes {
                continue;
            }
            // What is on disk is older than all of the lane in memory, and makes room for it there.
            let later = lane.again.as_ref().map(|again| again.at).filter(|at| !lane.recovering && *at > now);
            if let Some(at) = later {
                wake = Some(wake.map_or(at, |wake| wake.min(at)));
            } else if lane.again.is_some() || lane.recovering || lane.ready > 0 {
                found = Some(subject.clone());
                break;
            }
        }
        let Some(subject) = found else { return Todo::Wait(wake) };
        let lane = self.lanes.get_mut(&subject).expect("it was just found");
        lane.busy = Busy::Yes;
        if lane.recovering {
            return Todo::Recover(subject, *lane.on_disk.front().expect("else it does not recover"));
        }
        if let Some(Again { group, park, .. }) = &lane.again {
            return if *park { Todo::Park(group.clone()) } else { Todo::Send(group.clone()) };
        }
        let (group, flushes) = cut(&subject, lane, &self.config, new_id());
        // Behind what is on disk, in order.
        let park = !lane.on_disk.is_empty();
        lane.again = Some(Again { group: group.clone(), flushes, tries: 0, at: now, park });
        if park { Todo::Park(group) } else { Todo::Send(group) }
    }

    /// The group is where it belongs.
    pub(crate) fn sent(&mut self, subject: &Subject) {
        self.settle(subject, |_| {});
    }

    /// The group failed, `done` of its messages before; where no repeat can help it is parked at once.
    pub(crate) fn failed(&mut self, subject: &Subject, done: usize, can_help: bool, now: Instant) {
        let closing = self.closing;
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        lane.busy = Busy::No;
        let Some(again) = &mut lane.again else { return };
        let sent: Vec<_> = again.flushes.drain(..done).zip(again.group.messages.drain(..done)).collect();
        again.tries += 1;
        match self.config.retries.get(again.tries - 1) {
            Some(pause) if can_help && !closing => again.at = now + *pause,
            _ => (again.park, again.at) = (true, now),
        }
        sent.into_iter().for_each(|(flush, message)| self.gone(flush, message.len()));
    }

    /// The group is on disk, under this number.
    pub(crate) fn parked(&mut self, subject: &Subject, number: u64) {
        self.settle(subject, |lane| lane.on_disk.push_back(number));
    }

    /// The group found no place on disk: it stays in memory, and is tried again after a while.
    pub(crate) fn not_parked(&mut self, subject: &Subject, pause: Duration, now: Instant) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        lane.busy = Busy::No;
        if let Some(again) = &mut lane.again {
            again.at = now + pause;
            // With nothing of the lane on disk its own place is as good.
            again.park = !lane.on_disk.is_empty();
            again.tries = self.config.retries.len();
        }
    }

    /// The oldest group on disk is where it belongs.
    pub(crate) fn recovered(&mut self, subject: &Subject) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        lane.busy = Busy::No;
        lane.on_disk.pop_front();
        lane.recovering &= !lane.on_disk.is_empty();
        if let Some(again) = &mut lane.again {
            again.park &= !lane.on_disk.is_empty();
        }
        self.forget_if_empty(subject);
    }

    /// A group on disk is taken out by hand: those behind it move up. Not while it is being sent.
    pub(crate) fn take_out(&mut self, subject: &Subject, number: u64) -> bool {
        let Some(lane) = self.lanes.get_mut(subject) else { return true };
        let sending = lane.busy == Busy::Yes && lane.recovering && lane.on_disk.front() == Some(&number);
        if sending {
            return false;
        }
        lane.on_disk.retain(|known| *known != number);
        lane.recovering &= !lane.on_disk.is_empty();
        if let Some(again) = &mut lane.again {
            again.park &= !lane.on_disk.is_empty();
        }
        if lane.busy == Busy::No {
            self.forget_if_empty(subject);
        }
        true
    }

    /// It failed again: the lane's groups stay on disk.
    pub(crate) fn not_recovered(&mut self, subject: &Subject) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        (lane.busy, lane.recovering) = (Busy::No, false);
    }

    /// Everything in memory, in groups, each subject's in order: for the disk, at the end.
    pub(crate) fn take_rest(&mut self, mut new_id: impl FnMut() -> String) -> Vec<Group> {
        self.flush();
        let mut rest = Vec::new();
        for (subject, mut lane) in self.lanes.drain() {
            rest.extend(lane.again.take().map(|again| again.group));
            while lane.ready > 0 {
                rest.push(cut(&subject, &mut lane, &self.config, new_id()).0);
            }
        }
        (self.messages, self.bytes) = (0, 0);
        self.outstanding.clear();
        rest
    }

    fn settle(&mut self, subject: &Subject, then: impl FnOnce(&mut Lane)) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        lane.busy = Busy::No;
        let settled = lane.again.take();
        then(lane);
        if let Some(Again { group, flushes, .. }) = settled {
            flushes.into_iter().zip(group.messages).for_each(|(flush, one)| self.gone(flush, one.len()));
        }
        self.forget_if_empty(subject);
    }

    fn forget_if_empty(&mut self, subject: &Subject) {
        let empty = |lane: &Lane| lane.waiting.is_empty() && lane.again.is_none() && lane.on_disk.is_empty();
        if self.lanes.get(subject).is_some_and(empty) {
            self.lanes.remove(subject);
        }
    }
}

/// The next group of what is ready, and the flush of each of its messages.
fn cut(subject: &Subject, lane: &mut Lane, config: &BatchConfig, id: String) -> (Group, Vec<u64>) {
    let (mut messages, mut flushes, mut bytes) = (Vec::new(), Vec::new(), 0);
    while lane.ready > 0 && messages.len() < config.messages {
        let fits =
            |(_, message): &mut (u64, Bytes)| messages.is_empty() || bytes + message.len() <= config.bytes;
        let Some((flush, message)) = lane.waiting.pop_front_if(fits) else { break };
        bytes += message.len();
        lane.ready -= 1;
        flushes.push(flush);
        messages.push(message);
    }
    (Group { subject: subject.clone(), id, messages }, flushes)
}

#[cfg(test)]
mod tests;
