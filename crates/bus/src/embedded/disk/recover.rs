//! What is found when a log is opened: every segment in order, what is torn cut off, what is damaged told.

use std::io;
use std::sync::Arc;

use crate::embedded::disk::codec::{Record, SEGMENT_HEAD, SegmentHead};
use crate::embedded::disk::files::FileLayer;
use crate::embedded::disk::segment::{
    Met, Scan, Segment, Standing, Stretch, each_record, name_of, number_of, read_all, salvage, scan, written,
};
use crate::embedded::view::Place;

/// Bytes of the log that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Records that are there.
    pub records: u64,
    /// Bytes cut off at the end: a write that was never acknowledged.
    pub torn_bytes: u64,
    /// What is damaged. Everything else is readable; reads that need it answer `Storage`.
    pub damaged: Vec<Damage>,
    /// Whether the log had given out a number that it no longer holds: the epoch is a new one.
    pub behind: bool,
}

/// A range of sequences that damage took, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) place: Place,
}

/// What was given out last, as the mark's file has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) group: u64,
}

/// Bytes of a mark: two numbers and their checksum.
const MARK_BYTES: usize = 20;

impl Mark {
    pub(crate) fn encode(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.group.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Nothing where it is not whole: it is not synced, so it may be anything.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let read = || {
            let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
            let crc = u32::from_le_bytes(bytes.get(16..MARK_BYTES)?.try_into().ok()?);
            (crc32c::crc32c(&bytes[..16]) == crc).then_some(Self { seq: number(0)?, group: number(8)? })
        };
        read().unwrap_or_default()
    }
}

/// What takes the records as they are found, in order.
pub(crate) trait Replay {
    fn sound(&mut self, record: &Record<'_>, place: Place, lost: &[Lost]);
    fn damaged(&mut self, record: &Record<'_>, place: Place);
}

/// The log as it was found.
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The newest segment's sound length, where it can be written on.
    pub(crate) append_at: Option<u64>,
    pub(crate) last_seq: u64,
    pub(crate) last_group: u64,
    pub(crate) age_floor: u64,
    pub(crate) next_number: u32,
    pub(crate) report: RecoveryReport,
}

struct Found {
    segment: Segment,
    data: Vec<u8>,
}

/// Opens every segment, drops what a compaction left over.
fn open_all(
    files: &dyn FileLayer,
    report: &mut RecoveryReport,
    next_number: &mut u32,
) -> io::Result<Vec<Found>> {
    let mut numbers: Vec<u32> = files.list()?.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let mut found: Vec<Found> = Vec::new();
    let mut covered = 0;
    for (place, number) in numbers.iter().enumerate() {
        let name = name_of(*number);
        *next_number = number + 1;
        if *number <= covered {
            files.remove(&name)?;
            continue;
        }
        let file = files.open(&name)?;
        let data = read_all(file.as_ref())?;
        // The newest, made and not yet on disk when the end came: nothing was written to it. Its length may be there
        // before its head is.
        let begun = data.len() < SEGMENT_HEAD || (data.len() == SEGMENT_HEAD && written(&data) == 0);
        if place + 1 == numbers.len() && begun {
            files.remove(&name)?;
            continue;
        }
        match SegmentHead::decode(&data).filter(|head| head.number == *number) {
            Some(head) => {
                covered = covered.max(head.covers);
                found.push(Found { segment: Segment { head, name, file }, data });
            }
            None => report.damaged.push(Damage { file: name, offset: 0, bytes: data.len() as u64 }),
        }
    }
    Ok(found)
}

/// Reads the log, giving its records to `replay`.
pub(crate) fn recover(files: &dyn FileLayer, marked: Mark, replay: &mut dyn Replay) -> io::Result<Recovered> {
    let mut report = RecoveryReport::default();
    let mut next_number = 1;
    for name in files.list()?.iter().filter(|name| name.ends_with(".tmp")) {
        files.remove(name)?;
    }
    let found = open_all(files, &mut report, &mut next_number)?;
    let mut reader = Reader { report, lost: Vec::new(), last_seq: 0, last_group: 0, replay };
    let mut age_floor = 0;
    let mut append_at = None;
    for place in 0..found.len() {
        let Found { segment, data } = &found[place];
        let next = found.get(place + 1).map(|next| &next.segment.head);
        let standing = Standing::before(&segment.head, next, marked.group);
        age_floor = age_floor.max(segment.head.age_floor);
        reader.last_seq = reader.last_seq.max(segment.head.base);
        reader.last_group = reader.last_group.max(segment.head.synced);
        let scan = scan(data, segment.head.checksum_seed(), standing);
        reader.read(segment, data, &scan);
        if matches!(standing, Standing::Newest { .. }) {
            let behind = marked.seq > reader.last_seq;
            append_at = Some(cut_off(segment, data, &scan, behind, &mut reader.report)?);
        }
        if let Standing::Sealed { len } = standing
            && data.len() as u64 > len
        {
            segment.file.set_len(len)?;
        }
    }
    reader.report.behind = marked.seq > reader.last_seq;
    reader.last_seq = reader.last_seq.max(marked.seq);
    reader.last_group = reader.last_group.max(marked.group);
    let Reader { report, last_seq, last_group, .. } = reader;
    let segments = found.into_iter().map(|found| Arc::new(found.segment)).collect();
    Ok(Recovered { segments, append_at, last_seq, last_group, age_floor, next_number, report })
}

/// Cuts off what was torn and the zeros after it, so that nothing stands where the next write begins, and brings what
/// is kept to the disk: it may never have been synced.
fn cut_off(
    segment: &Segment,
    data: &[u8],
    scan: &Scan,
    behind: bool,
    report: &mut RecoveryReport,
) -> io::Result<u64> {
    let torn = written(&data[scan.end..]) as u64;
    if data.len() > scan.end {
        segment.file.set_len(scan.end as u64)?;
    }
    if behind {
        let file = segment.name.clone();
        report.damaged.push(Damage { file, offset: scan.end as u64, bytes: torn });
    } else {
        report.torn_bytes += torn;
    }
    segment.file.sync()?;
    Ok(scan.end as u64)
}

struct Reader<'a> {
    report: RecoveryReport,
    lost: Vec<Lost>,
    last_seq: u64,
    last_group: u64,
    replay: &'a mut dyn Replay,
}

impl Reader<'_> {
    fn read(&mut self, segment: &Segment, data: &[u8], scan: &Scan) {
        let seed = segment.head.checksum_seed();
        let mut unsure: Option<(u64, Place)> = None;
        for stretch in &scan.stretches {
            match *stretch {
                Stretch::Sound(frame) => {
                    each_record(data, frame, seed, |met| self.meet(segment, met, &mut unsure));
                }
                Stretch::Damaged { from, to } => {
                    tracing::error!(file = %segment.name, offset = from, bytes = to - from, "the log is damaged");
                    self.report.damaged.push(Damage {
                        file: segment.name.clone(),
                        offset: from as u64,
                        bytes: (to - from) as u64,
                    });
                    let place = place_of(segment, from, 0);
                    unsure = Some((self.last_seq + 1, place));
                    salvage(data, from, to, seed, |met| self.meet(segment, met, &mut unsure));
                    unsure = Some((self.last_seq + 1, place));
                }
            }
        }
        if let Some((first, place)) = unsure {
            // Damage up to the end: the next segment's base says how far it went.
            self.lost.push(Lost { first, last: u64::MAX, place });
        }
        self.last_group = self.last_group.max(scan.last_group);
    }

    fn meet(&mut self, segment: &Segment, met: Met<'_>, unsure: &mut Option<(u64, Place)>) {
        let (Met::Sound { record, .. } | Met::Damaged { record, .. }) = &met;
        if record.kind.is_numbered() {
            if let Some((first, place)) = unsure.take()
                && first < record.seq
            {
                self.lost.push(Lost { first, last: record.seq - 1, place });
            }
            for open in self.lost.iter_mut().filter(|lost| lost.last == u64::MAX) {
                open.last = record.seq - 1;
            }
            self.last_seq = self.last_seq.max(record.seq);
        }
        match met {
            Met::Sound { record, offset, len } => {
                self.report.records += 1;
                self.replay.sound(&record, place_of(segment, offset, len), &self.lost);
            }
            Met::Damaged { record, offset } => self.replay.damaged(&record, place_of(segment, offset, 0)),
        }
    }
}

fn place_of(segment: &Segment, offset: usize, len: usize) -> Place {
    Place {
        segment: segment.head.number,
        offset: u32::try_from(offset).unwrap_or(u32::MAX),
        len: u32::try_from(len).unwrap_or(u32::MAX),
    }
}
