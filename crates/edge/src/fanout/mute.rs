//! A mute as the logs and storage tell it.

use tidings_protocol::proto::world::v1 as wire;

use super::encode::hex;

/// A mute, made or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Whose.
    pub account: u128,
    /// Whom; 0: a channel alone.
    pub target: u128,
    /// On this channel alone; empty: everywhere.
    pub channel: Box<str>,
    /// Unix milliseconds; 0: without end.
    pub until_ms: i64,
    /// It ends.
    pub removed: bool,
    /// Its place in the stream; 0: before everything in it.
    pub seq: u64,
}

impl Mute {
    /// As a log says it, at its place there.
    pub fn logged(mute: &wire::MuteChange, seq: u64) -> Self {
        Self { seq, ..Self::from(mute) }
    }

    /// Whether both are of the same target and channel.
    pub fn is_about(&self, other: &Self) -> bool {
        self.target == other.target && self.channel == other.channel
    }

    /// Whether both have the same outcome.
    pub fn does_what(&self, other: &Self) -> bool {
        self.removed == other.removed && (self.removed || self.until_ms == other.until_ms)
    }
}

impl From<&wire::MuteChange> for Mute {
    fn from(mute: &wire::MuteChange) -> Self {
        Self {
            account: hex(&mute.account),
            target: hex(&mute.target_account),
            channel: mute.channel.as_str().into(),
            until_ms: mute.until_ms,
            removed: mute.removed,
            seq: mute.seq,
        }
    }
}
