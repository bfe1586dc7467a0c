//! The service `deadletter`: the one way to dead letters for a process that has no rights on queues, as an edge.

use std::time::Duration;

use prost::Message as _;
use tidings_bus::DeadLetterQueues;
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{
    DeadLetter, DeadLetterPage, DeadLetterQueues as QueueList, DeadLetterRequest, Empty,
    ListDeadLettersRequest, PurgeDeadLettersReply, PurgeDeadLettersRequest, ReplayDeadLettersReply,
    ReplayDeadLettersRequest,
};

use super::{Desk, desk};
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

/// Its methods on the bus of these queues.
pub fn server(queues: &DeadLetterQueues) -> Server {
    let [a, b, c, d, e] = std::array::from_fn(|_| queues.clone());
    Server::new(queues.bus().clone(), SERVICE)
        .method("queues", move |_call, Empty {}| {
            let queues = a.clone();
            async move { desk::queues(&queues).await }
        })
        .method("list", move |_call, ask| {
            let queues = b.clone();
            async move { desk::list(&queues, ask).await.and_then(fitting) }
        })
        .method("show", move |_call, ask| {
            let queues = c.clone();
            async move {
                let letters = vec![desk::show(&queues, ask).await?];
                let page = fitting(DeadLetterPage { letters, next: None })?;
                page.letters.into_iter().next().ok_or_else(|| CallError::internal("The letter is gone."))
            }
        })
        .method("replay", move |_call, ask| {
            let queues = d.clone();
            async move { desk::replay(&queues, ask).await }
        })
        .method("purge", move |_call, ask| {
            let queues = e.clone();
            async move { desk::purge(&queues, ask).await }
        })
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

/// The service, asked.
pub(super) struct Remote<'a>(pub(super) &'a Caller);

impl Remote<'_> {
    async fn call<Req: prost::Message, Rep: prost::Message + Default>(
        &self,
        method: &str,
        ask: &Req,
    ) -> Result<Rep, CallError> {
        self.0.call(SERVICE, method, ask, DEADLINE).await
    }
}

impl Desk for Remote<'_> {
    async fn queues(&self) -> Result<QueueList, CallError> {
        self.call("queues", &Empty {}).await
    }

    async fn list(&self, ask: ListDeadLettersRequest) -> Result<DeadLetterPage, CallError> {
        self.call("list", &ask).await
    }

    async fn show(&self, ask: DeadLetterRequest) -> Result<DeadLetter, CallError> {
        self.call("show", &ask).await
    }

    async fn replay(&self, ask: ReplayDeadLettersRequest) -> Result<ReplayDeadLettersReply, CallError> {
        self.call("replay", &ask).await
    }

    async fn purge(&self, ask: PurgeDeadLettersRequest) -> Result<PurgeDeadLettersReply, CallError> {
        self.call("purge", &ask).await
    }

    async fn import(&self, _: &str, _: &str) -> Result<(usize, usize), CallError> {
        let text = "Letters are imported by 'tidings dlq import'.";
        Err(CallError::new(ErrorCode::Unimplemented, text))
    }
}
