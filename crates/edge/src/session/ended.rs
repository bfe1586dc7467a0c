//! Sessions that ended on this edge: those who have to know are told, each once, a few at a time.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use prost::Message as _;
use tidings_protocol::proto::services::v1::{Empty, Present, SessionRequest};
use tidings_protocol::proto::world::v1::{
    self as wire, Leave, Link, Origin, ZoneRequest, link, zone_request,
};
use tidings_protocol::{ErrorCode, ZoneId};
use tidings_service::CallError;
use tokio::time::Instant;

use super::CALL_DEADLINE;
use crate::shard::{End, Ended, Shard, Untold};

/// How long a character whose edge drains has to come back elsewhere.
const DRAIN_GRACE: Duration = Duration::from_secs(120);
/// How long others are tried to be told: nobody else notices that a connection of a living edge is gone, so longer
/// than a store is full or a zone without an owner. What a newer connection has overtaken ends at once.
const TELL_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// Ends told at the same time, a shard: a crowd that is lost at once must not be one for those who are told.
const AT_ONCE_MAX: usize = 32;

/// Where zone hosts say who is where.
const PRESENCE_BUCKET: &str = "presence";

/// Tells all that wait, until none does.
pub async fn tell_ends(shard: Rc<Shard>) {
    let mut under_way = FuturesUnordered::new();
    let woken = Rc::clone(&shard.inner.borrow().untold);
    loop {
        while under_way.len() < AT_ONCE_MAX {
            let Some(untold) = shard.inner.borrow_mut().ends.take(Instant::now()) else { break };
            under_way.push(tell(&shard, untold));
        }
        let next = shard.inner.borrow().ends.next_turn().filter(|_| under_way.len() < AT_ONCE_MAX);
        if under_way.is_empty() && next.is_none() {
            shard.inner.borrow_mut().telling = false;
            return;
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            () = woken.notified() => {}
        }
    }
}

/// Tells of one; where nobody answers it has another turn. One that panics takes no other with it.
async fn tell(shard: &Shard, mut untold: Untold) {
    let attempt = AssertUnwindSafe(attempt(shard, &mut untold.ended)).catch_unwind().await;
    shard.inner.borrow_mut().ends.told();
    let Err(error) = attempt.unwrap_or_else(|_| Err(CallError::internal("Telling it panicked."))) else {
        return;
    };
    let turn = Instant::now() + untold.pauses.after(&error);
    if error.is_retryable() && turn < untold.since + TELL_DEADLINE {
        shard.inner.borrow_mut().tell_at(untold, turn);
    } else {
        untold.given_up(&error.to_string());
    }
}

/// Tells the session service and the zone. What was told before is told again, and changes nothing.
async fn attempt(shard: &Shard, ended: &mut Ended) -> Result<(), CallError> {
    match ended.end {
        End::Lost(_) => lost(shard, ended, Duration::ZERO).await,
        End::Drained => lost(shard, ended, DRAIN_GRACE).await,
        End::Left => call(shard, ended, "close").await.map(drop),
        End::TakenOver => Ok(()),
        End::Revoked => leave(shard, ended).await,
    }
}

async fn call(shard: &Shard, ended: &Ended, method: &str) -> Result<Empty, CallError> {
    let request = SessionRequest {
        session: ended.session.to_string(),
        character: ended.character.to_string(),
        generation: ended.generation,
        ..SessionRequest::default()
    };
    shard.shared.caller.call("session", method, &request, CALL_DEADLINE).await
}

/// The connection is lost. Where the session went on meanwhile, the service refuses this, and the zone is told
/// nothing; where it goes on after that, the zone refuses it, since it was told of a later generation.
async fn lost(shard: &Shard, ended: &mut Ended, grace: Duration) -> Result<(), CallError> {
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
async fn leave(shard: &Shard, ended: &mut Ended) -> Result<(), CallError> {
    let bye = ended.bye.as_ref().map(|bye| wire::Bye { code: bye.code.into(), reason: bye.reason.clone() });
    let origin = Origin { session: ended.session.to_string(), id: String::new() };
    let leave = Leave { origin: Some(origin), character: ended.character.to_string(), bye };
    zone(shard, ended, zone_request::Ask::Leave(leave)).await
}

/// Tells the owner of the zone the character is in: the one known here, the next time the one that presence knows.
async fn zone(shard: &Shard, ended: &mut Ended, ask: zone_request::Ask) -> Result<(), CallError> {
    let request = ZoneRequest { ask: Some(ask) };
    match shard.shared.caller.zone(&ended.zone, &request, CALL_DEADLINE).await {
        // It is in the world no more: nobody has to be told.
        Err(error) if !error.is_retryable() => Ok(()),
        Err(error) => {
            if error.code == ErrorCode::Aborted
                && let Some(there) = present(shard, ended).await
            {
                ended.zone = there;
            }
            Err(error)
        }
        Ok(_) => Ok(()),
    }
}

/// Where presence has the character.
async fn present(shard: &Shard, ended: &Ended) -> Option<ZoneId> {
    let presence = shard.shared.bus.kv(PRESENCE_BUCKET).ok()?;
    let entry = presence.get(&ended.character.to_string()).await.ok()??;
    Present::decode(entry.value).ok()?.zone.parse().ok()
}
