//! What staff ask of dead letters, and the answers as JSON: one form for the command line, its socket and HTTP. Each
//! answer is bounded, in letters and bytes, and says where to go on.
//!
//! The questions go to the service `deadletter` ([`ask`]), which alone needs the rights to put back and take out, or
//! from a process that has the bus for itself straight to it ([`answer`]). The service looks for itself who asks
//! ([`Gate`]); the bus's own rights say who may go straight to it.

mod desk;
mod form;
mod gate;
mod service;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings_bus::{Bus, DeadLetterQueues, ErrorKind};
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{
    DeadLetter, DeadLetterPage, DeadLetterQueues as QueueList, DeadLetterRequest, ListDeadLettersRequest,
    PurgeDeadLettersReply, PurgeDeadLettersRequest, ReplayDeadLettersReply, ReplayDeadLettersRequest,
    StaffToken, purge_dead_letters_request, replay_dead_letters_request,
};

pub use self::gate::{Gate, Note};
pub use self::service::{SERVICE, server};
use crate::caller::Caller;
use crate::error::CallError;

/// How often dead letters are counted: an alert waits for minutes anyway.
const MEASURE_EVERY: Duration = Duration::from_secs(15);
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

/// Does what is asked, on the bus of these queues.
pub async fn answer(queues: &DeadLetterQueues, ask: Ask) -> Result<Value, CallError> {
    put(&Here(queues), ask).await
}

/// The same, by the service `deadletter`, for whoever has this token. It can do all but import.
pub async fn ask(caller: &Caller, staff: StaffToken, ask: Ask) -> Result<Value, CallError> {
    put(&service::Remote { caller, staff }, ask).await
}

/// Who answers questions about dead letters.
trait Desk {
    async fn queues(&self) -> Result<QueueList, CallError>;
    async fn list(&self, ask: ListDeadLettersRequest) -> Result<DeadLetterPage, CallError>;
    async fn show(&self, ask: DeadLetterRequest) -> Result<DeadLetter, CallError>;
    async fn replay(&self, ask: ReplayDeadLettersRequest) -> Result<ReplayDeadLettersReply, CallError>;
    async fn purge(&self, ask: PurgeDeadLettersRequest) -> Result<PurgeDeadLettersReply, CallError>;
    async fn import(&self, queue: &str, line: &str) -> Result<(usize, usize), CallError>;
}

/// The bus itself.
struct Here<'a>(&'a DeadLetterQueues);

impl Desk for Here<'_> {
    async fn queues(&self) -> Result<QueueList, CallError> {
        desk::queues(self.0).await
    }

    async fn list(&self, ask: ListDeadLettersRequest) -> Result<DeadLetterPage, CallError> {
        desk::list(self.0, ask).await
    }

    async fn show(&self, ask: DeadLetterRequest) -> Result<DeadLetter, CallError> {
        desk::show(self.0, ask).await
    }

    async fn replay(&self, ask: ReplayDeadLettersRequest) -> Result<ReplayDeadLettersReply, CallError> {
        desk::replay(self.0, ask).await
    }

    async fn purge(&self, ask: PurgeDeadLettersRequest) -> Result<PurgeDeadLettersReply, CallError> {
        desk::purge(self.0, ask).await
    }

    async fn import(&self, queue: &str, line: &str) -> Result<(usize, usize), CallError> {
        desk::import(self.0, queue, line).await
    }
}

async fn put(desk: &impl Desk, ask: Ask) -> Result<Value, CallError> {
    match ask {
        Ask::Queues {} => Ok(form::queues(&desk.queues().await?)),
        Ask::List { queue, which } => {
            let ask = ListDeadLettersRequest { queue, which: Some(which.into()), staff: None };
            Ok(form::page(desk.list(ask).await?))
        }
        Ask::Show { queue, id } => {
            let ask = DeadLetterRequest { queue, id, staff: None };
            Ok(form::letter(desk.show(ask).await?))
        }
        Ask::Replay { queue, id } => {
            let what = Some(replay_dead_letters_request::What::Id(id));
            let ask = ReplayDeadLettersRequest { queue, what, per_second: None, staff: None };
            Ok(form::replayed_one(&desk.replay(ask).await?))
        }
        Ask::ReplayMany { queue, which, per_second } => {
            let what = Some(replay_dead_letters_request::What::Which(which.into()));
            let ask = ReplayDeadLettersRequest { queue, what, per_second, staff: None };
            Ok(form::replayed(&desk.replay(ask).await?))
        }
        Ask::Purge { queue, id } => {
            let what = Some(purge_dead_letters_request::What::Id(id));
            let ask = PurgeDeadLettersRequest { queue, what, staff: None };
            Ok(form::purged_one(&desk.purge(ask).await?))
        }
        Ask::PurgeMany { queue, which } => {
            let what = Some(purge_dead_letters_request::What::Which(which.into()));
            let ask = PurgeDeadLettersRequest { queue, what, staff: None };
            Ok(form::purged(&desk.purge(ask).await?))
        }
        Ask::Import { queue, line } => {
            let (imported, known) = desk.import(&queue, &line).await?;
            Ok(json!({ "imported": imported, "known": known }))
        }
    }
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
