//! What calls of a handle come to, as metrics: how many, their bytes, how long, and which errors their callers were told.

use metrics::{Counter, Histogram};

use crate::error::Error;

/// Handles of a bus, looked up once: a recorder is installed before the bus is made.
pub(crate) struct Counts {
    pub(crate) published: Sent,
    pub(crate) requested: Sent,
    pub(crate) request_seconds: Histogram,
    pub(crate) committed: Sent,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            published: Sent {
                calls: metrics::counter!("tidings_bus_published_total"),
                bytes: metrics::counter!("tidings_bus_published_bytes_total"),
            },
            requested: Sent {
                calls: metrics::counter!("tidings_bus_requests_total"),
                bytes: metrics::counter!("tidings_bus_requested_bytes_total"),
            },
            request_seconds: metrics::histogram!("tidings_bus_request_seconds"),
            committed: Sent {
                calls: metrics::counter!("tidings_bus_commits_total"),
                bytes: metrics::counter!("tidings_bus_committed_bytes_total"),
            },
        }
    }
}

/// Calls that send something, and their payload.
#[derive(Clone)]
pub(crate) struct Sent {
    calls: Counter,
    bytes: Counter,
}

impl Sent {
    /// Those that put something into a work queue.
    pub(crate) fn enqueued() -> Self {
        Self {
            calls: metrics::counter!("tidings_bus_enqueued_total"),
            bytes: metrics::counter!("tidings_bus_enqueued_bytes_total"),
        }
    }

    /// Those that write a key.
    pub(crate) fn kept() -> Self {
        Self {
            calls: metrics::counter!("tidings_bus_kv_writes_total"),
            bytes: metrics::counter!("tidings_bus_kv_bytes_total"),
        }
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.count_many(1, bytes);
    }

    pub(crate) fn count_many(&self, calls: usize, bytes: usize) {
        self.calls.increment(calls as u64);
        self.bytes.increment(bytes as u64);
    }
}

/// A result that its caller is told.
pub(crate) trait Counted {
    /// Itself, counted where it is an error.
    fn counted(self) -> Self;
}

impl<T> Counted for Result<T, Error> {
    fn counted(self) -> Self {
        self.inspect_err(count_error)
    }
}

/// Counts what a caller is told failed.
pub(crate) fn count_error(error: &Error) {
    metrics::counter!("tidings_bus_errors_total").increment(1);
    metrics::counter!("tidings_bus_errors_by_kind_total", "kind" => error.kind().as_str()).increment(1);
}
