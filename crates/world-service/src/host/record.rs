//! What a zone's record and its checkpoint hold: the effects, and what the host itself must know again after a
//! restart. JSON, since the effects are.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidings_protocol::AccountId;
use tidings_protocol::proto::world::v1 as wire;
use tidings_world::Effect;
use tidings_world::input::Millis;

use super::config::MOVES_MAX;

/// An account banned until then (`None`: without end), with the reason.
pub type Banned = (AccountId, Option<Millis>, String);

/// A move, and how many messages after the record the one is that tells of it.
pub type Arrived = (String, u64);

/// The body of a zone's record, as it is read. Written piecewise by [`RecordWriter`].
#[derive(Debug, Deserialize)]
pub struct Record {
    /// The sequence of the zone's record before this one; 0: there was none. A chain that does not meet shows
    /// that something is missing.
    pub prev: u64,
    /// In order.
    pub effects: Vec<Effect>,
    /// Moves that this commit let in.
    #[serde(default)]
    pub moves: Vec<Arrived>,
    /// Bans: kept by storage, again after a replay.
    #[serde(default)]
    pub bans: Vec<Banned>,
}

/// Writes a record while a batch is decided, so that its size is known and nothing is encoded twice.
pub struct RecordWriter {
    /// The body as far as it is written: room, what it begins with, and the effects so far, with commas between.
    body: Vec<u8>,
    /// Whether one of them lasts.
    lasts: bool,
    /// Moves of the batch.
    pub moves: Vec<Arrived>,
    /// Bans of the batch.
    pub bans: Vec<Banned>,
}

/// What follows the effects.
#[derive(Serialize)]
struct Tail<'a> {
    prev: u64,
    moves: &'a [Arrived],
    bans: &'a [Banned],
}

/// How a body begins, behind room for the fields that go before it in a message: it is written once, and sent from where
/// it lies.
const BEFORE: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0{\"effects\":[";
/// Bytes of that room: two keys and two numbers need 22.
const ROOM: usize = 24;
const _: () = assert!(BEFORE[ROOM] == b'{' && BEFORE[ROOM - 1] == 0);
/// The field of a zone's record that the body is.
const EFFECTS: u32 = 2;
/// What is between the effects and the rest.
const BETWEEN: &[u8] = b"],";

impl Default for RecordWriter {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl RecordWriter {
    /// A writer with room for so many bytes of effects before memory is moved.
    pub fn with_room(bytes: usize) -> Self {
        let mut body = Vec::with_capacity(BEFORE.len() + bytes);
        body.extend_from_slice(BEFORE);
        Self { body, lasts: false, moves: Vec::new(), bans: Vec::new() }
    }

    /// Adds an effect.
    pub fn effect(&mut self, effect: &Effect) {
        self.lasts |= !effect.passes();
        if !self.effects().is_empty() {
            self.body.push(b',');
        }
        effect.write_json(&mut self.body);
    }

    /// The effects so far, with commas between.
    pub fn effects(&self) -> &[u8] {
        &self.body[BEFORE.len()..]
    }

    /// Whether there is nothing that lasts longer than a minute.
    pub fn passes(&self) -> bool {
        !self.lasts && self.moves.is_empty() && self.bans.is_empty()
    }

    /// Bytes of effects so far.
    pub fn effect_bytes(&self) -> usize {
        self.effects().len()
    }

    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.effects().is_empty() && self.moves.is_empty() && self.bans.is_empty()
    }

    /// Takes the record as `tidings.world.v1.ZoneRecord`, with the effects of `before` in front.
    pub fn message(&mut self, time: Millis, prev: u64, before: &[u8]) -> Bytes {
        let mut body = self.behind_room(prev, before);
        let mut head = wire::ZoneRecord { time_ms: time, effects: Bytes::new() }.encode_to_vec();
        encode_key(EFFECTS, WireType::LengthDelimited, &mut head);
        encode_varint((body.len() - ROOM) as u64, &mut head);
        let start = ROOM - head.len();
        body[start..ROOM].copy_from_slice(&head);
        if body.capacity() > 2 * body.len() {
            // Room made for a larger batch: the log keeps the record for a while.
            body.shrink_to_fit();
        }
        Bytes::from(body).slice(start..)
    }

    /// Takes the record's body, with the effects of `before` in front.
    pub fn body(&mut self, prev: u64, before: &[u8]) -> Vec<u8> {
        self.behind_room(prev, before).split_off(ROOM)
    }

    fn behind_room(&mut self, prev: u64, before: &[u8]) -> Vec<u8> {
        let mut body = std::mem::replace(&mut self.body, BEFORE.to_vec());
        if !before.is_empty() {
            let comma: &[u8] = if body.len() == BEFORE.len() { b"" } else { b"," };
            body = [BEFORE, before, comma, &body[BEFORE.len()..]].concat();
        }
        body.extend_from_slice(BETWEEN);
        let tail = body.len();
        serde_json::to_writer(&mut body, &Tail { prev, moves: &self.moves, bans: &self.bans })
            .expect("texts and numbers are JSON");
        // One object: the second part begins after its brace.
        body.remove(tail);
        body
    }
}

/// The body of a record of these effects alone, with commas between.
pub fn body_of(effects: &[u8], prev: u64) -> Vec<u8> {
    RecordWriter::default().body(prev, effects)
}

/// A checkpoint's body: the state, and what the host knows with it. Its sequence and epoch are its stamp.
#[derive(Debug, Deserialize)]
pub struct Snapshot {
    /// The moves let in lately.
    pub moves: Moves,
    /// The zone's clock.
    pub now: Millis,
    /// The rules' own form.
    state: Box<RawValue>,
}

impl Snapshot {
    /// Writes the body; the rules' state, JSON itself, goes into it as it is.
    pub fn body(moves: &Moves, now: Millis, state: &str) -> String {
        #[derive(Serialize)]
        struct Head<'a> {
            moves: &'a Moves,
            now: Millis,
        }
        let mut body = serde_json::to_string(&Head { moves, now }).expect("texts and numbers are JSON");
        body.reserve(STATE.len() + state.len());
        // Of one object: the brace comes after what follows.
        body.pop();
        body.push_str(STATE);
        body.push_str(state);
        body.push('}');
        body
    }

    /// The rules' own form. Earlier versions kept it as a text.
    pub fn state(&self) -> Result<Cow<'_, str>, serde_json::Error> {
        let state = self.state.get();
        if state.starts_with('"') { serde_json::from_str(state).map(Cow::Owned) } else { Ok(state.into()) }
    }
}

/// What goes before the state.
const STATE: &str = r#","state":"#;

/// The moves let in lately, with the sequence of the character's arrival: asked for by the zone it came from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Moves(VecDeque<(String, u64)>);

impl Moves {
    /// Remembers a move; the oldest is forgotten beyond the bound.
    pub fn add(&mut self, id: String, seq: u64) {
        if self.0.len() >= MOVES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((id, seq));
    }

    /// When a move was let in, if it was. Looked for from the newest: it is nearly always there.
    pub fn find(&self, id: &str) -> Option<u64> {
        self.0.iter().rev().find(|(known, _)| known == id).map(|(_, seq)| *seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let effect: Effect = serde_json::from_str(r#"{"Weather":"rain"}"#).expect("an effect");
        let mut writer = RecordWriter::default();
        assert!(writer.is_empty());
        writer.effect(&effect);
        writer.effect(&effect);
        writer.moves.push(("m".into(), 3));
        writer.bans.push((AccountId::from_u128(1), None, "rude".into()));
        let before = br#"{"Weather":"snow"}"#;
        let record: Record = serde_json::from_slice(&writer.body(7, before)).expect("a record");
        assert_eq!((record.prev, record.effects.len(), &record.bans), (7, 3, &writer.bans));
        assert_eq!(record.moves, [("m".to_owned(), 3)]);
        for (time, before) in [(i64::MIN, &before[..]), (1_796_000_000_000, b""), (0, b"")] {
            let mut writer = RecordWriter::default();
            (0..200).for_each(|_| writer.effect(&effect));
            let mut same = RecordWriter::default();
            (0..200).for_each(|_| same.effect(&effect));
            let expected = wire::ZoneRecord { time_ms: time, effects: same.body(7, before).into() };
            assert_eq!(wire::ZoneRecord::decode(writer.message(time, 7, before)), Ok(expected));
        }
        for (before, count) in [(&before[..], 1), (b"", 0)] {
            let record: Record = serde_json::from_slice(&body_of(before, 8)).expect("a record");
            assert_eq!((record.prev, record.effects.len()), (8, count));
        }
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was_written_and_as_earlier_versions_wrote_it() {
        let mut moves = Moves::default();
        moves.add("m".into(), 7);
        let state = r#"{"weather":"\"rain\"","hour":3}"#;
        let quoted = serde_json::to_string(state).expect("a text is JSON");
        for body in
            [Snapshot::body(&moves, 5, state), format!(r#"{{"moves":[["m",7]],"now":5,"state":{quoted}}}"#)]
        {
            let snapshot: Snapshot = serde_json::from_str(&body).expect("a checkpoint");
            assert_eq!((snapshot.now, snapshot.moves.find("m")), (5, Some(7)));
            assert_eq!(snapshot.state().expect("the state"), state);
        }
    }

    #[test]
    fn the_oldest_moves_are_forgotten() {
        let mut moves = Moves::default();
        for n in 0..=MOVES_MAX as u64 {
            moves.add(n.to_string(), n);
        }
        assert_eq!((moves.find("0"), moves.find("1"), moves.find("x")), (None, Some(1), None));
    }
}
