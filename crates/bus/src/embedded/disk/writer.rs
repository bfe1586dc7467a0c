//! The one writer of the log. It drains what waits, checks each commit's conditions against what is stored and
//! what is before it in the same write, writes once, syncs once, shows the result in the order of the stream, and
//! then answers.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::embedded::config::EmbeddedConfig;
use crate::embedded::disk::active::Active;
use crate::embedded::disk::codec::{SEGMENT_HEAD, SegmentHead};
use crate::embedded::disk::compact::{self, Compacted, Done};
use crate::embedded::disk::files::{FileLayer, LogFile};
use crate::embedded::disk::group::{Accepted, Group};
use crate::embedded::disk::inbox::{Inbox, Target, Txn};
use crate::embedded::disk::recover::Mark;
use crate::embedded::disk::segment::{Segment, Standing, name_of};
use crate::embedded::shared::Shared;
use crate::embedded::view::Place;
use crate::error::{Error, ErrorKind};
use crate::log::LogMessage;

/// Bytes of one write: more waits for the next, so that no commit waits for a write of unlimited size.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of memory kept from one write for the next.
const ROOM_KEPT_MAX: usize = 2 * 1024 * 1024;

pub(crate) struct Writer {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) files: Arc<dyn FileLayer>,
    pub(crate) segment_bytes: u64,
    pub(crate) active: Option<Active>,
    pub(crate) next_number: u32,
    pub(crate) last_seq: u64,
    /// The last group that was tried, and the last that is on disk.
    pub(crate) group: u64,
    pub(crate) synced: u64,
    /// Where the last write lay in memory: the next is laid there.
    pub(crate) room: Vec<u8>,
    /// Room could not be made ready: not tried again before the next maintenance.
    pub(crate) crowded: bool,
    pub(crate) mark: Option<Arc<dyn LogFile>>,
    pub(crate) last_time_ms: i64,
    pub(crate) maintained: Instant,
    /// Nothing is forgotten by its age before.
    pub(crate) forget_from: Instant,
    pub(crate) maintain_every: Duration,
    pub(crate) compacting: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn segment_bytes(config: &EmbeddedConfig) -> u64 {
        config.segment_bytes.clamp(4_096, 1 << 30)
    }

    /// Runs until the inbox is closed and empty.
    pub(crate) fn run(mut self) {
        self.maintained = Instant::now();
        loop {
            let taken = self.inbox.take(self.maintain_every);
            if let Some(done) = taken.compacted {
                self.finish_compaction(done);
            }
            let idle = taken.txns.is_empty();
            self.write_all(taken.txns);
            if self.maintained.elapsed() >= self.maintain_every {
                self.maintain();
            }
            if taken.closed && idle {
                break;
            }
        }
        if let Some(compacting) = self.compacting.take() {
            let _ = compacting.join();
            if let Some(done) = self.inbox.take(Duration::ZERO).compacted {
                self.finish_compaction(done);
            }
        }
        if let Some(active) = &mut self.active {
            active.trim();
        }
        if let Some(mark) = &self.mark {
            let _ = mark.sync();
        }
    }

    fn write_all(&mut self, txns: Vec<Txn>) {
        let mut waiting = txns.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut group = Group::after(self.last_seq, std::mem::take(&mut self.room));
            self.group += 1;
            self.last_time_ms = now_ms().max(self.last_time_ms);
            let seed = match self.roll_if_needed(waiting.peek().map_or(0, Txn::bytes)) {
                Ok(seed) => seed,
                Err(error) => {
                    self.fail(waiting.collect(), &error);
                    return;
                }
            };
            {
                let view = self.shared.view.read();
                while let Some(txn) = waiting.peek()
                    && (group.bytes.is_empty() || group.bytes.len() + txn.bytes() <= GROUP_BYTES_MAX)
                {
                    let txn = waiting.next().expect("peeked");
                    group.add(&view, txn, self.group, seed, self.last_time_ms);
                }
            }
            self.store(group);
            self.prepare();
        }
    }

    fn store(&mut self, group: Group) {
        if !group.bytes.is_empty()
            && let Err(error) = self.write(&group.bytes)
        {
            let Group { accepted, refused, .. } = group;
            let txns = accepted.into_iter().map(|one| one.txn).chain(refused.into_iter().map(|one| one.0));
            self.fail(txns.collect(), &error);
            return;
        }
        let Group { mut bytes, mut accepted, refused, last_seq, .. } = group;
        self.last_seq = last_seq;
        self.shared.metrics.group_commits.record(accepted.len() as f64);
        self.shared.metrics.stored_bytes.increment(bytes.len() as u64);
        let begun = self.show(&mut accepted, bytes.len() as u64);
        if !bytes.is_empty() {
            self.put_mark();
        }
        if bytes.capacity() <= ROOM_KEPT_MAX {
            bytes.clear();
            self.room = bytes;
        }
        for Accepted { txn, committed, .. } in accepted {
            self.shared.metrics.commit_seconds.record((begun - txn.asked).as_secs_f64());
            txn.reply(Ok(committed));
        }
        for (txn, error) in refused {
            txn.reply(Err(error));
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let synced = self.active.as_mut().expect("rolled before the write").write(bytes)?;
        self.shared.metrics.sync_seconds.record(synced.as_secs_f64());
        self.synced = self.group;
        Ok(())
    }

    /// Makes room ready for what comes, when nobody waits for what was written. Where that fails, a commit may still
    /// be stored: it makes the file longer as it goes.
    fn prepare(&mut self) {
        let (ahead, until) = (self.files.ahead(), self.segment_bytes);
        let Some(active) = self.active.as_mut().filter(|_| ahead > 0 && !self.crowded) else { return };
        if let Err(error) = active.prepare(ahead, until) {
            tracing::warn!(%error, "no room was made ready in the log: syncs take longer");
            self.crowded = true;
        }
    }

    fn fail(&self, txns: Vec<Txn>, error: &io::Error) {
        tracing::error!(%error, commits = txns.len(), "the log cannot be written");
        self.shared.metrics.write_failures.increment(1);
        for txn in txns {
            let refusal = Error::new(
                ErrorKind::Storage,
                format!("the log in {} cannot be written", self.files.place()),
            )
            .because(io::Error::new(error.kind(), error.to_string()));
            txn.reply(Err(refusal));
        }
    }

    /// Shows what is stored, in the order of the stream. Who follows it is woken when it can be seen: woken before, it
    /// would only wait for the lock.
    fn show(&mut self, accepted: &mut [Accepted], len: u64) -> Instant {
        let active = self.active.as_mut().expect("just written");
        let (number, base) = (active.segment.head.number, active.len);
        let mut to_wake = Vec::new();
        let mut view = self.shared.view.write();
        for one in accepted {
            for (record, (seq, prev, written)) in one.txn.records.iter_mut().zip(&one.written) {
                match &record.target {
                    Target::Log { checked } => {
                        let message = LogMessage {
                            subject: record.subject.clone(),
                            seq: *seq,
                            prev: *prev,
                            time_ms: self.last_time_ms,
                            payload: std::mem::take(&mut record.payload),
                            checked: *checked,
                        };
                        let place = Place {
                            segment: number,
                            offset: u32::try_from(base + written.offset as u64).unwrap_or(u32::MAX),
                            len: u32::try_from(written.len).unwrap_or(u32::MAX),
                        };
                        view.append(message, place, &mut to_wake);
                    }
                    Target::Trim => view.trim(&record.subject, record.aux.unsigned_abs()),
                    Target::Put(bucket, key) => {
                        bucket.apply_put(key, record.payload.clone(), *seq, record.aux);
                    }
                    Target::Delete(bucket, key) => bucket.apply_delete(key),
                    Target::Work(queue) => queue.apply_put(*seq, self.last_time_ms, record.payload.clone()),
                    Target::Attempt(queue) => queue.apply_attempt(record.aux.unsigned_abs(), &record.payload),
                    Target::Done(queue) => queue.apply_done(record.aux.unsigned_abs()),
                }
            }
        }
        view.visible = self.last_seq;
        active.len += len;
        drop(view);
        to_wake.iter().for_each(|follower| follower.wake());
        let shown = Instant::now();
        if !to_wake.is_empty() {
            // Where threads share a core, those who wait for what was stored come before those who stored it.
            std::thread::yield_now();
        }
        shown
    }

    /// A number given out, where a killed process leaves it behind: not synced, so it costs a write to memory.
    fn put_mark(&self) {
        let Some(mark) = &self.mark else { return };
        let _ = mark.write_at(&Mark { seq: self.last_seq, group: self.synced }.encode(), 0);
    }

    /// Makes a new segment where there is none to write to, or the next write would not fit.
    fn roll_if_needed(&mut self, next_bytes: usize) -> io::Result<u32> {
        if let Some(active) = &mut self.active {
            let full =
                active.len > SEGMENT_HEAD as u64 && active.len + next_bytes as u64 > self.segment_bytes;
            if !full && !active.spoiled {
                return Ok(active.segment.head.checksum_seed());
            }
            active.trim();
        }
        let head = SegmentHead {
            number: self.next_number,
            covers: 0,
            compacted: false,
            base: self.last_seq,
            synced: self.synced,
            prev: self.active.as_ref().map_or(0, |active| active.segment.head.number),
            prev_len: self.active.as_ref().map_or(0, |active| active.len),
            age_floor: self.shared.view.read().age_floor,
            seed: random(),
        };
        let seed = head.checksum_seed();
        let segment = Arc::new(Segment::create(self.files.as_ref(), head)?);
        self.next_number += 1;
        self.shared.view.write().segments.insert(segment.head.number, segment.clone());
        self.active = Some(Active::new(segment, SEGMENT_HEAD as u64));
        Ok(seed)
    }

    fn maintain(&mut self) {
        self.maintained = Instant::now();
        self.crowded = false;
        let mut view = self.shared.view.write();
        view.tail.forget(now_ms());
        if self.maintained >= self.forget_from {
            view.expire(now_ms());
        }
        drop(view);
        // What one has made is put in place before the next begins: they write to one name. One that ended by a fault of its
        // own has made nothing.
        let is_under_way = |one: &JoinHandle<()>| !one.is_finished() || self.inbox.has_compacted();
        if self.compacting.as_ref().is_some_and(is_under_way) {
            return;
        }
        let Some(segments) = self.worth_compacting() else { return };
        let (files, shared, inbox) = (self.files.clone(), self.shared.clone(), self.inbox.clone());
        let work = move || {
            let outcome = compact::compact(files.as_ref(), &shared, &segments, random());
            inbox.compacted(Done { outcome });
        };
        match std::thread::Builder::new().name("tidings-compact".to_owned()).spawn(work) {
            Ok(thread) => self.compacting = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread for compaction: tried again later"),
        }
    }

    /// The sealed segments from the front that are worth making one of.
    fn worth_compacting(&self) -> Option<Vec<(Arc<Segment>, Standing)>> {
        let active = self.active.as_ref()?.segment.head.number;
        let view = self.shared.view.read();
        let segments: Vec<Arc<Segment>> = view.segments.values().cloned().collect();
        drop(view);
        let sealed = segments.iter().take_while(|segment| segment.head.number != active).count();
        if sealed == 0 {
            return None;
        }
        let live = self.shared.live_bytes();
        let of = |segment: &Arc<Segment>| live.get(&segment.head.number).copied().unwrap_or(0);
        let alive: Vec<u64> = segments[..sealed].iter().map(of).collect();
        let total: Vec<u64> =
            segments[..sealed].iter().map(|segment| segment.file.len().unwrap_or(0)).collect();
        self.shared.metrics.segments.set(segments.len() as f64);
        let count = compact::worth(&alive, &total);
        let standing = |place: usize| {
            let next = segments.get(place + 1).map(|next| &next.head);
            Standing::before(&segments[place].head, next, self.synced)
        };
        (count > 0).then(|| (0..count).map(|place| (segments[place].clone(), standing(place))).collect())
    }

    fn finish_compaction(&mut self, done: Done) {
        self.compacting = None;
        let result = done.outcome.and_then(|compacted| self.put_in_place(compacted));
        if let Err(error) = result {
            tracing::warn!(%error, "a compaction failed: tried again later");
            self.shared.metrics.compaction_failures.increment(1);
        }
    }

    fn put_in_place(&mut self, compacted: Compacted) -> io::Result<()> {
        let Compacted { head, file, tmp, moved } = compacted;
        let name = name_of(head.number);
        self.files.rename(&tmp, &name)?;
        self.files.sync_folder()?;
        let mut view = self.shared.view.write();
        // From the segment itself on, since one that covers no other is a range that is empty, not one that is
        // none.
        let covered = view.segments.range(head.number..=head.covers).map(|(number, _)| *number);
        let gone: Vec<u32> = covered.filter(|number| *number != head.number).collect();
        view.relocate(&moved, head.covers);
        for number in &gone {
            view.segments.remove(number);
        }
        view.segments.insert(head.number, Arc::new(Segment { name, head, file }));
        drop(view);
        for number in gone {
            self.files.remove(&name_of(number))?;
        }
        self.shared.metrics.compactions.increment(1);
        Ok(())
    }
}

/// Random bytes for seeds and epochs.
pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
