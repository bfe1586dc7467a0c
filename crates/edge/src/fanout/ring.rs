//! The recent events of an open audience: what late opens and resumes are served from.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encode::Encoded;

/// Events kept for each open audience: minutes of talk.
pub const RING_EVENTS_MAX: usize = 512;
/// Bytes of frames kept for each open audience.
pub const RING_BYTES_MAX: usize = 256 * 1024;

/// The recent events of one audience, in order.
#[derive(Debug)]
pub struct Ring {
    events: VecDeque<Arc<Encoded>>,
    bytes: usize,
    /// Nothing after this is missing.
    complete_after: u64,
}

impl Ring {
    /// Nothing yet: complete from here on.
    pub fn new(complete_after: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, complete_after }
    }

    /// Nothing after this sequence is missing.
    pub fn complete_after(&self) -> u64 {
        self.complete_after
    }

    /// Adds the next one; the oldest give way.
    pub fn push(&mut self, event: Arc<Encoded>) {
        self.bytes += event.cost();
        self.events.push_back(event);
        while self.events.len() > RING_EVENTS_MAX || self.bytes > RING_BYTES_MAX {
            if !self.forget_oldest() {
                break;
            }
        }
    }

    /// Forgets everything up to a sequence: the log has it.
    pub fn forget(&mut self, through: u64) {
        while self.events.front().is_some_and(|oldest| oldest.seq <= through) {
            self.forget_oldest();
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(oldest) = self.events.pop_front() else { return false };
        self.bytes -= oldest.cost();
        self.complete_after = self.complete_after.max(oldest.seq);
        true
    }

    /// What is remembered after a sequence.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = &Arc<Encoded>> {
        let start = self.events.partition_point(|event| event.seq <= seq);
        self.events.range(start..)
    }
}
