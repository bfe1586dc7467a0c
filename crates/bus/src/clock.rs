//! The clock of the wall, for what is told to people and for what is kept by its age.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time, Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
