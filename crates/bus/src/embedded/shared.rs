//! What the writer, the readers and the followers share.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::Counter;
use parking_lot::RwLock;

use crate::embedded::view::{Found, LogId, View};
use crate::error::{Error, ErrorKind};
use crate::log::LogMessage;

pub(crate) struct Shared {
    pub(crate) view: RwLock<View>,
    pub(crate) metrics: LogMetrics,
    closed: AtomicBool,
}

pub(crate) struct LogMetrics {
    pub(crate) fell_behind: Counter,
    pub(crate) damaged: Counter,
}

/// A message that was looked for.
pub(crate) struct Loaded {
    pub(crate) log: LogId,
    pub(crate) seq: u64,
    pub(crate) message: Result<LogMessage, Error>,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        Self {
            view: RwLock::new(view),
            metrics: LogMetrics {
                fell_behind: metrics::counter!("tidings_bus_follower_behind_total"),
                damaged: metrics::counter!("tidings_bus_log_damaged_reads_total"),
            },
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Nothing more becomes visible: followers read what there is and end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.view.read().raise_all();
    }

    /// Whether reading what is not in memory waits for a disk.
    pub(crate) fn reads_block(&self) -> bool {
        false
    }

    /// The messages that were found. May wait for the disk.
    pub(crate) fn load(&self, found: Vec<Found>) -> Vec<Loaded> {
        found.into_iter().map(|found| self.load_one(found)).collect()
    }

    fn load_one(&self, found: Found) -> Loaded {
        let message = found.message.ok_or_else(|| {
            self.metrics.damaged.increment(1);
            Error::new(ErrorKind::Storage, format!("message {} of '{}'", found.entry.seq, found.subject))
        });
        Loaded { log: found.log, seq: found.entry.seq, message }
    }
}
