//! The recent events of an open audience: what late opens and resumes are served from.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encode::Encoded;

/// Events kept for each open audience: more than a busy room says before they are forgotten by age.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Arc<Encoded> {
        Arc::new(Encoded::sample(seq))
    }

    #[test]
    fn what_is_forgotten_is_known_to_be_missing() {
        let mut ring = Ring::new(2);
        [3, 5, 8].map(event).into_iter().for_each(|event| ring.push(event));
        let after = |ring: &Ring, seq| ring.after(seq).map(|event| event.seq).collect::<Vec<_>>();
        assert_eq!((ring.complete_after(), after(&ring, 3)), (2, vec![5, 8]));
        ring.forget(6);
        assert_eq!((ring.complete_after(), after(&ring, 0)), (5, vec![8]));
        ring.forget(100);
        assert_eq!((ring.complete_after(), after(&ring, 0), ring.bytes), (8, vec![], 0));
    }

    #[test]
    fn the_oldest_give_way() {
        let mut ring = Ring::new(0);
        (1..=RING_EVENTS_MAX as u64 + 1).map(event).for_each(|event| ring.push(event));
        assert_eq!((ring.complete_after(), ring.after(0).count()), (1, RING_EVENTS_MAX));
    }
}
