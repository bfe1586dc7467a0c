//! Ids: UUIDv7 for what is made at run time, short slugs for places that builders name.
//!
//! Both forms are safe as one token of a subject: no dot, no wildcard, no white space, never empty.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest slug of a place, in bytes.
pub const PLACE_BYTES_MAX: usize = 40;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 32 lower-case hexadecimal digits.
    #[error("'{0}' is not an id: it takes 32 lower-case hexadecimal digits")]
    Hex(String),
    /// Not a place's slug.
    #[error("'{0}' is not the name of a place: 1 to 40 of a-z, 0-9 and '-'")]
    Place(String),
    /// Not `<zone>_<name>`.
    #[error("'{0}' is not a place in a zone: it takes <zone>_<name>")]
    InZone(String),
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect::<String>().escape_debug().to_string()
}

/// 128 bits as RFC 9562 lays out version 7: 48 bits of Unix milliseconds, then random ones.
fn uuid_v7(unix_ms: u64, random: u128) -> u128 {
    let time = u128::from(unix_ms & 0xffff_ffff_ffff) << 80;
    let rand_a = ((random >> 64) & 0xfff) << 64;
    let rand_b = random & 0x3fff_ffff_ffff_ffff;
    time | (0x7 << 76) | rand_a | (0b10 << 62) | rand_b
}

fn parse_hex(text: &str) -> Result<u128, IdError> {
    let digits = text.as_bytes().split_at_checked(16).filter(|(_, low)| low.len() == 16);
    let bits = digits.and_then(|(high, low)| Some((half(high)?, half(low)?)));
    let (high, low) = bits.ok_or_else(|| IdError::Hex(shown(text)))?;
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// 16 lower-case hexadecimal digits.
fn half(digits: &[u8]) -> Option<u64> {
    // All of them are read before any is refused: nothing to decide in between.
    let (bits, all) = digits.iter().fold((0, 0), |(bits, all), digit| {
        let value = VALUES[usize::from(*digit)];
        (bits << 4 | u64::from(value), all | value)
    });
    (all & NO_DIGIT == 0).then_some(bits)
}

/// What is no digit has this value.
const NO_DIGIT: u8 = 0x80;

/// The value of each byte as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// The two digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The 32 digits of an id: an event carries five ids, which the standard formatter takes a microsecond to write.
#[derive(Clone, Copy)]
pub struct Digits([u8; 32]);

impl Digits {
    fn of(bits: u128) -> Self {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            pair.copy_from_slice(&PAIRS[usize::from(byte)]);
        }
        Self(digits)
    }

    /// ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl std::ops::Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(u128);

        impl $name {
            /// A new id from the time, in Unix milliseconds, and random bits.
            pub fn new(unix_ms: u64, random: u128) -> Self {
                Self(uuid_v7(unix_ms, random))
            }

            /// When it was made, in Unix milliseconds.
            pub fn unix_ms(self) -> u64 {
                u64::try_from(self.0 >> 80).expect("48 bits are left")
            }

            /// The id's 128 bits.
            pub fn as_u128(self) -> u128 {
                self.0
            }

            /// The id as text, without a string of its own.
            pub fn digits(self) -> Digits {
                Digits::of(self.0)
            }

            /// The id with exactly these bits, for stores that keep ids as bytes.
            pub fn from_u128(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Digits::of(self.0).as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Digits::of(self.0).as_str())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hex(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                Digits::of(id.0).as_str().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(Digits::of(self.0).as_str())
            }
        }
    };
}

uuid_id!(
    /// An account: who signs in.
    AccountId
);
uuid_id!(
    /// A character of an account; also a character that lives in the world. `player` in a subject is this.
    CharacterId
);
uuid_id!(
    /// A party of players.
    PartyId
);
uuid_id!(
    /// A session: a character in the world, from entering to leaving.
    SessionId
);

fn is_slug(text: &str) -> bool {
    (1..=PLACE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

fn check_place(text: &str) -> Result<(), IdError> {
    if is_slug(text) { Ok(()) } else { Err(IdError::Place(shown(text))) }
}

fn check_in_zone(text: &str) -> Result<(), IdError> {
    match text.split_once('_') {
        Some((zone, name)) if is_slug(zone) && is_slug(name) => Ok(()),
        _ => Err(IdError::InZone(shown(text))),
    }
}

text_id!(
    /// A world: a slug.
    WorldId,
    check_place
);
text_id!(
    /// A zone: a slug; the unit of ownership.
    ZoneId,
    check_place
);
text_id!(
    /// A room, `<zone>_<room>`.
    RoomId,
    check_in_zone
);
text_id!(
    /// An area, the reach of `local`: `<zone>_<area>`.
    AreaId,
    check_in_zone
);

macro_rules! in_zone {
    ($name:ident) => {
        impl $name {
            /// The id of a place of `zone`.
            pub fn in_zone(zone: &ZoneId, name: &str) -> Result<Self, IdError> {
                format!("{zone}_{name}").parse()
            }

            /// The zone of this place.
            pub fn zone(&self) -> ZoneId {
                let (zone, _) = self.0.split_once('_').expect("checked when it was made");
                ZoneId(zone.into())
            }

            /// Whether the place is in this zone.
            pub fn is_in(&self, zone: &ZoneId) -> bool {
                self.0.split_once('_').is_some_and(|(own, _)| own == zone.as_str())
            }
        }
    };
}
in_zone!(RoomId);
in_zone!(AreaId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = AccountId::new(1_763_700_000_000, u128::MAX);
        assert_eq!(id.to_string().parse::<AccountId>(), Ok(id));
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(&id.to_string()[12..13], "7");
    }

    #[test]
    fn ids_made_later_sort_later() {
        assert!(CharacterId::new(1, u128::MAX) < CharacterId::new(2, 0));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for bad in ["", "A0", "0123456789abcdef0123456789abcdeG", "0123456789ABCDEF0123456789ABCDEF"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
        for bad in ["", "a", "a_", "_b", "a_b_c", "A_b", "a.b_c", "a_*", "a_>", "a _b", &"x".repeat(90)] {
            assert!(bad.parse::<RoomId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_room_knows_its_zone() {
        let room: RoomId = "harbour_quay".parse().expect("a room");
        assert_eq!(room.zone().as_str(), "harbour");
    }
}
