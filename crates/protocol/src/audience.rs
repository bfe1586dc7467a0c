//! An audience: who hears something. A durable audience is one log, and its text form is the log's subject
//! without the ending: `room.harbour_quay`, `player.<id>`, `world.<world>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{AreaId, CharacterId, IdError, PartyId, RoomId, WorldId};

/// Who hears something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Audience {
    /// Whoever is in a room.
    Room(RoomId),
    /// Whoever is in an area of a zone: the reach of `local`.
    Area(AreaId),
    /// One character.
    Player(CharacterId),
    /// The members of a party.
    Party(PartyId),
    /// Everyone in the world.
    World(WorldId),
    /// The staff of a world.
    Staff(WorldId),
}

impl Audience {
    /// The first token: also what the `audience` field of an `event` frame says.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Room(_) => "room",
            Self::Area(_) => "area",
            Self::Player(_) => "player",
            Self::Party(_) => "party",
            Self::World(_) => "world",
            Self::Staff(_) => "staff",
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope())?;
        match self {
            Self::Room(id) => write!(f, ".{id}"),
            Self::Area(id) => write!(f, ".{id}"),
            Self::Player(id) => write!(f, ".{id}"),
            Self::Party(id) => write!(f, ".{id}"),
            Self::World(id) | Self::Staff(id) => write!(f, ".{id}"),
        }
    }
}

/// Why a text is not an audience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AudienceError {
    /// The first token names no scope.
    #[error("an audience starts with room, area, player, party, world or staff")]
    Scope,
    /// The second token is not an id of that scope.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl FromStr for Audience {
    type Err = AudienceError;

    fn from_str(text: &str) -> Result<Self, AudienceError> {
        let (scope, id) = text.split_once('.').ok_or(AudienceError::Scope)?;
        Ok(match scope {
            "room" => Self::Room(id.parse()?),
            "area" => Self::Area(id.parse()?),
            "player" => Self::Player(id.parse()?),
            "party" => Self::Party(id.parse()?),
            "world" => Self::World(id.parse()?),
            "staff" => Self::Staff(id.parse()?),
            _ => return Err(AudienceError::Scope),
        })
    }
}

impl TryFrom<String> for Audience {
    type Error = AudienceError;
    fn try_from(text: String) -> Result<Self, AudienceError> {
        text.parse()
    }
}

impl From<Audience> for String {
    fn from(audience: Audience) -> String {
        audience.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_reads_back_as_it_was_written() {
        let player = CharacterId::new(1, 2);
        for text in ["room.harbour_quay", "area.harbour_docks", "world.lantern", "staff.lantern"] {
            assert_eq!(text.parse::<Audience>().expect("an audience").to_string(), text);
        }
        let text = format!("player.{player}");
        assert_eq!(text.parse(), Ok(Audience::Player(player)));
    }

    #[test]
    fn what_is_not_an_audience_is_refused() {
        for bad in ["", "room", "room.", "room.*", "room.a.b", "galaxy.x", "player.ann"] {
            assert!(bad.parse::<Audience>().is_err(), "{bad}");
        }
    }
}
