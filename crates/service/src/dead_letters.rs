//! What staff ask of dead letters, and the answers as JSON: one form for the command line, its socket and HTTP. Each
//! answer is bounded, in letters and bytes, and says where to go on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings_bus::dead_letters::{PAGE_MAX, Walk};
use tidings_bus::{Bus, DeadLetter, DeadLetterQueues, DeadLetters, ErrorKind, Letter, LetterFilter};
use tidings_protocol::ErrorCode;

use crate::error::CallError;

/// How often dead letters are counted: an alert waits for minutes anyway.
const MEASURE_EVERY: Duration = Duration::from_secs(15);
/// Letters of one page, where nobody says how many.
const PAGE: usize = 20;
/// Bytes of one page, about: a page ends with the letter that goes over it.
const PAGE_BYTES: usize = 256 * 1024;
/// Letters of one ask to replay or purge: some seconds at a usual pace.
const STEP_MAX: usize = 100;
/// Replays a second, where nobody says how many: what failed once is not sent in a burst.
pub const REPLAYS_PER_SECOND: u32 = 20;
/// Replays a second at most.
const REPLAYS_PER_SECOND_MAX: u32 = 1_000;
/// How long the replays of one ask may take: shorter than who asks waits.
const STEP_SECONDS_MAX: u32 = 5;

/// Which letters of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    /// A text in the reason, or in an error it came from; whatever the case.
    pub reason: Option<String>,
    /// Dead since then, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Dead before then, Unix milliseconds.
    pub until_ms: Option<i64>,
    /// Those after this letter.
    pub after: u64,
    /// Those up to and with this one; nothing: those there are now.
    pub through: Option<u64>,
    /// How many; nothing: as many as an answer takes.
    pub limit: Option<usize>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Every queue with letters, how many, and since when.
    Queues {},
    /// A page of letters.
    List {
        /// The queue.
        queue: String,
        /// Which letters.
        #[serde(default)]
        which: Which,
    },
    /// One letter.
    Show {
        /// The queue.
        queue: String,
        /// Its number.
        id: u64,
    },
    /// One letter's message goes back into the queue.
    Replay {
        /// The queue.
        queue: String,
        /// Its number.
        id: u64,
    },
    /// The messages of many go back, some at an ask.
    ReplayMany {
        /// The queue.
        queue: String,
        /// Which letters.
        which: Which,
        /// How many a second.
        per_second: Option<u32>,
    },
    /// One letter is taken out.
    Purge {
        /// The queue.
        queue: String,
        /// Its number.
        id: u64,
    },
    /// Many are taken out, some at an ask.
    PurgeMany {
        /// The queue.
        queue: String,
        /// Which letters.
        which: Which,
    },
    /// A line of an export is stored.
    Import {
        /// The queue.
        queue: String,
        /// The line.
        line: String,
    },
}

impl Which {
    fn filter(&self) -> LetterFilter {
        LetterFilter { reason: self.reason.clone(), from_ms: self.from_ms, until_ms: self.until_ms }
    }

    async fn walk(&self, letters: &DeadLetters, per_second: u32) -> Result<Walk, CallError> {
        let through = match self.through {
            Some(through) => through,
            None => letters.end().await.map_err(told)?,
        };
        let pace = (per_second as usize).saturating_mul(STEP_SECONDS_MAX as usize);
        let limit = self.limit.unwrap_or(STEP_MAX).min(STEP_MAX).min(pace);
        Ok(Walk { filter: self.filter(), after: self.after, through, limit, per_second })
    }
}

/// The dead letters of the house's queues.
pub fn queues(bus: Bus) -> DeadLetterQueues {
    DeadLetterQueues::new(bus, "work", "dlq")
}

/// Tells the metrics of every queue how many letters there are and since when, for as long as it runs. One process of
/// a system does.
pub async fn keep_measured(queues: DeadLetterQueues) {
    let mut beat = tokio::time::interval(MEASURE_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Err(error) = queues.measure().await {
            tracing::warn!(%error, "the dead letters could not be counted");
        }
    }
}

/// Does what is asked.
pub async fn answer(queues: &DeadLetterQueues, ask: Ask) -> Result<Value, CallError> {
    match ask {
        Ask::Queues {} => overview(queues).await,
        Ask::List { queue, which } => list(&of(queues, &queue)?, &which).await,
        Ask::Show { queue, id } => {
            let letter = of(queues, &queue)?.get(id).await.map_err(told)?;
            Ok(letter.ok_or_else(|| missing(id))?.to_json())
        }
        Ask::Replay { queue, id } => {
            let seq = of(queues, &queue)?.replay(id).await.map_err(told)?;
            Ok(json!({ "replayed": 1, "sequence": seq.ok_or_else(|| missing(id))? }))
        }
        Ask::ReplayMany { queue, which, per_second } => {
            let per_second = per_second.unwrap_or(REPLAYS_PER_SECOND).clamp(1, REPLAYS_PER_SECOND_MAX);
            let letters = of(queues, &queue)?;
            let walk = which.walk(&letters, per_second).await?;
            let done = letters.replay_many(&walk).await.map_err(told)?;
            let refusals: Vec<Value> =
                done.refusals.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
            let through = walk.through;
            Ok(json!({
                "replayed": done.replayed, "refused": done.refused, "refusals": refusals, "next": done.next,
                "through": through,
            }))
        }
        Ask::Purge { queue, id } => match of(queues, &queue)?.remove(&[id]).await.map_err(told)? {
            0 => Err(missing(id)),
            count => Ok(json!({ "purged": count })),
        },
        Ask::PurgeMany { queue, which } => {
            let letters = of(queues, &queue)?;
            let walk = which.walk(&letters, REPLAYS_PER_SECOND_MAX).await?;
            let (purged, next) = letters.purge(&walk).await.map_err(told)?;
            Ok(json!({ "purged": purged, "next": next, "through": walk.through }))
        }
        Ask::Import { queue, line } => {
            let letter = DeadLetter::from_line(&line).map_err(told)?;
            let done = of(queues, &queue)?.import(vec![letter]).await.map_err(told)?;
            Ok(json!({ "imported": done.stored, "known": done.known }))
        }
    }
}

fn of(queues: &DeadLetterQueues, queue: &str) -> Result<DeadLetters, CallError> {
    queues.of(&[queue]).map_err(told)
}

async fn overview(queues: &DeadLetterQueues) -> Result<Value, CallError> {
    let mut list = Vec::new();
    for (parameters, letters) in queues.all().await.map_err(told)? {
        let depth = letters.depth().await.map_err(told)?;
        if depth.letters > 0 {
            let queue = parameters.join(".");
            list.push(json!({ "queue": queue, "letters": depth.letters, "oldest_ms": depth.oldest_ms }));
        }
    }
    Ok(json!({ "queues": list }))
}

async fn list(letters: &DeadLetters, which: &Which) -> Result<Value, CallError> {
    let limit = which.limit.unwrap_or(PAGE).min(PAGE_MAX);
    let page = letters.list(&which.filter(), which.after, limit).await.map_err(told)?;
    let mut bytes = 0;
    let fit = page.letters.iter().take_while(|letter| {
        let fits = bytes < PAGE_BYTES;
        bytes += size(letter);
        fits
    });
    let fit = &page.letters[..fit.count()];
    let cut = (fit.len() < page.letters.len()).then(|| fit.last().map(|last| last.id)).flatten();
    let list: Vec<Value> = fit.iter().map(Letter::to_json).collect();
    Ok(json!({ "letters": list, "next": cut.or(page.next) }))
}

fn size(Letter { letter, .. }: &Letter) -> usize {
    let texts = letter.errors.iter().chain(letter.attempts.iter().map(|(_, end)| end));
    let headers: usize = letter.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    letter.payload.len() + letter.reason.len() + headers + texts.map(String::len).sum::<usize>()
}

fn missing(id: u64) -> CallError {
    CallError::new(ErrorCode::NotFound, format!("There is no dead letter {id} in this queue (any more)."))
}

/// Staff are told what the bus says.
fn told(error: tidings_bus::Error) -> CallError {
    let code = match error.kind() {
        // A queue that nobody has worked on yet: nothing to try again.
        ErrorKind::NoResponders => ErrorCode::FailedPrecondition,
        _ => CallError::from(tidings_bus::Error::new(error.kind(), "")).code,
    };
    CallError::new(code, format!("{error}."))
}
