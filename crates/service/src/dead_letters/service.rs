//! The service `deadletter`: the one way to dead letters for a process that has no rights on queues, as an edge. It
//! believes nobody who may call it: each call carries a token, which the gate verifies.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidings_bus::DeadLetterQueues;
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{
    DeadLetter, DeadLetterPage, DeadLetterQueues as QueueList, DeadLetterQueuesRequest, DeadLetterRequest,
    ListDeadLettersRequest, PurgeDeadLettersReply, PurgeDeadLettersRequest, ReplayDeadLettersReply,
    ReplayDeadLettersRequest, StaffToken,
};

use super::gate::{Gate, LIST, PURGE, REPLAY, admit};
use super::{Desk, desk, form};
use crate::caller::Caller;
use crate::error::CallError;
use crate::server::Server;
use crate::subjects::CALL_PAYLOAD_MAX;

/// Its name.
pub const SERVICE: &str = "deadletter";
/// How long a call may take: some seconds of replays, and what a bus that chooses a leader takes beside them.
const DEADLINE: Duration = Duration::from_secs(15);
/// Bytes of an answer: as many as a call takes, less what is around it.
const ANSWER_BYTES_MAX: usize = CALL_PAYLOAD_MAX - 1024;

/// Its methods on the bus of these queues, for those whom the gate knows as staff.
pub fn server(queues: &DeadLetterQueues, gate: impl Gate) -> Server {
    let bus = queues.bus().clone();
    let service = Arc::new(Service { queues: queues.clone(), gate });
    let [a, b, c, d, e] = std::array::from_fn(|_| Arc::clone(&service));
    Server::new(bus, SERVICE)
        .method("queues", move |_call, ask| {
            let service = Arc::clone(&a);
            async move { service.queues(ask).await }
        })
        .method("list", move |_call, ask| {
            let service = Arc::clone(&b);
            async move { service.list(ask).await }
        })
        .method("show", move |_call, ask| {
            let service = Arc::clone(&c);
            async move { service.show(ask).await }
        })
        .method("replay", move |_call, ask| {
            let service = Arc::clone(&d);
            async move { service.replay(ask).await }
        })
        .method("purge", move |_call, ask| {
            let service = Arc::clone(&e);
            async move { service.purge(ask).await }
        })
}

struct Service<G> {
    queues: DeadLetterQueues,
    gate: G,
}

impl<G: Gate> Service<G> {
    async fn queues(&self, ask: DeadLetterQueuesRequest) -> Result<QueueList, CallError> {
        admit(&self.gate, ask.staff, &LIST, "").await?;
        desk::queues(&self.queues).await
    }

    async fn list(&self, mut ask: ListDeadLettersRequest) -> Result<DeadLetterPage, CallError> {
        admit(&self.gate, ask.staff.take(), &LIST, &ask.queue).await?;
        desk::list(&self.queues, ask).await.and_then(fitting)
    }

    async fn show(&self, mut ask: DeadLetterRequest) -> Result<DeadLetter, CallError> {
        admit(&self.gate, ask.staff.take(), &LIST, &ask.queue).await?;
        let letters = vec![desk::show(&self.queues, ask).await?];
        let page = fitting(DeadLetterPage { letters, next: None })?;
        page.letters.into_iter().next().ok_or_else(|| CallError::internal("The letter is gone."))
    }

    /// A change is noted before it is made: of one that dies in between it is known who wanted it.
    async fn replay(&self, mut ask: ReplayDeadLettersRequest) -> Result<ReplayDeadLettersReply, CallError> {
        let who = admit(&self.gate, ask.staff.take(), &REPLAY, &ask.queue).await?;
        self.gate.note(REPLAY.note(&who, &ask.queue, form::replay_detail(&ask)?)).await?;
        desk::replay(&self.queues, ask).await
    }

    /// Noted as a replay is.
    async fn purge(&self, mut ask: PurgeDeadLettersRequest) -> Result<PurgeDeadLettersReply, CallError> {
        let who = admit(&self.gate, ask.staff.take(), &PURGE, &ask.queue).await?;
        self.gate.note(PURGE.note(&who, &ask.queue, form::purge_detail(&ask)?)).await?;
        desk::purge(&self.queues, ask).await
    }
}

/// A page is bounded, but for its first letter: one that was imported may be larger than an answer.
fn fitting(page: DeadLetterPage) -> Result<DeadLetterPage, CallError> {
    let bytes = page.encoded_len();
    if bytes <= ANSWER_BYTES_MAX {
        return Ok(page);
    }
    let id = page.letters.first().map_or(0, |letter| letter.id);
    let text = format!(
        "The dead letter {id} has {bytes} bytes, and an answer {ANSWER_BYTES_MAX}: 'tidings dlq export' shows it; ask \
         for what comes after it."
    );
    Err(CallError::new(ErrorCode::FailedPrecondition, text))
}

/// The service, asked by whoever has this token.
pub(super) struct Remote<'a> {
    pub(super) caller: &'a Caller,
    pub(super) staff: StaffToken,
}

impl Remote<'_> {
    async fn call<Req: prost::Message, Rep: prost::Message + Default>(
        &self,
        method: &str,
        ask: &Req,
    ) -> Result<Rep, CallError> {
        self.caller.call(SERVICE, method, ask, DEADLINE).await
    }

    fn staff(&self) -> Option<StaffToken> {
        Some(self.staff.clone())
    }
}

impl Desk for Remote<'_> {
    async fn queues(&self) -> Result<QueueList, CallError> {
        self.call("queues", &DeadLetterQueuesRequest { staff: self.staff() }).await
    }

    async fn list(&self, ask: ListDeadLettersRequest) -> Result<DeadLetterPage, CallError> {
        self.call("list", &ListDeadLettersRequest { staff: self.staff(), ..ask }).await
    }

    async fn show(&self, ask: DeadLetterRequest) -> Result<DeadLetter, CallError> {
        self.call("show", &DeadLetterRequest { staff: self.staff(), ..ask }).await
    }

    async fn replay(&self, ask: ReplayDeadLettersRequest) -> Result<ReplayDeadLettersReply, CallError> {
        self.call("replay", &ReplayDeadLettersRequest { staff: self.staff(), ..ask }).await
    }

    async fn purge(&self, ask: PurgeDeadLettersRequest) -> Result<PurgeDeadLettersReply, CallError> {
        self.call("purge", &PurgeDeadLettersRequest { staff: self.staff(), ..ask }).await
    }

    async fn import(&self, _: &str, _: &str) -> Result<(usize, usize), CallError> {
        let text = "Letters are imported by 'tidings dlq import'.";
        Err(CallError::new(ErrorCode::Unimplemented, text))
    }
}
