//! What both backends are told alike: what is kept of a log, and which buckets there are.

use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};

/// What is kept of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most this many of the newest messages; `None`: as many as there are.
    pub messages: Option<usize>,
    /// None older than this; `None`: however old.
    pub age: Option<Duration>,
}

impl Retention {
    /// Everything, until it is trimmed.
    pub const UNTIL_TRIMMED: Self = Self { messages: None, age: None };
    /// The last message, for ever: a record of a state.
    pub const LAST: Self = Self { messages: Some(1), age: None };
    /// Dead letters: 7 days, and at most 100,000 of a queue; what is known of each while it is looked after takes some
    /// dozens of bytes.
    pub const DEAD_LETTERS: Self =
        Self { messages: Some(100_000), age: Some(Duration::from_secs(7 * 24 * 60 * 60)) };
}

impl Default for Retention {
    /// 10,000 messages and 15 minutes.
    fn default() -> Self {
        Self { messages: Some(10_000), age: Some(Duration::from_secs(15 * 60)) }
    }
}

/// Whether a bucket outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In the durable log: stored before a write returns.
    Durable,
    /// It need not: in memory where the backend is in the process. A cluster keeps it as the other, so that it outlives
    /// a server's restart.
    Volatile,
}

/// A bucket of key/value.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// Whether it outlives the process.
    pub keep: Keep,
    /// Most keys; a write of one more is `Overloaded`.
    pub keys_max: usize,
    /// Largest value, in bytes.
    pub value_bytes_max: usize,
}

/// Most keys of a bucket unless it says otherwise: ten for each of 100,000 people.
const BUCKET_KEYS_MAX: usize = 1_000_000;
/// Longest name of a bucket: with a key it stays within a subject.
const NAME_BYTES_MAX: usize = 40;
/// Largest value of a bucket unless it says otherwise.
const BUCKET_VALUE_BYTES_MAX: usize = 64 * 1024;

impl BucketConfig {
    /// A bucket with the usual bounds.
    pub fn new(name: impl Into<String>, keep: Keep) -> Self {
        Self { name: name.into(), keep, keys_max: BUCKET_KEYS_MAX, value_bytes_max: BUCKET_VALUE_BYTES_MAX }
    }
    /// Refuses a name that is no token.
    pub(crate) fn check_name(&self) -> Result<(), Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=NAME_BYTES_MAX).contains(&self.name.len()) && self.name.bytes().all(plain) {
            return Ok(());
        }
        let name = self.name.escape_debug();
        let what = format!("'{name}' is no bucket: 1 to {NAME_BYTES_MAX} letters, digits, - and _");
        Err(Error::new(ErrorKind::Subject, what))
    }

    /// Refuses a value that is too large.
    pub(crate) fn check_value(&self, key: &str, value: &Bytes) -> Result<(), Error> {
        if value.len() <= self.value_bytes_max {
            return Ok(());
        }
        let Self { name, value_bytes_max, .. } = self;
        let what = format!("{} bytes for '{key}' of bucket '{name}': at most {value_bytes_max}", value.len());
        Err(Error::new(ErrorKind::Schema, what))
    }
}
