//! What a drain says when it is done.

/// What was given up when the bus was closed. All zero: everything under way was finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Requests without an answer by the deadline.
    pub requests: usize,
    /// Messages that waited in subscriptions and were not read by the deadline.
    pub messages: usize,
    /// Commits whose outcome their callers were not told by the deadline.
    pub commits: usize,
    /// Work that was handed out and not acknowledged by the deadline: it will be redelivered.
    pub work: usize,
    /// KiB of answers and acknowledgements that found no room on the way to the servers by the deadline.
    pub unsent: usize,
    /// Connections whose servers have not said by the deadline that what was sent by them has arrived: what was published
    /// last may be lost.
    pub unsure: usize,
}

impl DrainReport {
    /// Whether nothing was given up.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}
