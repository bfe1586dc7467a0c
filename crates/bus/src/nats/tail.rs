//! The recent messages of the stream, in memory, for all followers of the process.

use std::collections::{HashMap, VecDeque};

use crate::log::LogMessage;
use crate::nats::wake::Wake;
use crate::subject::Subject;

/// What a message costs the tail beside its payload.
const MESSAGE_COST: usize = 160;

/// The recent messages of the stream: whole after `complete_after`, up to `end`.
#[derive(Default)]
pub(crate) struct Tail {
    messages: VecDeque<LogMessage>,
    bytes: usize,
    pub(crate) complete_after: u64,
    pub(crate) end: u64,
    /// Which life of the stream it is of, counted by this process.
    pub(crate) life: u64,
    /// How far this process trimmed logs: what the tail still has of them is not shown to who comes later.
    trimmed: HashMap<Subject, u64>,
    /// Whether it goes on with what is stored.
    pub(crate) wake: Wake,
}

impl Tail {
    /// Messages after a sequence, in order.
    pub(crate) fn after(&self, seq: u64) -> impl Iterator<Item = &LogMessage> {
        let start = self.messages.partition_point(|message| message.seq <= seq);
        self.messages.range(start..)
    }

    /// Whether what a log has after a sequence is all here.
    pub(crate) fn reaches(&self, log: &Subject, after: u64) -> bool {
        after >= self.complete_after && self.trimmed.get(log).is_none_or(|through| after >= *through)
    }

    pub(crate) fn push(&mut self, message: LogMessage, most: usize) {
        self.end = message.seq;
        self.bytes += message.payload.len() + MESSAGE_COST;
        self.messages.push_back(message);
        while self.bytes > most
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes -= oldest.payload.len() + MESSAGE_COST;
            self.complete_after = oldest.seq;
        }
    }

    /// A log was trimmed by this process.
    pub(crate) fn trim(&mut self, log: &Subject, through: u64) {
        let known = self.trimmed.entry(log.clone()).or_default();
        *known = through.max(*known);
    }

    /// Forgets everything: what is before `end` is read from the stream.
    pub(crate) fn reset(&mut self, end: u64) {
        self.messages.clear();
        self.bytes = 0;
        self.complete_after = end;
        self.end = end;
    }

    /// Another life of the stream: of the one before nothing holds.
    pub(crate) fn begin_life(&mut self, end: u64) {
        self.reset(end);
        self.trimmed.clear();
        self.wake.begin_life();
        self.life += 1;
    }

    /// Gives back what memory it took.
    pub(crate) fn give_back(&mut self) {
        self.reset(self.end);
        (self.messages, self.trimmed) = (VecDeque::new(), HashMap::new());
    }
}
