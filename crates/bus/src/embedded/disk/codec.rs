//! The bytes of the log: segments of frames of records. All numbers are little-endian.
//!
//! ```text
//! segment  head, the same head again, frames
//! head     magic 8, version u32, number u32, covers u32, compacted u32, prev u32, 0 u32, base u64, synced u64,
//!          age_floor u64, prev_len u64, seed 16, crc u32
//! frame    magic u32, len u32, crc u32 | group u64, delta u32, count u32, records (len bytes)
//! record   len u32, head_crc u32, body_crc u32 | kind u8, subject_len u8, 0 u16, seq u64, prev u64, aux i64,
//!          subject, payload
//! ```
//!
//! After the last frame of the newest segment may stand zeros, made ready for the next.
//!
//! A frame is one commit: its checksum makes it whole or absent. `group` numbers the writes: one write, one fsync,
//! and the next begins only after it, so a frame of a later group proves that the earlier ones were on disk.
//! Every checksum but the head's starts from the segment's random seed, so that bytes in a payload never pass for a
//! frame or a record.
//! `delta` is how far into its group's write a frame starts. A record has checksums of its own, so that one can be
//! read without its frame, and so that damage to a payload leaves its subject and sequence known.

/// First bytes of a segment.
pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"TIDINGS\x01";
/// The form described above.
const VERSION: u32 = 1;
/// First bytes of a frame: found again after damage.
const FRAME_MAGIC: [u8; 4] = [0xF7, b'T', b'd', b'F'];
pub(crate) const SEGMENT_HEAD: usize = 168;
/// One of its two copies, so that a flipped bit in one costs nothing.
const HEAD_COPY: usize = 84;
pub(crate) const FRAME_HEAD: usize = 28;
pub(crate) const RECORD_HEAD: usize = 40;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of a log; `aux` is its time.
    Append,
    /// A log is forgotten up to `aux`.
    Trim,
    /// A value of a durable bucket; `aux` is when it runs out, 0 never.
    Put,
    /// The end of a value.
    Delete,
    /// A message of a work queue; `aux` is its time.
    Work,
    /// A delivery of the work at `aux`: the payload says when and how it ended.
    Attempt,
    /// The work at `aux` is done with.
    Done,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Append => 1,
            Self::Trim => 2,
            Self::Put => 3,
            Self::Delete => 4,
            Self::Work => 5,
            Self::Attempt => 6,
            Self::Done => 7,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Append,
            2 => Self::Trim,
            3 => Self::Put,
            4 => Self::Delete,
            5 => Self::Work,
            6 => Self::Attempt,
            7 => Self::Done,
            _ => return None,
        })
    }

    /// Whether such a record takes a sequence of the stream.
    pub(crate) fn is_numbered(self) -> bool {
        matches!(self, Self::Append | Self::Put | Self::Work)
    }
}

/// A record, as it is written and as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) seq: u64,
    pub(crate) prev: u64,
    pub(crate) aux: i64,
    pub(crate) subject: &'a str,
    pub(crate) payload: &'a [u8],
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

fn length(value: usize) -> u32 {
    u32::try_from(value).expect("a group is bounded far below 4 GiB")
}

/// The head of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) number: u32,
    /// The last segment whose records are in this one: those in between are to be removed.
    pub(crate) covers: u32,
    /// Whether it was written by compaction, whole.
    pub(crate) compacted: bool,
    /// The sequence the stream had come to before it.
    pub(crate) base: u64,
    /// The last group that was on disk before it.
    pub(crate) synced: u64,
    /// The segment written before it, and how far: what stands beyond was given up.
    pub(crate) prev: u32,
    pub(crate) prev_len: u64,
    pub(crate) age_floor: u64,
    pub(crate) seed: [u8; 16],
}

impl SegmentHead {
    /// What the checksums of its frames start from.
    pub(crate) fn checksum_seed(&self) -> u32 {
        crc32c::crc32c(&self.seed)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEAD_COPY);
        copy.extend_from_slice(SEGMENT_MAGIC);
        for value in [VERSION, self.number, self.covers, u32::from(self.compacted), self.prev, 0] {
            copy.extend_from_slice(&value.to_le_bytes());
        }
        for value in [self.base, self.synced, self.age_floor, self.prev_len] {
            copy.extend_from_slice(&value.to_le_bytes());
        }
        copy.extend_from_slice(&self.seed);
        let crc = crc32c::crc32c(&copy);
        copy.extend_from_slice(&crc.to_le_bytes());
        copy.repeat(SEGMENT_HEAD / HEAD_COPY)
    }

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        Self::decode_copy(data).or_else(|| Self::decode_copy(data.get(HEAD_COPY..)?))
    }

    fn decode_copy(data: &[u8]) -> Option<Self> {
        let whole = data.get(..HEAD_COPY)?;
        let sound = whole.starts_with(SEGMENT_MAGIC)
            && u32_at(whole, 8)? == VERSION
            && u32_at(whole, HEAD_COPY - 4)? == crc32c::crc32c(&whole[..HEAD_COPY - 4]);
        if !sound {
            return None;
        }
        Some(Self {
            number: u32_at(whole, 12)?,
            covers: u32_at(whole, 16)?,
            compacted: u32_at(whole, 20)? == 1,
            prev: u32_at(whole, 24)?,
            base: u64_at(whole, 32)?,
            synced: u64_at(whole, 40)?,
            age_floor: u64_at(whole, 48)?,
            prev_len: u64_at(whole, 56)?,
            seed: whole[64..80].try_into().ok()?,
        })
    }
}

/// Where a record stands in the bytes it was written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// Writes one frame.
pub(crate) struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    count: u32,
    group: u64,
    seed: u32,
}

impl<'a> FrameWriter<'a> {
    /// A frame at the end of `out`, which holds the group from its beginning.
    pub(crate) fn begin(out: &'a mut Vec<u8>, group: u64, seed: u32) -> Self {
        let start = out.len();
        out.resize(start + FRAME_HEAD, 0);
        Self { out, start, count: 0, group, seed }
    }

    pub(crate) fn push(&mut self, record: &Record<'_>) -> Written {
        self.count += 1;
        push_record(self.out, record, self.seed)
    }

    pub(crate) fn end(self) {
        let (start, out) = (self.start, self.out);
        let len = length(out.len() - start - FRAME_HEAD);
        out[start..start + 4].copy_from_slice(&FRAME_MAGIC);
        out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
        out[start + 12..start + 20].copy_from_slice(&self.group.to_le_bytes());
        out[start + 20..start + 24].copy_from_slice(&length(start).to_le_bytes());
        out[start + 24..start + 28].copy_from_slice(&self.count.to_le_bytes());
        let crc = crc32c::crc32c_append(self.seed, &out[start + 12..]);
        out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    }
}

fn head_checksum(seed: u32, len: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, len), rest)
}

fn push_record(out: &mut Vec<u8>, record: &Record<'_>, seed: u32) -> Written {
    let offset = out.len();
    let len = RECORD_HEAD + record.subject.len() + record.payload.len();
    out.reserve(len);
    out.extend_from_slice(&length(len).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.push(record.kind.code());
    out.push(u8::try_from(record.subject.len()).expect("a subject is at most 255 bytes"));
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&record.seq.to_le_bytes());
    out.extend_from_slice(&record.prev.to_le_bytes());
    out.extend_from_slice(&record.aux.to_le_bytes());
    out.extend_from_slice(record.subject.as_bytes());
    let head_crc = head_checksum(seed, &out[offset..offset + 4], &out[offset + 12..]);
    out.extend_from_slice(record.payload);
    out[offset + 4..offset + 8].copy_from_slice(&head_crc.to_le_bytes());
    out[offset + 8..offset + 12].copy_from_slice(&crc32c::crc32c_append(seed, record.payload).to_le_bytes());
    Written { offset, len }
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    Sound(Record<'a>),
    /// The payload is damaged, the rest is sound.
    Damaged(Record<'a>),
}

/// The record at the beginning of `data`, and its length; `None` where its head is damaged.
pub(crate) fn decode_record(data: &[u8], seed: u32) -> Option<(Decoded<'_>, usize)> {
    let len = u32_at(data, 0)? as usize;
    let whole = data.get(..len)?;
    let subject_len = usize::from(*whole.get(13)?);
    let body = RECORD_HEAD + subject_len;
    let head = whole.get(12..body)?;
    if u32_at(whole, 4)? != head_checksum(seed, &whole[..4], head) {
        return None;
    }
    let record = Record {
        kind: Kind::from_code(whole[12])?,
        seq: u64_at(whole, 16)?,
        prev: u64_at(whole, 24)?,
        aux: i64::from_le_bytes(whole.get(32..40)?.try_into().ok()?),
        subject: std::str::from_utf8(&whole[RECORD_HEAD..body]).ok()?,
        payload: &whole[body..],
    };
    let sound = u32_at(whole, 8)? == crc32c::crc32c_append(seed, record.payload);
    Some((if sound { Decoded::Sound(record) } else { Decoded::Damaged(record) }, len))
}

/// A frame that was read: where its records are, and what it says of its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) records: usize,
    pub(crate) end: usize,
    pub(crate) group: u64,
    pub(crate) delta: usize,
}

/// The frame at `at`, if a whole and sound one stands there.
pub(crate) fn decode_frame(data: &[u8], at: usize, seed: u32) -> Option<Frame> {
    let frame = decode_frame_head(data, at)?;
    (u32_at(data, at + 8)? == crc32c::crc32c_append(seed, &data[at + 12..frame.end])).then_some(frame)
}

fn decode_frame_head(data: &[u8], at: usize) -> Option<Frame> {
    if data.get(at..at + 4)? != FRAME_MAGIC {
        return None;
    }
    let records = at + FRAME_HEAD;
    let end = records.checked_add(u32_at(data, at + 4)? as usize)?;
    if end > data.len() {
        return None;
    }
    Some(Frame { records, end, group: u64_at(data, at + 12)?, delta: u32_at(data, at + 20)? as usize })
}

/// The next sound frame after `at`.
pub(crate) fn find_frame(data: &[u8], at: usize, seed: u32) -> Option<usize> {
    let mut from = at + 1;
    while from + FRAME_HEAD <= data.len() {
        let found = data[from..].windows(4).position(|bytes| bytes == FRAME_MAGIC)? + from;
        if decode_frame(data, found, seed).is_some() {
            return Some(found);
        }
        from = found + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record<'a>(seq: u64, subject: &'a str, payload: &'a [u8]) -> Record<'a> {
        Record { kind: Kind::Append, seq, prev: seq / 2, aux: -5, subject, payload }
    }

    proptest! {
        #[test]
        fn a_frame_comes_back(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5)) {
            let mut out = vec![1, 2, 3];
            let mut frame = FrameWriter::begin(&mut out, 9, 77);
            for (place, payload) in payloads.iter().enumerate() {
                frame.push(&record(place as u64 + 1, "a.b", payload));
            }
            frame.end();
            let frame = decode_frame(&out, 3, 77).unwrap();
            prop_assert_eq!((frame.group, frame.delta, frame.end), (9, 3, out.len()));
            let mut at = frame.records;
            for (place, payload) in payloads.iter().enumerate() {
                let (found, len) = decode_record(&out[at..], 77).unwrap();
                prop_assert_eq!(found, Decoded::Sound(record(place as u64 + 1, "a.b", payload)));
                at += len;
            }
            prop_assert_eq!(at, frame.end);
        }

        #[test]
        fn a_flipped_bit_is_seen(bit in 0..(FRAME_HEAD + RECORD_HEAD + 8) * 8) {
            let mut out = Vec::new();
            let mut frame = FrameWriter::begin(&mut out, 9, 77);
            frame.push(&record(1, "a.b", b"hello"));
            frame.end();
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_frame(&out, 0, 77).is_none());
        }

        #[test]
        fn anything_is_no_panic(data in prop::collection::vec(any::<u8>(), 0..200), at in 0..100_usize) {
            let _ = (decode_frame(&data, at, 0), find_frame(&data, at, 0), SegmentHead::decode(&data));
            let _ = decode_record(&data, 0);
        }
    }

    #[test]
    fn a_segment_head_comes_back() {
        let head = SegmentHead {
            number: 3,
            covers: 7,
            compacted: true,
            base: 9,
            synced: 8,
            prev: 2,
            prev_len: 99,
            age_floor: 4,
            seed: [5; 16],
        };
        let mut bytes = head.encode();
        assert_eq!(bytes.len(), SEGMENT_HEAD);
        assert_eq!(SegmentHead::decode(&bytes), Some(head.clone()));
        bytes[13] ^= 1;
        assert_eq!(SegmentHead::decode(&bytes), Some(head), "the second copy serves");
        bytes[HEAD_COPY + 13] ^= 1;
        assert_eq!(SegmentHead::decode(&bytes), None);
    }
}
