//! Dead letters between their forms: as the bus has them, as they cross it, and as JSON for people.

use serde_json::{Value, json};
use tidings_bus::{DeadLetter as BusLetter, Letter, LetterFilter};
use tidings_protocol::proto::services::v1::{
    DeadLetter, DeadLetterAttempt, DeadLetterHeader, DeadLetterPage, DeadLetterQueues, PurgeDeadLettersReply,
    ReplayDeadLettersReply, WhichDeadLetters,
};

use super::Which;

pub(super) fn filter_of(which: &WhichDeadLetters) -> LetterFilter {
    LetterFilter { reason: which.reason.clone(), from_ms: which.from_ms, until_ms: which.until_ms }
}

impl From<Which> for WhichDeadLetters {
    fn from(which: Which) -> Self {
        let Which { reason, from_ms, until_ms, after, through, limit } = which;
        let limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        Self { reason, from_ms, until_ms, after, through, limit }
    }
}

pub(super) fn to_wire(Letter { id, letter }: Letter) -> DeadLetter {
    let attempt = |(time_ms, end)| DeadLetterAttempt { time_ms, end };
    let header = |(name, value)| DeadLetterHeader { name, value };
    DeadLetter {
        id,
        queue: letter.subject,
        stream: letter.stream,
        sequence: letter.seq,
        stored_ms: letter.time_ms,
        dead_ms: letter.dead_ms,
        reason: letter.reason,
        errors: letter.errors,
        attempts: letter.attempts.into_iter().map(attempt).collect(),
        headers: letter.headers.into_iter().map(header).collect(),
        payload: letter.payload,
    }
}

/// As an export writes it.
pub(super) fn letter(wire: DeadLetter) -> Value {
    let letter = BusLetter {
        subject: wire.queue,
        stream: wire.stream,
        seq: wire.sequence,
        time_ms: wire.stored_ms,
        dead_ms: wire.dead_ms,
        reason: wire.reason,
        errors: wire.errors,
        attempts: wire.attempts.into_iter().map(|attempt| (attempt.time_ms, attempt.end)).collect(),
        headers: wire.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        payload: wire.payload,
    };
    Letter { id: wire.id, letter }.to_json()
}

pub(super) fn queues(wire: &DeadLetterQueues) -> Value {
    let one = |queue: &tidings_protocol::proto::services::v1::DeadLetterQueue| json!({ "queue": queue.queue, "letters": queue.letters, "oldest_ms": queue.oldest_ms });
    json!({ "queues": wire.queues.iter().map(one).collect::<Vec<_>>() })
}

pub(super) fn page(wire: DeadLetterPage) -> Value {
    let next = wire.next;
    json!({ "letters": wire.letters.into_iter().map(letter).collect::<Vec<_>>(), "next": next })
}

pub(super) fn replayed_one(wire: &ReplayDeadLettersReply) -> Value {
    json!({ "replayed": wire.replayed, "sequence": wire.sequence })
}

pub(super) fn replayed(wire: &ReplayDeadLettersReply) -> Value {
    let refusals: Vec<Value> =
        wire.refusals.iter().map(|one| json!({ "id": one.id, "why": one.why })).collect();
    json!({
        "replayed": wire.replayed, "refused": wire.refused, "refusals": refusals, "next": wire.next,
        "through": wire.through,
    })
}

pub(super) fn purged_one(wire: &PurgeDeadLettersReply) -> Value {
    json!({ "purged": wire.purged })
}

pub(super) fn purged(wire: &PurgeDeadLettersReply) -> Value {
    json!({ "purged": wire.purged, "next": wire.next, "through": wire.through })
}
