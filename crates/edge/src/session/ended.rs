//! A session ended on this edge: those who have to know are told, each once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use prost::Message as _;
use tidings_protocol::proto::services::v1::{Empty, Present, SessionRequest};
use tidings_protocol::proto::world::v1::{
    self as wire, Leave, Link, Origin, ZoneRequest, link, zone_request,
};
use tidings_protocol::{ErrorCode, ZoneId};
use tidings_service::CallError;

use super::{CALL_DEADLINE, retry};
use crate::shard::{End, Ended, Shard};

/// How long a character whose edge drains has to come back elsewhere.
const DRAIN_GRACE: Duration = Duration::from_secs(120);
/// How long others are tried to be told: nobody else notices that a connection of a living edge is gone, so longer
/// than a store is full or a zone without an owner. What a newer connection has overtaken ends at once.
const TELL_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Where zone hosts say who is where.
const PRESENCE_BUCKET: &str = "presence";

/// Tells the session service and the zone.
pub async fn ended(shard: Rc<Shard>, ended: Box<Ended>) {
    let told = match ended.end {
        End::Lost(_) => lost(&shard, &ended, Duration::ZERO).await,
        End::Drained => lost(&shard, &ended, DRAIN_GRACE).await,
        End::Left => call(&shard, &ended, "close").await.map(drop),
        End::TakenOver => Ok(()),
        End::Revoked => leave(&shard, &ended).await,
    };
    if let Err(error) = told {
        metrics::counter!("tidings_edge_ends_untold_total").increment(1);
        tracing::warn!(%error, session = %ended.session, "the end of a session could not be told");
    }
}

async fn call(shard: &Shard, ended: &Ended, method: &str) -> Result<Empty, CallError> {
    let request = SessionRequest {
        session: ended.session.to_string(),
        character: ended.character.to_string(),
        generation: ended.generation,
        ..SessionRequest::default()
    };
    let caller = &shard.shared.caller;
    let deadline = Instant::now() + TELL_DEADLINE;
    retry::until(deadline, CALL_DEADLINE, |left| caller.call("session", method, &request, left)).await
}

/// The connection is lost. Where the session went on meanwhile, the service refuses this, and the zone is told
/// nothing; where it goes on after that, the zone refuses it, since it was told of a later generation.
async fn lost(shard: &Shard, ended: &Ended, grace: Duration) -> Result<(), CallError> {
    match call(shard, ended, "lost").await {
        Ok(_) => {}
        Err(error) if error.is_retryable() => return Err(error),
        Err(_) => return Ok(()),
    }
    if overtaken(shard, ended) {
        return Ok(());
    }
    let link = Link {
        session: ended.session.to_string(),
        character: ended.character.to_string(),
        kind: link::Kind::Lost.into(),
        grace_ms: u64::try_from(grace.as_millis()).unwrap_or(0),
        generation: ended.generation,
    };
    zone(shard, ended, zone_request::Ask::Link(link)).await
}

/// Whether a newer connection of the session is here.
fn overtaken(shard: &Shard, ended: &Ended) -> bool {
    shard.shared.sessions.is_newer(ended.session, ended.generation)
}

/// The session was revoked: the character leaves.
async fn leave(shard: &Shard, ended: &Ended) -> Result<(), CallError> {
    let bye = ended.bye.as_ref().map(|bye| wire::Bye { code: bye.code.into(), reason: bye.reason.clone() });
    let origin = Origin { session: ended.session.to_string(), id: String::new() };
    let leave = Leave { origin: Some(origin), character: ended.character.to_string(), bye };
    zone(shard, ended, zone_request::Ask::Leave(leave)).await
}

/// Tells the owner of the zone the character is in: the one known here, else the one that presence knows.
async fn zone(shard: &Shard, ended: &Ended, ask: zone_request::Ask) -> Result<(), CallError> {
    let request = ZoneRequest { ask: Some(ask) };
    let deadline = Instant::now() + TELL_DEADLINE;
    let zone = RefCell::new(ended.zone.clone());
    let of_loss =
        matches!(&request.ask, Some(zone_request::Ask::Link(link)) if link.kind() == link::Kind::Lost);
    let told = retry::until(deadline, CALL_DEADLINE, |left| {
        let (request, zone) = (&request, &zone);
        async move {
            if of_loss && overtaken(shard, ended) {
                return Err(CallError::new(ErrorCode::FailedPrecondition, "The session went on."));
            }
            let now = zone.borrow().clone();
            let told = shard.shared.caller.zone(&now, request, left).await;
            if told.as_ref().is_err_and(|error| error.code == ErrorCode::Aborted)
                && let Some(there) = present(shard, ended).await
            {
                *zone.borrow_mut() = there;
            }
            told
        }
    })
    .await;
    match told {
        // It is in the world no more: nobody has to be told.
        Err(error) if !error.is_retryable() => Ok(()),
        told => told.map(drop),
    }
}

/// Where presence has the character.
async fn present(shard: &Shard, ended: &Ended) -> Option<ZoneId> {
    let presence = shard.shared.bus.kv(PRESENCE_BUCKET).ok()?;
    let entry = presence.get(&ended.character.to_string()).await.ok()??;
    Present::decode(entry.value).ok()?.zone.parse().ok()
}
