//! What a zone's record and its checkpoint hold: the effects, and what the host itself must know again after a
//! restart. JSON, since the effects are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tidings_protocol::AccountId;
use tidings_world::Effect;
use tidings_world::input::Millis;

use super::config::MOVES_MAX;

/// An account banned until then (`None`: without end), with the reason.
pub type Banned = (AccountId, Option<Millis>, String);

/// A move, and how many messages after the record the one is that tells of it.
pub type Arrived = (String, u64);

/// The body of a `ZoneRecord`, as it is read. Written piecewise by [`RecordWriter`].
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
#[derive(Default)]
pub struct RecordWriter {
    /// The body so far, from its first effect on.
    body: Vec<u8>,
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

/// How a body begins.
const EFFECTS: &[u8] = br#"{"effects":["#;

impl RecordWriter {
    /// Adds an effect.
    pub fn effect(&mut self, effect: &Effect) {
        self.body.extend_from_slice(if self.body.is_empty() { EFFECTS } else { b"," });
        serde_json::to_writer(&mut self.body, effect).expect("an effect is JSON, and memory takes it");
    }

    /// Bytes of effects so far.
    pub fn effect_bytes(&self) -> usize {
        self.body.len()
    }

    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty() && self.moves.is_empty() && self.bans.is_empty()
    }

    /// The record's body; the effects are gone from here.
    pub fn finish(&mut self, prev: u64) -> Vec<u8> {
        let mut body = std::mem::take(&mut self.body);
        if body.is_empty() {
            body.extend_from_slice(EFFECTS);
        }
        body.push(b']');
        let tail = body.len();
        serde_json::to_writer(&mut body, &Tail { prev, moves: &self.moves, bans: &self.bans })
            .expect("texts and numbers are JSON");
        // One object: the second part's brace is the comma between.
        body[tail] = b',';
        body
    }
}

/// A checkpoint's body: the state, and what the host knows with it. Its sequence and epoch are its stamp.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The moves let in lately.
    pub moves: Moves,
    /// The zone's clock.
    pub now: Millis,
    /// The rules' own form.
    pub state: String,
}

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
        let record: Record = serde_json::from_slice(&writer.finish(7)).expect("a record");
        assert_eq!((record.prev, record.effects.len(), record.bans), (7, 2, writer.bans));
        assert_eq!(record.moves, [("m".to_owned(), 3)]);
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
