//! A position: how far a session has been told. Clients keep it and give it back; to them it is opaque.
//!
//! Every durable audience lives in one stream, so one sequence says how far *all* open audiences were
//! delivered, and the same position serves every receiver of an event. An audience that is being repaired
//! while others go on is named in `behind`, with the last sequence delivered of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audience::Audience;

/// Most audiences a position may name as behind.
pub const BEHIND_MAX: usize = 64;

/// How far a session has been told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The stream's epoch: changes when a stream is made or restored, or found behind a number given out.
    pub epoch: String,
    /// Everything up to this sequence was delivered, but for `behind`.
    pub seq: u64,
    /// Audiences delivered less far, with their last sequence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub behind: BTreeMap<Audience, u64>,
}

impl Position {
    /// A position with no audience behind.
    pub fn new(epoch: impl Into<String>, seq: u64) -> Self {
        Self { epoch: epoch.into(), seq, behind: BTreeMap::new() }
    }

    /// The last sequence delivered of `audience`.
    pub fn of(&self, audience: &Audience) -> u64 {
        self.behind.get(audience).copied().unwrap_or(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_behind_counts_for_itself_alone() {
        let room: Audience = "room.a_b".parse().expect("an audience");
        let world: Audience = "world.w".parse().expect("an audience");
        let mut position = Position::new("e", 9);
        position.behind.insert(room.clone(), 4);
        assert_eq!((position.of(&room), position.of(&world)), (4, 9));
        let json = serde_json::to_string(&position).expect("json");
        assert_eq!(json, r#"{"epoch":"e","seq":9,"behind":{"room.a_b":4}}"#);
        assert_eq!(serde_json::from_str::<Position>(&json).expect("a position"), position);
    }
}
