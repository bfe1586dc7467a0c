//! What is known of a log of dead letters: which letters are left, and since when. A few dozen bytes a letter; the
//! letters themselves are read where they are wanted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use crate::dead_letter::{DeadLetter, Record};
use crate::log::LogMessage;

/// What is known of a letter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) dead_ms: i64,
    /// Its message's sequence and time in the queue.
    origin: (u64, i64),
}

/// The letters that are left.
#[derive(Debug, Default)]
pub(crate) struct Index {
    epoch: String,
    letters: BTreeMap<u64, Known>,
    /// What lies there and is no letter that can be read.
    unread: BTreeSet<u64>,
    /// Everything up to here is known.
    upto: u64,
    /// The first message, letter or note, that may still be in the log.
    front: u64,
}

/// A letter of before letters told their time has that of its storing.
pub(crate) fn dated(letter: DeadLetter, message: &LogMessage) -> DeadLetter {
    let dead_ms = if letter.dead_ms == 0 { message.time_ms } else { letter.dead_ms };
    DeadLetter { dead_ms, ..letter }
}

impl Index {
    /// Of another epoch nothing is known.
    pub(crate) fn begin(&mut self, epoch: &str) {
        if self.epoch != epoch {
            *self = Self { epoch: epoch.to_owned(), ..Self::default() };
        }
    }

    pub(crate) fn learn(&mut self, message: &LogMessage) {
        self.upto = message.seq;
        if self.front == 0 {
            self.front = message.seq;
        }
        match Record::read(&message.payload) {
            Ok(Record::Letter(letter)) => {
                let letter = dated(*letter, message);
                let known = Known { dead_ms: letter.dead_ms, origin: (letter.seq, letter.time_ms) };
                self.letters.insert(message.seq, known);
            }
            Ok(Record::Removed(ids)) => {
                for id in ids {
                    self.letters.remove(&id);
                }
            }
            Err(error) => {
                tracing::warn!(%error, seq = message.seq, "a dead letter cannot be read");
                self.unread.insert(message.seq);
            }
        }
    }

    /// What is no longer retained.
    pub(crate) fn forget(&mut self, through: u64) {
        if self.letters.first_key_value().is_some_and(|(first, _)| *first <= through) {
            self.letters = self.letters.split_off(&(through + 1));
        }
        self.unread = self.unread.split_off(&(through + 1));
        self.front = self.front.max(through + 1);
    }

    pub(crate) fn upto(&self) -> u64 {
        self.upto
    }

    /// The sequence of the log's last message; 0 where it has none.
    pub(crate) fn last(&self) -> u64 {
        if self.upto < self.front { 0 } else { self.upto }
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.letters.contains_key(&id)
    }

    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        self.letters.values().map(|known| known.dead_ms).min()
    }

    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = (u64, Known)> {
        let range = self.letters.range((Bound::Excluded(after), Bound::Unbounded));
        range.map(|(id, known)| (*id, *known))
    }

    pub(crate) fn origins(&self) -> HashSet<(u64, i64)> {
        self.letters.values().map(|known| known.origin).collect()
    }

    /// Up to where nothing is left but what notes took out, and the notes themselves. What cannot be read is left to its
    /// age.
    pub(crate) fn trimmable(&self) -> Option<u64> {
        let letter = self.letters.first_key_value().map(|(first, _)| first);
        let kept = letter.into_iter().chain(self.unread.first()).min();
        let through = kept.map_or(self.upto, |first| first - 1);
        (through >= self.front && self.front > 0).then_some(through)
    }
}
