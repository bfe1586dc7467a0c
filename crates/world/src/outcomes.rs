//! The outcomes of commands, for a client that asks again.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use tidings_protocol::{Text, json};

use crate::input::Origin;
use crate::limits::{OUTCOMES_BYTES_MAX, OUTCOMES_MAX};

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub origin: Origin,
    pub ok: bool,
    pub text: Text,
}

impl Outcome {
    /// As serde writes it.
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"origin":{"session":"#);
        json::id(out, self.origin.session.digits());
        out.extend_from_slice(br#","id":"#);
        json::string(out, &self.origin.id);
        out.extend_from_slice(if self.ok { br#"},"ok":true,"text":"# } else { br#"},"ok":false,"text":"# });
        self.text.write_json(out);
        out.push(b'}');
    }
}

/// An outcome as it is written down, in the zone's record and its checkpoints: nearly nobody asks again, so it is kept in
/// the form that is needed most.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    json: Arc<str>,
    key: u16,
}

impl Written {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let mut json = Vec::with_capacity(WRITTEN_BYTES);
        outcome.write_json(&mut json);
        let json = String::from_utf8(json).expect("JSON is text");
        Self { json: json.into(), key: key_of(&outcome.origin) }
    }

    /// As JSON.
    pub(crate) fn as_str(&self) -> &str {
        &self.json
    }

    fn read(&self) -> Option<Outcome> {
        serde_json::from_str(&self.json).ok()
    }
}

/// Bytes made ready for one: most are shorter.
const WRITTEN_BYTES: usize = 512;

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.json).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whoever wrote it may have put its fields in another order.
        Outcome::deserialize(deserializer).map(|outcome| Self::of(&outcome))
    }
}

/// The last outcomes of a character. Their keys stand apart: every command looks for itself among them, and
/// finds that it is not there without touching each outcome.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "VecDeque<Written>")]
pub(crate) struct Outcomes {
    all: VecDeque<Written>,
    /// Short: those of all outcomes lie in two lines of the processor's cache.
    keys: VecDeque<u16>,
    bytes: usize,
}

impl Outcomes {
    pub(crate) fn find(&self, origin: &Origin) -> Option<Outcome> {
        let key = key_of(origin);
        let fits = self.keys.iter().enumerate().filter(|(_, other)| **other == key);
        fits.filter_map(|(at, _)| self.all.get(at)?.read()).find(|outcome| outcome.origin == *origin)
    }

    pub(crate) fn last(&self) -> Option<Outcome> {
        self.all.back()?.read()
    }

    pub(crate) fn remember(&mut self, outcome: Written) {
        self.bytes += outcome.json.len();
        self.keys.push_back(outcome.key);
        self.all.push_back(outcome);
        while self.all.len() > OUTCOMES_MAX || (self.bytes > OUTCOMES_BYTES_MAX && self.all.len() > 1) {
            let oldest = self.all.pop_front();
            self.keys.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.json.len());
        }
    }
}

impl From<VecDeque<Written>> for Outcomes {
    fn from(all: VecDeque<Written>) -> Self {
        let keys = all.iter().map(|outcome| outcome.key).collect();
        let bytes = all.iter().map(|outcome| outcome.json.len()).sum();
        Self { all, keys, bytes }
    }
}

impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(serializer)
    }
}

/// FNV-1a of the command's id, folded: what one session sends differs in nothing else.
fn key_of(origin: &Origin) -> u16 {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = origin.id.bytes().fold(0x811c_9dc5, mix);
    (hash >> 16 ^ hash) as u16
}

#[cfg(test)]
mod tests {
    use tidings_protocol::SessionId;

    use super::*;

    fn outcome(id: &str, text: &str) -> Outcome {
        let origin = Origin { session: SessionId::from_u128(8), id: id.into() };
        Outcome {
            origin,
            ok: id.len().is_multiple_of(2),
            text: Text::new("chat.say.self").with("text", text),
        }
    }

    #[test]
    fn an_outcome_is_written_as_serde_does_and_found_again() {
        let mut outcomes = Outcomes::default();
        let texts = ["a \"word\"", "", "Grüß dich\n"];
        let all: Vec<_> = (0..70).map(|n| outcome(&format!("c\"{n}"), texts[n % 3])).collect();
        for one in &all {
            let written = Written::of(one);
            assert_eq!(written.as_str(), serde_json::to_string(one).expect("JSON"));
            outcomes.remember(written);
        }
        let kept = serde_json::to_string(&outcomes).expect("JSON");
        let restored: Outcomes = serde_json::from_str(&kept).expect("outcomes");
        let value = serde_json::from_str::<serde_json::Value>(&kept).expect("JSON");
        let by_value: Outcomes = serde_json::from_value(value).expect("outcomes");
        for outcomes in [&outcomes, &restored, &by_value] {
            for one in &all[..70 - OUTCOMES_MAX] {
                assert_eq!(outcomes.find(&one.origin), None, "the oldest give way");
            }
            for one in &all[70 - OUTCOMES_MAX..] {
                assert_eq!(outcomes.find(&one.origin).as_ref(), Some(one));
            }
            assert_eq!(outcomes.last().as_ref(), all.last());
        }
    }

    #[test]
    fn they_are_bounded_in_bytes() {
        let mut outcomes = Outcomes::default();
        let long = "x".repeat(OUTCOMES_BYTES_MAX / 4);
        (0..9).for_each(|n| outcomes.remember(Written::of(&outcome(&n.to_string(), &long))));
        assert_eq!(outcomes.all.len(), 3);
        let huge = Written::of(&outcome("huge", &"x".repeat(OUTCOMES_BYTES_MAX)));
        outcomes.remember(huge);
        assert_eq!(outcomes.all.len(), 1, "the last one stays");
    }
}
