//! The segment that is written. Zeros stand beyond its end, on disk before they are needed, so that a commit overwrites
//! blocks that the file has already: a write that makes a file longer waits for the file's length and the places of
//! its blocks too, with a journal for a commit of that. Blocks that are only reserved are no help: the first write to
//! each is recorded in the same way.
//!
//! After the end stand zeros, or what a write left that failed, which the next one's number tells from a commit.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::embedded::disk::segment::Segment;

/// Zeros of one write: the kernel caches what is written at once as one, and of a MiB at once each sync of a few bytes
/// in it took a sixth longer; of this none.
const ZEROS_BYTES: usize = 64 * 1024;
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// How far it is written.
    pub(crate) len: u64,
    /// How far zeros are on disk.
    ready: u64,
    /// A sync of it failed: what is in it after `len` is unknown, so it is not written any more.
    pub(crate) spoiled: bool,
}

impl Active {
    /// A segment that ends at `len`.
    pub(crate) fn new(segment: Arc<Segment>, len: u64) -> Self {
        Self { segment, len, ready: len, spoiled: false }
    }

    /// Writes and syncs, and tells how long the sync took; on an error the file is as it was, or is not written any
    /// more. The end stays where it is: what is stored is shown first.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Duration> {
        let file = &self.segment.file;
        if let Err(error) = file.write_at(bytes, self.len) {
            // Where even this fails, the next write goes over what is left, with a later group's number.
            self.cut(self.len);
            return Err(error);
        }
        let begun = Instant::now();
        if let Err(error) = file.sync() {
            self.cut(self.len);
            self.spoiled = true;
            return Err(error);
        }
        Ok(begun.elapsed())
    }

    /// Makes so many bytes after the end ready, up to `until`, once half of them are used up.
    pub(crate) fn prepare(&mut self, ahead: u64, until: u64) -> io::Result<()> {
        let goal = (self.len + ahead).min(until);
        let left = self.ready.saturating_sub(self.len);
        if self.spoiled || self.ready >= goal || left > ahead / 2 {
            return Ok(());
        }
        let from = self.ready.max(self.len);
        if let Err(error) = self.fill(from, goal) {
            // What it took is room that a commit may need.
            self.cut(from);
            return Err(error);
        }
        if let Err(error) = self.segment.file.sync() {
            self.cut(self.len);
            self.spoiled = true;
            return Err(error);
        }
        self.ready = goal;
        Ok(())
    }

    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        for at in (from..to).step_by(ZEROS_BYTES) {
            let len = usize::try_from(to - at).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
            self.segment.file.write_at(&ZEROS[..len], at)?;
        }
        Ok(())
    }

    /// Gives back what was made ready and not used: nothing more is written to it.
    pub(crate) fn trim(&mut self) {
        if self.ready > self.len {
            self.cut(self.len);
        }
    }

    fn cut(&mut self, end: u64) {
        // Not synced: what comes back after a crash is found and cut off then.
        let _ = self.segment.file.set_len(end);
        self.ready = end;
    }
}
