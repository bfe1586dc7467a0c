//! Whom an account does not hear, as far as it is known: each mute by the latest word of it.

use std::collections::HashMap;

use tidings_protocol::proto::world::v1::MuteList;

use crate::fanout::Mute;

/// Whom an account does not hear.
#[derive(Debug, Default)]
pub struct MuteSet {
    /// By target and channel. No target: the channel; no channel: everywhere.
    mutes: HashMap<(u128, Box<str>), Standing>,
    /// Those of them that hold or held until their time: the others were taken back.
    made: usize,
}

/// What is known of one mute.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Until then; 0: without end.
    until_ms: i64,
    /// It was taken back.
    removed: bool,
    /// Where the stream says so: what comes later and is older changes nothing.
    seq: u64,
}

impl MuteSet {
    /// Whether a line of this author on this channel is not heard.
    pub fn silences(&self, author: u128, channel: &str, now_ms: i64) -> bool {
        if self.made == 0 {
            return false;
        }
        let holds = |target: u128, channel: &str| {
            self.mutes.get(&(target, channel.into())).is_some_and(|known| known.holds(now_ms))
        };
        let speech = !channel.is_empty();
        (author != 0 && (holds(author, "") || (speech && holds(author, channel))))
            || (speech && holds(0, channel))
    }

    /// One mute more or less, where nothing later is known of it.
    pub fn change(&mut self, mute: &Mute) {
        let key = (mute.target, mute.channel.clone());
        let made = |known: Option<&Standing>| usize::from(known.is_some_and(|known| !known.removed));
        let before = self.mutes.get(&key);
        if before.is_some_and(|known| known.seq > mute.seq) {
            return;
        }
        self.made -= made(before);
        let known = Standing { until_ms: mute.until_ms, removed: mute.removed, seq: mute.seq };
        self.made += made(Some(&known));
        self.mutes.insert(key, known);
    }

    /// All of them anew: a list, and what it does not include yet.
    pub fn replace(&mut self, list: &MuteList, recent: &[Mute]) {
        self.mutes.clear();
        self.made = 0;
        for mute in list.mutes.iter().map(Mute::from).chain(recent.iter().cloned()) {
            self.change(&mute);
        }
    }

    /// Whether nobody is muted.
    pub fn is_empty(&self) -> bool {
        self.made == 0
    }
}

impl Standing {
    fn holds(&self, now_ms: i64) -> bool {
        !self.removed && (self.until_ms == 0 || self.until_ms > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mute(target: u128, channel: &str, until_ms: i64, removed: bool) -> Mute {
        Mute { account: 1, target, channel: channel.into(), until_ms, removed, seq: 1 }
    }

    #[test]
    fn a_mute_holds_everywhere_or_on_its_channel_until_its_time() {
        let mut set = MuteSet::default();
        assert!(!set.silences(7, "say", 0));
        for change in [mute(7, "", 0, false), mute(8, "global", 0, false), mute(0, "local", 500, false)] {
            set.change(&change);
        }
        let cases = [
            (7, "say", 0, true),
            (7, "", 0, true),
            (8, "global", 0, true),
            (8, "say", 0, false),
            (8, "", 0, false),
            (9, "local", 499, true),
            (9, "local", 500, false),
            (0, "local", 0, true),
            (0, "", 0, false),
        ];
        for (author, channel, now, expected) in cases {
            assert_eq!(set.silences(author, channel, now), expected, "{author} on '{channel}' at {now}");
        }
        set.change(&mute(7, "", 0, true));
        assert!(!set.silences(7, "say", 0) && !set.is_empty());
        // What comes late and is older changes nothing, whichever of the two it is.
        set.change(&Mute { seq: 9, ..mute(7, "", 0, true) });
        set.change(&Mute { seq: 8, ..mute(7, "", 0, false) });
        assert!(!set.silences(7, "say", 0));
        set.replace(&MuteList::default(), &[mute(9, "", 0, false), mute(9, "", 0, true)]);
        assert!(set.is_empty() && !set.silences(8, "global", 0));
    }
}
