//! Dead letters between their forms: as the bus has them, as they cross it, and as JSON for people.

use serde_json::{Value, json};
use tidings_bus::{DeadLetter as BusLetter, Letter, LetterFilter};
use tidings_protocol::proto::services::v1::{
    DeadLetter, DeadLetterAttempt, DeadLetterHeader, DeadLetterPage, DeadLetterQueues, PurgeDeadLettersReply,
    PurgeDeadLettersRequest, ReplayDeadLettersReply, ReplayDeadLettersRequest, WhichDeadLetters,
    purge_dead_letters_request, replay_dead_letters_request,
};

use super::desk::nothing_named;
use super::{Ask, Which};
use crate::error::CallError;

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

impl From<&WhichDeadLetters> for Which {
    fn from(which: &WhichDeadLetters) -> Self {
        let WhichDeadLetters { reason, from_ms, until_ms, after, through, limit } = which.clone();
        Self { reason, from_ms, until_ms, after, through, limit: limit.map(|limit| limit as usize) }
    }
}

/// What is to be put back, as the audit log has it.
pub(super) fn replay_detail(wire: &ReplayDeadLettersRequest) -> Result<String, CallError> {
    use replay_dead_letters_request::What;
    let queue = wire.queue.clone();
    detail(&match wire.what.as_ref().ok_or_else(nothing_named)? {
        What::Id(id) => Ask::Replay { queue, id: *id },
        What::Which(which) => Ask::ReplayMany { queue, which: which.into(), per_second: wire.per_second },
    })
}

/// What is to be taken out, as the audit log has it.
pub(super) fn purge_detail(wire: &PurgeDeadLettersRequest) -> Result<String, CallError> {
    use purge_dead_letters_request::What;
    let queue = wire.queue.clone();
    detail(&match wire.what.as_ref().ok_or_else(nothing_named)? {
        What::Id(id) => Ask::Purge { queue, id: *id },
        What::Which(which) => Ask::PurgeMany { queue, which: which.into() },
    })
}

fn detail(ask: &Ask) -> Result<String, CallError> {
    serde_json::to_string(ask).map_err(|_| CallError::internal("What is asked cannot be written down."))
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
