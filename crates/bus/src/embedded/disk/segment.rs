//! A segment of the log: a file, its head, and what stands in it.

use std::io;
use std::sync::Arc;

use crate::embedded::disk::codec::{
    self, Decoded, Frame, Record, SEGMENT_HEAD, SegmentHead, decode_frame, decode_record,
};
use crate::embedded::disk::files::{FileLayer, LogFile};

/// An open segment.
pub(crate) struct Segment {
    pub(crate) head: SegmentHead,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn LogFile>,
}

/// The name of a segment's file.
pub(crate) fn name_of(number: u32) -> String {
    format!("{number:08}.log")
}

/// The number in a segment's name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    name.strip_suffix(".log")?.parse().ok()
}

impl Segment {
    /// Makes a segment; its head and its name are on disk when it returns.
    pub(crate) fn create(files: &dyn FileLayer, head: SegmentHead) -> io::Result<Self> {
        let name = name_of(head.number);
        let file = files.open(&name)?;
        let made = file
            .set_len(0)
            .and_then(|()| file.write_at(&head.encode(), 0))
            .and_then(|()| file.sync())
            .and_then(|()| files.sync_folder());
        if let Err(error) = made {
            let _ = files.remove(&name);
            return Err(error);
        }
        Ok(Self { head, name, file })
    }

    /// All its bytes.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        read_all(self.file.as_ref())
    }
}

/// All bytes of a file.
pub(crate) fn read_all(file: &dyn LogFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut data = vec![0; len];
    file.read_at(&mut data, 0)?;
    Ok(data)
}

/// How much of it was written: what was made ready and not written is zeros.
pub(crate) fn written(data: &[u8]) -> usize {
    const STEP: usize = 512;
    let mut end = data.len();
    while end >= STEP && data[end - STEP..end] == [0; STEP] {
        end -= STEP;
    }
    data[..end].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A stretch of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stretch {
    Sound(Frame),
    /// Bytes that were on disk once and are not what they were.
    Damaged {
        from: usize,
        to: usize,
    },
}

/// What a look through a segment found.
pub(crate) struct Scan {
    pub(crate) stretches: Vec<Stretch>,
    /// Where the sound part ends: what follows was never acknowledged.
    pub(crate) end: usize,
    pub(crate) last_group: u64,
}

/// What is known of a segment from outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The newest: its last write may be torn, unless it is of a group that is marked as given out.
    Newest { marked: u64 },
    /// Another was begun after it, when it was on disk this far; what stands beyond was given up.
    Sealed { len: u64 },
    /// Written whole.
    Whole,
}

impl Standing {
    /// The standing of a segment that has another after it.
    pub(crate) fn before(head: &SegmentHead, next: Option<&SegmentHead>, marked: u64) -> Self {
        match next {
            _ if head.compacted => Self::Whole,
            None => Self::Newest { marked },
            // Where the one in between cannot be read, everything here counts.
            Some(next) if next.prev == head.number => Self::Sealed { len: next.prev_len },
            Some(_) => Self::Whole,
        }
    }

    /// The bytes that count.
    fn part(self, data: &[u8]) -> &[u8] {
        match self {
            Self::Sealed { len } => &data[..usize::try_from(len).unwrap_or(usize::MAX).min(data.len())],
            Self::Newest { .. } | Self::Whole => data,
        }
    }

    fn takes(self, frame: &Frame, last_group: u64) -> bool {
        self == Self::Whole || frame.group >= last_group
    }
}

/// Looks through a segment's bytes: tells what is sound, what is damaged and what was torn.
pub(crate) fn scan(data: &[u8], seed: u32, standing: Standing) -> Scan {
    let data = standing.part(data);
    let mut scan = Scan { stretches: Vec::new(), end: SEGMENT_HEAD.min(data.len()), last_group: 0 };
    let mut at = SEGMENT_HEAD;
    while at < data.len() {
        if let Some(frame) = decode_frame(data, at, seed)
            && standing.takes(&frame, scan.last_group)
        {
            at = scan.take(frame);
            continue;
        }
        match after_break(data, seed, standing, &scan, at) {
            Some((from, to)) => {
                scan.stretches.push(Stretch::Damaged { from, to });
                scan.end = to;
                at = to;
            }
            None => break,
        }
    }
    scan
}

impl Scan {
    fn take(&mut self, frame: Frame) -> usize {
        self.last_group = frame.group;
        self.end = frame.end;
        self.stretches.push(Stretch::Sound(frame));
        frame.end
    }
}

/// At a place where no sound frame stands: the damaged stretch to step over, or `None` where what follows was
/// never acknowledged.
fn after_break(data: &[u8], seed: u32, standing: Standing, scan: &Scan, at: usize) -> Option<(usize, usize)> {
    let newest = matches!(standing, Standing::Newest { .. });
    if newest && written(&data[at..]) == 0 {
        return None;
    }
    let Some((next, frame)) = next_frame(data, seed, standing, scan.last_group, at) else {
        return (!newest).then_some((at, data.len()));
    };
    let proven = match standing {
        Standing::Newest { marked } => frame.group <= marked || later_group(data, seed, next, frame.group),
        Standing::Sealed { .. } | Standing::Whole => true,
    };
    if proven {
        return Some((at, next));
    }
    // The frame is of the last write. What stands before that write was on disk when it began.
    let begun = next.saturating_sub(frame.delta);
    (begun > at).then_some((at, begun))
}

fn next_frame(
    data: &[u8],
    seed: u32,
    standing: Standing,
    last_group: u64,
    at: usize,
) -> Option<(usize, Frame)> {
    let mut from = at;
    loop {
        let next = codec::find_frame(data, from, seed)?;
        let frame = decode_frame(data, next, seed)?;
        if standing.takes(&frame, last_group) {
            return Some((next, frame));
        }
        from = next;
    }
}

fn later_group(data: &[u8], seed: u32, from: usize, group: u64) -> bool {
    let mut at = from;
    while let Some(next) = codec::find_frame(data, at, seed) {
        if decode_frame(data, next, seed).is_some_and(|frame| frame.group > group) {
            return true;
        }
        at = next;
    }
    false
}

/// A record met while a segment is read.
pub(crate) enum Met<'a> {
    Sound {
        record: Record<'a>,
        offset: usize,
        len: usize,
    },
    /// Its payload is damaged.
    Damaged {
        record: Record<'a>,
        offset: usize,
    },
}

/// Every record of a frame.
pub(crate) fn each_record(data: &[u8], frame: Frame, seed: u32, mut meet: impl FnMut(Met<'_>)) {
    let mut at = frame.records;
    while at < frame.end
        && let Some((decoded, len)) = decode_record(&data[at..frame.end], seed)
    {
        meet(met(decoded, at, len));
        at += len;
    }
}

/// Every record that can still be told in a damaged stretch.
pub(crate) fn salvage(data: &[u8], from: usize, to: usize, seed: u32, mut meet: impl FnMut(Met<'_>)) {
    let mut at = from;
    while at < to {
        match decode_record(&data[at..to], seed) {
            Some((decoded, len)) => {
                meet(met(decoded, at, len));
                at += len;
            }
            None => at += 1,
        }
    }
}

fn met(decoded: Decoded<'_>, offset: usize, len: usize) -> Met<'_> {
    match decoded {
        Decoded::Sound(record) => Met::Sound { record, offset, len },
        Decoded::Damaged(record) => Met::Damaged { record, offset },
    }
}
