//! What readers and followers see of the stream: the index of every log, and the newest messages in memory.
//!
//! One writer changes it, after what it shows is stored; readers hold its lock for bounded looks only and read
//! the disk without it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::embedded::disk::recover::Lost;
use crate::embedded::disk::segment::Segment;
use crate::embedded::signal::Signal;
use crate::log::LogMessage;
use crate::settings::Retention;
use crate::subject::{KeyMap, NO_TEMPLATE, Subject, matches_text};

/// Names a log while the process runs; never reused.
pub(crate) type LogId = u64;

/// Most logs without messages and followers that are remembered, so that a place older than what they lost is
/// told exactly; beyond it the stream's floor answers, which may report a hole where nothing was missed.
const IDLE_LOGS_MAX: usize = 65_536;

/// Where a record stands on disk. `len` 0: it is damaged there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) place: Place,
}

pub(crate) struct LogState {
    pub(crate) subject: Subject,
    pub(crate) entries: VecDeque<Entry>,
    /// The highest sequence of this log that is no longer retained.
    pub(crate) removed: u64,
    retention: Retention,
    followers: Vec<Arc<Signal>>,
}

impl LogState {
    pub(crate) fn last(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.seq)
    }

    fn first_after(&self, after: u64) -> usize {
        self.entries.partition_point(|entry| entry.seq <= after)
    }
}

/// A stored message that was found, to be loaded from the tail or the disk.
pub(crate) struct Found {
    pub(crate) log: LogId,
    pub(crate) subject: Subject,
    pub(crate) entry: Entry,
    pub(crate) prev: u64,
    /// Where it is on disk; open even if the file is compacted away meanwhile.
    pub(crate) segment: Option<Arc<Segment>>,
    /// There where the newest messages hold it.
    pub(crate) message: Option<LogMessage>,
}

/// What a search over several logs found.
pub(crate) struct Merged {
    pub(crate) found: Vec<Found>,
    /// The logs that have no more up to where was asked.
    pub(crate) exhausted: Vec<LogId>,
}

/// The newest messages, in the order of the stream.
pub(crate) struct Tail {
    messages: VecDeque<(LogId, LogMessage)>,
    bytes: usize,
    bytes_max: usize,
    /// Every message after this one is here.
    pub(crate) complete_after: u64,
}

/// What a message costs in memory beside its payload.
const MESSAGE_OVERHEAD_BYTES: usize = 128;
/// How long what is new may go beyond the tail's bytes: readers who look a few times a second find it in memory however
/// much is said.
const BURST_MS: i64 = 1_000;
/// How many times the tail's bytes it may be meanwhile.
const BURST_TIMES: usize = 3;

impl Tail {
    fn push(&mut self, log: LogId, message: LogMessage) {
        let now_ms = message.time_ms;
        self.bytes += message.payload.len() + MESSAGE_OVERHEAD_BYTES;
        self.messages.push_back((log, message));
        self.forget(now_ms);
    }

    /// Lets go what is beyond its bytes.
    pub(crate) fn forget(&mut self, now_ms: i64) {
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.messages.front()
            && (self.bytes > self.bytes_max.saturating_mul(BURST_TIMES)
                || now_ms - oldest.time_ms >= BURST_MS)
        {
            self.bytes -= oldest.payload.len() + MESSAGE_OVERHEAD_BYTES;
            self.complete_after = oldest.seq;
            self.messages.pop_front();
        }
    }

    fn place(&self, after: u64) -> usize {
        self.messages.partition_point(|(_, message)| message.seq <= after)
    }

    fn get(&self, seq: u64) -> Option<&LogMessage> {
        let (_, message) = self.messages.get(self.place(seq.checked_sub(1)?))?;
        (message.seq == seq).then_some(message)
    }

    /// The messages after a sequence.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &(LogId, LogMessage)> {
        self.messages.range(self.place(after)..)
    }
}

pub(crate) struct View {
    ids: KeyMap<Subject, LogId>,
    logs: KeyMap<LogId, LogState>,
    next_id: LogId,
    pub(crate) tail: Tail,
    /// Every segment of the log by its number.
    pub(crate) segments: BTreeMap<u32, Arc<Segment>>,
    /// The last sequence that is stored and shown.
    pub(crate) visible: u64,
    /// The highest sequence that grew too old, in any log: what an empty log may have lost.
    pub(crate) age_floor: u64,
    /// The highest sequence that logs without an age had lost when they were forgotten.
    forgotten: u64,
    /// When the stream had come how far, a second apart: turns an age into a sequence.
    marks: VecDeque<(i64, u64)>,
    retention: Retention,
    rules: Vec<(String, Retention)>,
}

/// How far apart marks are.
const MARK_EVERY_MS: i64 = 1_000;

impl View {
    pub(crate) fn new(tail_bytes: usize, retention: Retention, rules: Vec<(String, Retention)>) -> Self {
        Self {
            ids: KeyMap::default(),
            logs: KeyMap::default(),
            next_id: 0,
            tail: Tail { messages: VecDeque::new(), bytes: 0, bytes_max: tail_bytes, complete_after: 0 },
            segments: BTreeMap::new(),
            visible: 0,
            age_floor: 0,
            forgotten: 0,
            marks: VecDeque::new(),
            retention,
            rules,
        }
    }

    pub(crate) fn id(&self, subject: &Subject) -> Option<LogId> {
        self.ids.get(subject).copied()
    }

    pub(crate) fn log(&self, id: LogId) -> Option<&LogState> {
        self.logs.get(&id)
    }

    /// The log of a subject, made where there is none yet.
    pub(crate) fn ensure(&mut self, subject: &Subject) -> LogId {
        if let Some(id) = self.ids.get(subject) {
            // One that was read from disk learns its template from the first who names it.
            if let Some(log) = self.logs.get_mut(id)
                && log.subject.template() == NO_TEMPLATE
            {
                log.subject = subject.clone();
            }
            return *id;
        }
        if self.logs.len() >= IDLE_LOGS_MAX {
            self.forget_idle();
        }
        self.next_id += 1;
        let text = subject.as_str();
        let rule = self.rules.iter().find(|(pattern, _)| matches_text(pattern, text));
        let retention = rule.map_or(self.retention, |(_, retention)| *retention);
        let state = LogState {
            subject: subject.clone(),
            entries: VecDeque::new(),
            removed: if retention.age.is_some() { self.age_floor } else { self.forgotten },
            retention,
            followers: Vec::new(),
        };
        self.ids.insert(subject.clone(), self.next_id);
        self.logs.insert(self.next_id, state);
        self.next_id
    }

    fn forget_idle(&mut self) {
        let (ids, forgotten) = (&mut self.ids, &mut self.forgotten);
        self.logs.retain(|_, log| {
            let keep = !log.entries.is_empty() || !log.followers.is_empty();
            if !keep {
                ids.remove(&log.subject);
                if log.retention.age.is_none() {
                    *forgotten = (*forgotten).max(log.removed);
                }
            }
            keep
        });
    }

    /// The last sequence of a log; 0 where it has none.
    pub(crate) fn last(&self, subject: &Subject) -> u64 {
        self.id(subject).and_then(|id| self.logs.get(&id)).map_or(0, LogState::last)
    }

    /// The highest sequence of a log that is no longer retained.
    pub(crate) fn removed(&self, subject: &Subject) -> u64 {
        self.id(subject).and_then(|id| self.logs.get(&id)).map_or(self.forgotten, |log| log.removed)
    }

    /// Shows a message that is stored.
    pub(crate) fn append(&mut self, message: LogMessage, place: Place, to_wake: &mut Vec<Arc<Signal>>) {
        let id = self.ensure(&message.subject);
        let (seq, time_ms) = (message.seq, message.time_ms);
        let log = self.logs.get_mut(&id).expect("ensured just now");
        log.entries.push_back(Entry { seq, place });
        to_wake.extend(log.followers.iter().filter(|follower| follower.mark()).cloned());
        let excess = log.retention.messages.map_or(0, |most| log.entries.len().saturating_sub(most.max(1)));
        Self::pop(log, excess);
        self.tail.push(id, message);
        self.mark(time_ms, seq);
    }

    /// Shows a message that was found on disk when the log was opened. Where the one before it in its log was lost
    /// to damage, that place is told to whoever reads it.
    pub(crate) fn recover(
        &mut self,
        subject: &Subject,
        entry: Entry,
        prev: u64,
        time_ms: i64,
        lost: &[Lost],
    ) {
        let id = self.ensure(subject);
        let log = self.logs.get_mut(&id).expect("ensured just now");
        let damage = lost.iter().find(|lost| (lost.first..=lost.last).contains(&prev));
        if let Some(damage) = damage
            && prev > log.removed
            && log.last() < prev
        {
            log.entries.push_back(Entry { seq: prev, place: damage.place });
        } else if log.entries.is_empty() {
            log.removed = log.removed.max(prev);
        }
        log.entries.push_back(entry);
        let excess = log.retention.messages.map_or(0, |most| log.entries.len().saturating_sub(most.max(1)));
        Self::pop(log, excess);
        self.mark(time_ms, entry.seq);
    }

    /// After everything on disk was shown: the tail begins here.
    pub(crate) fn settle(&mut self, last_seq: u64) {
        self.visible = last_seq;
        self.tail.complete_after = last_seq;
    }

    /// The messages have new places; those of the old segments that have none are no longer wanted.
    pub(crate) fn relocate(&mut self, moved: &[(u64, Place)], through: u32) {
        let moved: HashMap<u64, Place> = moved.iter().copied().collect();
        for log in self.logs.values_mut() {
            for entry in log.entries.iter_mut().take_while(|entry| entry.place.segment <= through) {
                if let Some(place) = moved.get(&entry.seq) {
                    entry.place = *place;
                }
            }
        }
    }

    /// Whether a message of a log is retained.
    pub(crate) fn retains(&self, subject: &Subject, seq: u64) -> bool {
        let log = self.id(subject).and_then(|id| self.logs.get(&id));
        log.and_then(|log| log.entries.front()).is_some_and(|first| first.seq <= seq)
    }

    fn mark(&mut self, time_ms: i64, seq: u64) {
        match self.marks.back_mut() {
            Some((since, last)) if time_ms < *since + MARK_EVERY_MS => *last = seq,
            _ => self.marks.push_back((time_ms, seq)),
        }
    }

    fn pop(log: &mut LogState, count: usize) {
        if let Some(entry) = log.entries.drain(..count).next_back() {
            log.removed = log.removed.max(entry.seq);
        }
    }

    /// Forgets a log's messages up to and with a sequence.
    pub(crate) fn trim(&mut self, subject: &Subject, through: u64) {
        let Some(log) = self.ids.get(subject).and_then(|id| self.logs.get_mut(id)) else { return };
        let count = log.first_after(through);
        Self::pop(log, count);
    }

    /// Forgets what is older than its log keeps. Costs one look at each log.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        let mut oldest_needed = now_ms;
        for log in self.logs.values_mut() {
            let Some(age) = log.retention.age else { continue };
            let border = now_ms - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            oldest_needed = oldest_needed.min(border);
            // A mark's last message is at most a second younger than the mark.
            let through = self.marks.partition_point(|(since, _)| *since + MARK_EVERY_MS <= border);
            let Some((_, seq)) = through.checked_sub(1).and_then(|place| self.marks.get(place)) else {
                continue;
            };
            let count = log.first_after(*seq);
            self.age_floor = self.age_floor.max(*seq);
            Self::pop(log, count);
        }
        let slack = Duration::from_secs(60).as_millis() as i64;
        while self.marks.len() > 1
            && self.marks.front().is_some_and(|(since, _)| *since < oldest_needed - slack)
        {
            self.marks.pop_front();
        }
    }

    pub(crate) fn watch(&mut self, id: LogId, signal: &Arc<Signal>) {
        if let Some(log) = self.logs.get_mut(&id)
            && !log.followers.iter().any(|other| Arc::ptr_eq(other, signal))
        {
            log.followers.push(signal.clone());
        }
    }

    pub(crate) fn unwatch(&mut self, id: LogId, signal: &Arc<Signal>) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.followers.retain(|other| !Arc::ptr_eq(other, signal));
        }
    }

    /// The latest time of a message, as far as it is known.
    pub(crate) fn last_time_ms(&self) -> i64 {
        self.marks.back().map_or(0, |(since, _)| *since)
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = &LogState> {
        self.logs.values()
    }

    /// The messages of several logs, each after its own sequence, up to and with `through`, in the order of the
    /// stream: at most `limit` of them and about `bytes_max` bytes, at least one.
    pub(crate) fn merge(
        &self,
        wanted: &[(LogId, u64)],
        through: u64,
        limit: usize,
        bytes_max: usize,
    ) -> Merged {
        let mut heap = BinaryHeap::new();
        let mut exhausted = Vec::new();
        for (id, after) in wanted {
            let next = self.logs.get(id).and_then(|log| {
                let place = log.first_after(*after);
                log.entries.get(place).filter(|entry| entry.seq <= through).map(|entry| (entry.seq, place))
            });
            match next {
                Some((seq, place)) => heap.push(Reverse((seq, *id, place))),
                None => exhausted.push(*id),
            }
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        while found.len() < limit
            && (bytes < bytes_max || found.is_empty())
            && let Some(Reverse((seq, id, place))) = heap.pop()
        {
            let log = &self.logs[&id];
            let entry = log.entries[place];
            bytes += entry.place.len as usize;
            found.push(self.found(id, log, place));
            match log.entries.get(place + 1) {
                Some(next) if next.seq <= through => heap.push(Reverse((next.seq, id, place + 1))),
                _ => exhausted.push(id),
            }
            debug_assert_eq!(seq, entry.seq);
        }
        Merged { found, exhausted }
    }

    pub(crate) fn found(&self, id: LogId, log: &LogState, place: usize) -> Found {
        let entry = log.entries[place];
        let prev = place.checked_sub(1).map_or(0, |before| log.entries[before].seq);
        let message = self.tail.get(entry.seq).map(|message| LogMessage { prev, ..message.clone() });
        let segment = match &message {
            Some(_) => None,
            None => self.segments.get(&entry.place.segment).cloned(),
        };
        Found { log: id, subject: log.subject.clone(), entry, prev, segment, message }
    }
}
