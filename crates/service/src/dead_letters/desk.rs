//! The questions about dead letters, answered from the bus: what the service `deadletter` does, and the command line
//! where no service is asked.

use tidings_bus::dead_letters::PAGE_MAX;
use tidings_bus::{DeadLetter as Letter, DeadLetterQueues, DeadLetters, Letter as Numbered};
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{
    DeadLetter, DeadLetterPage, DeadLetterQueue, DeadLetterQueues as QueueList, DeadLetterRefusal,
    DeadLetterRequest, ListDeadLettersRequest, PurgeDeadLettersReply, PurgeDeadLettersRequest,
    ReplayDeadLettersReply, ReplayDeadLettersRequest, WhichDeadLetters, purge_dead_letters_request,
    replay_dead_letters_request,
};

use super::form::{filter_of, to_wire};
use super::{REPLAYS_PER_SECOND, REPLAYS_PER_SECOND_MAX, STEP_MAX, STEP_SECONDS_MAX, told};
use crate::error::CallError;

/// Letters of one page, where nobody says how many.
const PAGE: usize = 20;
/// Bytes of one page, about: a page ends before the letter that goes over it, and has one in any case.
const PAGE_BYTES: usize = 256 * 1024;

/// Every queue with letters, how many, and since when.
pub async fn queues(queues: &DeadLetterQueues) -> Result<QueueList, CallError> {
    let mut list = Vec::new();
    for (parameters, letters) in queues.all().await.map_err(told)? {
        let depth = letters.depth().await.map_err(told)?;
        if depth.letters > 0 {
            let (queue, letters) = (parameters.join("."), depth.letters as u64);
            list.push(DeadLetterQueue { queue, letters, oldest_ms: depth.oldest_ms });
        }
    }
    Ok(QueueList { queues: list })
}

/// A page of letters.
pub async fn list(
    queues: &DeadLetterQueues,
    ask: ListDeadLettersRequest,
) -> Result<DeadLetterPage, CallError> {
    let (letters, which) = (of(queues, &ask.queue)?, ask.which.unwrap_or_default());
    let limit = which.limit.map_or(PAGE, |limit| limit as usize).min(PAGE_MAX);
    let page = letters.list(&filter_of(&which), which.after, limit).await.map_err(told)?;
    let mut bytes = 0;
    let fit = page.letters.iter().take_while(|letter| {
        let first = bytes == 0;
        bytes += size(letter);
        first || bytes <= PAGE_BYTES
    });
    let fit = fit.count();
    let cut = (fit < page.letters.len()).then(|| page.letters[fit - 1].id);
    let letters = page.letters.into_iter().take(fit).map(to_wire).collect();
    Ok(DeadLetterPage { letters, next: cut.or(page.next) })
}

/// One letter.
pub async fn show(queues: &DeadLetterQueues, ask: DeadLetterRequest) -> Result<DeadLetter, CallError> {
    let letter = of(queues, &ask.queue)?.get(ask.id).await.map_err(told)?;
    letter.map(to_wire).ok_or_else(|| missing(ask.id))
}

/// Puts the message of one letter, or of some, back into the queue.
pub async fn replay(
    queues: &DeadLetterQueues,
    ask: ReplayDeadLettersRequest,
) -> Result<ReplayDeadLettersReply, CallError> {
    use replay_dead_letters_request::What;
    let letters = of(queues, &ask.queue)?;
    match ask.what {
        Some(What::Id(id)) => {
            let sequence = letters.replay(id).await.map_err(told)?.ok_or_else(|| missing(id))?;
            Ok(ReplayDeadLettersReply { replayed: 1, sequence, ..ReplayDeadLettersReply::default() })
        }
        Some(What::Which(which)) => {
            let per_second = ask.per_second.unwrap_or(REPLAYS_PER_SECOND).clamp(1, REPLAYS_PER_SECOND_MAX);
            let walk = walk(&which, &letters, per_second).await?;
            let done = letters.replay_many(&walk).await.map_err(told)?;
            let refusals = done.refusals.into_iter().map(|(id, why)| DeadLetterRefusal { id, why });
            Ok(ReplayDeadLettersReply {
                replayed: done.replayed as u64,
                refused: done.refused as u64,
                refusals: refusals.collect(),
                next: done.next,
                through: walk.through,
                sequence: 0,
            })
        }
        None => Err(nothing_named()),
    }
}

/// Takes one letter, or some, out for good.
pub async fn purge(
    queues: &DeadLetterQueues,
    ask: PurgeDeadLettersRequest,
) -> Result<PurgeDeadLettersReply, CallError> {
    use purge_dead_letters_request::What;
    let letters = of(queues, &ask.queue)?;
    match ask.what {
        Some(What::Id(id)) => match letters.remove(&[id]).await.map_err(told)? {
            0 => Err(missing(id)),
            count => Ok(PurgeDeadLettersReply { purged: count as u64, ..PurgeDeadLettersReply::default() }),
        },
        Some(What::Which(which)) => {
            let walk = walk(&which, &letters, REPLAYS_PER_SECOND_MAX).await?;
            let (purged, next) = letters.purge(&walk).await.map_err(told)?;
            Ok(PurgeDeadLettersReply { purged: purged as u64, next, through: walk.through })
        }
        None => Err(nothing_named()),
    }
}

/// Stores a line of an export; answers how many letters that was, and how many were there already.
pub(super) async fn import(
    queues: &DeadLetterQueues,
    queue: &str,
    line: &str,
) -> Result<(usize, usize), CallError> {
    let letter = Letter::from_line(line).map_err(told)?;
    let done = of(queues, queue)?.import(vec![letter]).await.map_err(told)?;
    Ok((done.stored, done.known))
}

async fn walk(
    which: &WhichDeadLetters,
    letters: &DeadLetters,
    per_second: u32,
) -> Result<tidings_bus::dead_letters::Walk, CallError> {
    let through = match which.through {
        Some(through) => through,
        None => letters.end().await.map_err(told)?,
    };
    let pace = (per_second as usize).saturating_mul(STEP_SECONDS_MAX as usize);
    let limit = which.limit.map_or(STEP_MAX, |limit| limit as usize).min(STEP_MAX).min(pace);
    let filter = filter_of(which);
    Ok(tidings_bus::dead_letters::Walk { filter, after: which.after, through, limit, per_second })
}

fn of(queues: &DeadLetterQueues, queue: &str) -> Result<DeadLetters, CallError> {
    queues.of(&[queue]).map_err(told)
}

/// What a letter takes in an answer, about.
pub(super) fn size(Numbered { letter, .. }: &Numbered) -> usize {
    let texts = letter.errors.iter().chain(letter.attempts.iter().map(|(_, end)| end));
    let headers: usize = letter.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    letter.payload.len() + letter.reason.len() + headers + texts.map(String::len).sum::<usize>()
}

fn missing(id: u64) -> CallError {
    CallError::new(ErrorCode::NotFound, format!("There is no dead letter {id} in this queue (any more)."))
}

pub(super) fn nothing_named() -> CallError {
    CallError::new(ErrorCode::InvalidArgument, "Either a letter's number, or a description of letters.")
}
