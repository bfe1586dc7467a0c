//! What is counted of work: each delivery, and how it ended.

use metrics::Counter;

use crate::error::{Error, ErrorKind};
use crate::work::Settle;

/// Handles of counters, looked up once a queue.
pub(crate) struct WorkCounts {
    delivered: Counter,
    redelivered: Counter,
    acked: Counter,
    naked: Counter,
    termed: Counter,
    in_progress: Counter,
    let_go: Counter,
    late: Counter,
    failed: Counter,
    dead: Counter,
}

impl WorkCounts {
    pub(crate) fn new() -> Self {
        let count = |outcome: &'static str| metrics::counter!("tidings_bus_work_total", "outcome" => outcome);
        Self {
            delivered: count("delivered"),
            redelivered: count("redelivered"),
            acked: count("ack"),
            naked: count("nak"),
            termed: count("term"),
            in_progress: count("in_progress"),
            let_go: count("let_go"),
            late: count("late"),
            failed: count("failed"),
            dead: count("dead_letter"),
        }
    }

    /// Handed to a worker, for the so-manieth time.
    pub(crate) fn delivered(&self, count: u32) {
        self.delivered.increment(1);
        if count > 1 {
            self.redelivered.increment(1);
        }
    }

    /// What a worker said of a delivery, by what became of saying it.
    pub(crate) fn settled(&self, settle: &Settle, outcome: &Result<(), Error>) {
        let counter = match (outcome, settle) {
            (Err(error), _) if error.kind() == ErrorKind::WrongRevision => &self.late,
            (Err(_), _) => &self.failed,
            (Ok(()), Settle::Ack { .. }) => &self.acked,
            (Ok(()), Settle::Nak { .. }) => &self.naked,
            (Ok(()), Settle::Term { .. }) => &self.termed,
            (Ok(()), Settle::InProgress) => &self.in_progress,
        };
        counter.increment(1);
    }

    /// Dropped by its worker without a word.
    pub(crate) fn let_go(&self) {
        self.let_go.increment(1);
    }

    /// Stored as a dead letter.
    pub(crate) fn dead(&self) {
        self.dead.increment(1);
    }
}
