//! Compaction: the oldest segments, once at least half of them is no longer wanted, become one.
//!
//! Always from the front, so that a record that ends another (a trim, a deletion, work done) is dropped only with
//! what it ends. It runs on a thread of its own; the writer puts the result in place.

use std::io;
use std::sync::Arc;

use crate::embedded::disk::codec::{FrameWriter, Kind, Record, SEGMENT_HEAD, SegmentHead};
use crate::embedded::disk::files::{FileLayer, LogFile};
use crate::embedded::disk::segment::{Met, Segment, Standing, Stretch, each_record, name_of, salvage, scan};
use crate::embedded::shared::Shared;
use crate::embedded::view::Place;

/// Bytes of records in one frame of a compacted segment: damage to one loses no more.
const FRAME_BYTES: usize = 64 * 1024;
/// Largest compacted segment: places in it are 32 bits.
const COMPACTED_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What a compaction made.
pub(crate) struct Done {
    pub(crate) outcome: io::Result<Compacted>,
}

pub(crate) struct Compacted {
    pub(crate) head: SegmentHead,
    pub(crate) file: Arc<dyn LogFile>,
    pub(crate) tmp: String,
    /// Where the messages of logs are now.
    pub(crate) moved: Vec<(u64, Place)>,
}

/// How many of the sealed segments from the front are worth making one of: the most of which at least half is
/// dead. `live` and `total` are bytes by segment, oldest first.
pub(crate) fn worth(live: &[u64], total: &[u64]) -> usize {
    let (mut alive, mut all, mut best) = (0, 0, 0);
    for (place, (live, total)) in live.iter().zip(total).enumerate() {
        alive += live;
        all += total;
        if alive > COMPACTED_BYTES_MAX {
            break;
        }
        // One that is compacted and small already is not worth a round by itself.
        let enough = place > 0 || *total > 4 * FRAME_BYTES as u64;
        if alive * 2 <= all && enough {
            best = place + 1;
        }
    }
    best
}

/// Writes what is still wanted of `segments` into one file, and brings it to the disk. One that failed takes no
/// room: the disk may be full.
pub(crate) fn compact(
    files: &dyn FileLayer,
    shared: &Shared,
    segments: &[(Arc<Segment>, Standing)],
    seed: [u8; 16],
) -> io::Result<Compacted> {
    let tmp = format!("{}.tmp", name_of(segments[0].0.head.number));
    let compacted = write(files, shared, segments, seed, tmp.clone());
    if compacted.is_err() {
        let _ = files.remove(&tmp);
    }
    compacted
}

fn write(
    files: &dyn FileLayer,
    shared: &Shared,
    segments: &[(Arc<Segment>, Standing)],
    seed: [u8; 16],
    tmp: String,
) -> io::Result<Compacted> {
    let first = &segments[0].0.head;
    let last = &segments[segments.len() - 1].0.head;
    let head = SegmentHead {
        number: first.number,
        covers: last.covers.max(last.number),
        compacted: true,
        base: first.base,
        synced: last.synced,
        prev: 0,
        prev_len: 0,
        age_floor: shared.view.read().age_floor,
        seed,
    };
    let file = files.open(&tmp)?;
    file.set_len(0)?;
    file.write_at(&head.encode(), 0)?;
    let mut output =
        Output { file: file.clone(), at: SEGMENT_HEAD as u64, head, frame: Vec::new(), moved: Vec::new() };
    for (segment, standing) in segments {
        output.copy(shared, segment, *standing)?;
    }
    output.flush()?;
    file.sync()?;
    Ok(Compacted { head: output.head, file, tmp, moved: output.moved })
}

struct Output {
    file: Arc<dyn LogFile>,
    at: u64,
    head: SegmentHead,
    frame: Vec<OwnedRecord>,
    moved: Vec<(u64, Place)>,
}

struct OwnedRecord {
    kind: Kind,
    seq: u64,
    prev: u64,
    aux: i64,
    subject: String,
    payload: Vec<u8>,
}

impl Output {
    fn copy(&mut self, shared: &Shared, segment: &Segment, standing: Standing) -> io::Result<()> {
        let data = segment.read()?;
        let seed = segment.head.checksum_seed();
        let found = scan(&data, seed, standing);
        for stretch in found.stretches {
            let mut wanted = Vec::new();
            let mut bytes = 0;
            let mut meet = |met: Met<'_>| {
                if let Met::Sound { record, .. } = met
                    && shared.is_wanted(&record)
                {
                    bytes += record.payload.len();
                    wanted.push(owned(&record));
                }
            };
            match stretch {
                Stretch::Sound(frame) => each_record(&data, frame, seed, &mut meet),
                Stretch::Damaged { from, to } => salvage(&data, from, to, seed, &mut meet),
            }
            self.frame.append(&mut wanted);
            if bytes >= FRAME_BYTES || self.frame.len() >= FRAME_BYTES / 128 {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        let mut frame = FrameWriter::begin(&mut out, 0, self.head.checksum_seed());
        for record in self.frame.drain(..) {
            let written = frame.push(&Record {
                kind: record.kind,
                seq: record.seq,
                prev: record.prev,
                aux: record.aux,
                subject: &record.subject,
                payload: &record.payload,
            });
            if record.kind == Kind::Append {
                let offset = self.at + written.offset as u64;
                self.moved.push((
                    record.seq,
                    Place {
                        segment: self.head.number,
                        offset: u32::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?,
                        len: u32::try_from(written.len).map_err(|_| io::ErrorKind::FileTooLarge)?,
                    },
                ));
            }
        }
        frame.end();
        self.file.write_at(&out, self.at)?;
        self.at += out.len() as u64;
        Ok(())
    }
}

fn owned(record: &Record<'_>) -> OwnedRecord {
    OwnedRecord {
        kind: record.kind,
        seq: record.seq,
        prev: record.prev,
        aux: record.aux,
        subject: record.subject.to_owned(),
        payload: record.payload.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::worth;

    #[test]
    fn the_front_is_compacted_once_half_is_dead() {
        const M: u64 = 1 << 20;
        for (live, total, expected) in [
            (&[][..], &[][..], 0),
            (&[8 * M], &[10 * M], 0),
            (&[5 * M], &[10 * M], 1),
            (&[9 * M, 0], &[10 * M, 10 * M], 2),
            (&[0, 10 * M], &[10 * M, 10 * M], 2),
            (&[0, 10 * M, 10 * M], &[10 * M, 10 * M, 10 * M], 2),
            (&[0], &[1_000], 0),
        ] {
            assert_eq!(worth(live, total), expected, "{live:?} of {total:?}");
        }
    }
}
