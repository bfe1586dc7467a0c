//! Limits of the rules: how long a line may be, how often one may speak. The counters travel with the character.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tidings_protocol::CharacterId;

use crate::input::Millis;

/// Longest line of `say`, `local`, `global`, `party`, `system`, `staff`, in characters.
pub const SAY_CHARS_MAX: usize = 500;
/// Longest emote, in characters.
pub const EMOTE_CHARS_MAX: usize = 200;
/// Longest pose, in characters.
pub const POSE_CHARS_MAX: usize = 100;
/// Longest whisper, in characters.
pub const WHISPER_CHARS_MAX: usize = 2_000;
/// Outcomes kept of each character: more than a session can have waiting (`limits.burst`), several times over.
pub const OUTCOMES_MAX: usize = 64;
/// Bytes of the outcomes kept of each character, as JSON; the oldest go first. With the bounds of aliases and of reasons it
/// makes `TRAVELLER_BYTES_MAX`: each byte may be two where it is written down, each of the others' four.
pub const OUTCOMES_BYTES_MAX: usize = 64 * 1024;
/// Outcomes kept of characters that left, and counters of how often they spoke, a zone: those of the last few seconds
/// at any plausible rate.
pub const DEPARTED_MAX: usize = 256;
/// Moves a target remembers: those of far longer than a source repeats one.
pub const MOVES_MAX: usize = 4_096;
/// Letters that wait for other zones: an hour of a busy zone's, while one is away. A command that has to post one more
/// is refused.
pub const OUTBOX_MAX: usize = 4_096;
/// Letters that wait with those that follow from no command: parties that are left with the world, acts that follow
/// somebody. As many again: nobody is asked whether these may be.
pub const OUTBOX_FULL: usize = 2 * OUTBOX_MAX;
/// Accounts whose last silence, or its end, a zone remembers beyond those who are in it: the words of weeks. What
/// crosses them comes within seconds, or when a zone that was away is back.
pub const SILENCES_MAX: usize = 1_024;
/// Parties that are no more which a zone remembers, so that a list that crossed the end does not bring one back.
pub const PARTIES_GONE_MAX: usize = 1_024;
/// Invitations and mutes that wait for a character on its way between zones: more than a few seconds bring. What staff
/// does waits beside them: there is one of each kind.
pub const BEHIND_MAX: usize = 64;
/// Aliases of a character: more is a mistake of a script.
pub const ALIASES_MAX: usize = 100;
/// Bytes of a character's aliases together: it carries them between zones, and `alias` lists them in one reply.
pub const ALIASES_BYTES_MAX: usize = 24 * 1024;
/// Longest text of an alias, in characters.
pub const ALIAS_CHARS_MAX: usize = 500;
/// Mutes of an account that `mutes` shows.
pub const MUTES_MAX: usize = 500;
/// Bytes of the reasons of an account's mutes together: its characters carry them between zones, and `mutes` lists
/// them in one reply.
pub const REASONS_BYTES_MAX: usize = 12 * 1024;
/// Invitations to parties that one has: more than anybody reads in a minute; the oldest go first.
pub const INVITED_MAX: usize = 64;
/// Bytes of a character on its way between zones, at most: what the bounds of all that it carries add up to, and less
/// than a call between zones takes.
pub const TRAVELLER_BYTES_MAX: usize = 500 * 1024;
/// Longest mute by the minute: a year.
pub const MUTE_MINUTES_MAX: i64 = 525_600;
/// Longest reason of a mute or a kick, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// Lines of `who`: a reply has to fit a frame.
pub const WHO_LINES_MAX: usize = 300;
/// Names that `look` shows before it says how many more there are.
pub const LOOK_NAMES_MAX: usize = 50;
/// Occupants a page of a view.
pub const OCCUPANTS_A_PAGE: usize = 50;
/// Lines of a history at most.
pub const HISTORY_LINES_MAX: u32 = 500;
/// Lines of a history that nobody counted.
pub const HISTORY_LINES: u32 = 20;
/// Bytes of a history's texts.
pub const HISTORY_BYTES_MAX: usize = 64 * 1024;
/// Members of a party.
pub const PARTY_MEMBERS_MAX: usize = 20;
/// Words on those who left a party that are remembered, so that one that crossed the leaving brings nobody back.
pub const PARTY_LEFT_MAX: usize = 32;
/// How long an invitation to a party holds.
pub const INVITATION_MS: i64 = 60_000;
/// Lines of characters that live there, a minute a room.
pub const NPC_LINES_A_MINUTE: usize = 4;
/// Breaches of a verb's limit within a minute after which the session ends.
pub const BREACHES_MAX: usize = 20;
/// Questions to services that a zone waits for at once: beyond it, commands that need one are refused.
pub const QUESTIONS_MAX: usize = 1_024;
/// The window of all these counters.
const MINUTE_MS: i64 = 60_000;
/// Counters larger than this are kept by the whole minute, not by the line: a bound for their memory.
const EXACT_MAX: u32 = 240;

/// How often one may speak, a minute; 0: as often as one likes. The names are those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the names say it
pub struct Limits {
    pub say_per_minute: u32,
    pub local_per_minute: u32,
    pub global_per_minute: u32,
    pub party_per_minute: u32,
    pub whispers_per_minute: u32,
    pub whispers_per_person_per_minute: u32,
}

impl Limits {
    /// As often as one likes.
    pub const NONE: Self = Self {
        say_per_minute: 0,
        local_per_minute: 0,
        global_per_minute: 0,
        party_per_minute: 0,
        whispers_per_minute: 0,
        whispers_per_person_per_minute: 0,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            say_per_minute: 15,
            local_per_minute: 20,
            global_per_minute: 10,
            party_per_minute: 30,
            whispers_per_minute: 5,
            whispers_per_person_per_minute: 3,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Verb {
    Say,
    Emote,
    Local,
    Global,
    Party,
    Whisper,
    /// A breach of one of the others.
    Breach,
}

impl Limits {
    /// How often a minute; emotes as often as lines, each for itself.
    pub(crate) fn of(&self, verb: Verb) -> u32 {
        match verb {
            Verb::Say | Verb::Emote => self.say_per_minute,
            Verb::Local => self.local_per_minute,
            Verb::Global => self.global_per_minute,
            Verb::Party => self.party_per_minute,
            Verb::Whisper => self.whispers_per_minute,
            Verb::Breach => 0,
        }
    }
}

/// When something was done within the last minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recent {
    times: VecDeque<Millis>,
    /// Done within the window that began at the first of `times`, where they are too many to keep.
    #[serde(default, skip_serializing_if = "is_zero")]
    coarse: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Recent {
    /// How long until one more is allowed; `None`: now.
    pub(crate) fn wait(&self, limit: u32, now: Millis) -> Option<Millis> {
        if limit == 0 {
            return None;
        }
        let live = || self.times.iter().filter(|at| now - **at < MINUTE_MS);
        if limit > EXACT_MAX {
            let full = self.coarse >= limit && live().next().is_some();
            return full.then(|| self.times.front().map_or(1, |at| at + MINUTE_MS - now));
        }
        let count = live().count();
        let excess = (count + 1).checked_sub(limit as usize).filter(|n| *n > 0)?;
        live().nth(excess - 1).map(|at| at + MINUTE_MS - now)
    }

    /// Counts one; `limit` bounds what is kept.
    pub(crate) fn add(&mut self, limit: u32, now: Millis) {
        if limit > EXACT_MAX {
            match self.times.front() {
                Some(at) if now - at < MINUTE_MS => self.coarse = self.coarse.saturating_add(1),
                _ => (self.times, self.coarse) = (VecDeque::from([now]), 1),
            }
            return;
        }
        while self.times.front().is_some_and(|at| now - at >= MINUTE_MS)
            || self.times.len() > EXACT_MAX as usize
        {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }

    /// How many within the last minute.
    pub(crate) fn count(&self, now: Millis) -> usize {
        self.times.iter().filter(|at| now - **at < MINUTE_MS).count()
    }
}

/// A character's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Flood {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    verbs: BTreeMap<Verb, Recent>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    people: BTreeMap<CharacterId, Recent>,
}

impl Flood {
    pub(crate) fn wait(&self, verb: Verb, limit: u32, now: Millis) -> Option<Millis> {
        self.verbs.get(&verb)?.wait(limit, now)
    }

    pub(crate) fn wait_person(&self, who: CharacterId, limit: u32, now: Millis) -> Option<Millis> {
        self.people.get(&who)?.wait(limit, now)
    }

    pub(crate) fn add(&mut self, verb: Verb, limit: u32, now: Millis) {
        self.verbs.entry(verb).or_default().add(limit, now);
    }

    pub(crate) fn add_person(&mut self, who: CharacterId, limit: u32, now: Millis) {
        self.people.retain(|_, recent| recent.count(now) > 0);
        self.people.entry(who).or_default().add(limit, now);
    }

    pub(crate) fn count(&self, verb: Verb, now: Millis) -> usize {
        self.verbs.get(&verb).map_or(0, |recent| recent.count(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let mut recent = Recent::default();
        for at in [0, 10_000, 48_000] {
            assert_eq!(recent.wait(3, at), None);
            recent.add(3, at);
        }
        assert_eq!(recent.wait(3, 48_000), Some(12_000));
        assert_eq!(recent.wait(3, 59_999), Some(1));
        assert_eq!(recent.wait(3, 60_000), None);
        recent.add(3, 60_000);
        assert_eq!(recent.wait(3, 60_000), Some(10_000));
        assert_eq!(recent.wait(0, 60_000), None);
        assert_eq!(recent.wait(1, 60_000), Some(60_000), "a limit that was lowered");
    }

    #[test]
    fn a_large_limit_takes_little_room() {
        let mut recent = Recent::default();
        for at in 0..1_000 {
            assert_eq!(recent.wait(1_000, at), None);
            recent.add(1_000, at);
        }
        assert_eq!(recent.wait(1_000, 1_000), Some(59_000));
        assert_eq!(recent.times.len(), 1);
        assert_eq!(recent.wait(1_000, 60_000), None);
    }
}
