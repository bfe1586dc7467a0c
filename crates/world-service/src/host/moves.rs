//! Moves to other zones, as the source sees them: the target is asked, and where it does not answer, the log.
//!
//! The target's commit holds only under the ownership record that the source had when it asked. So a source that has
//! waited long enough writes itself a new one, after which no request of before can let the character in any more;
//! what the target's log does not have by then never happened, and the character stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use prost::Message as _;
use serde::Deserialize;
use tidings_bus::Error as BusError;
use tidings_protocol::proto::world::v1::{self as wire, ZoneRecord, ZoneRequest, zone_reply, zone_request};
use tidings_protocol::{ErrorCode, ZoneId};
use tidings_world::input::{Handover, Traveller};
use tokio::time::Instant;

use super::config::REPLAY_PAGE;
use super::late::{Late, MoveEnd, Moved, RETRY_FIRST, ZONE_DEADLINE, backoff};
use super::owner::{End, claim};
use super::record::{Arrived, Moves};
use super::shared::Shared;
use super::zone::OwnedZone;
use crate::convert;

impl OwnedZone {
    /// Sends a character on its way.
    pub(super) fn hand_over(&mut self, to: ZoneId, traveller: Traveller) {
        // The rules ask again by a timer; one that is under way asks again of itself.
        if !self.moving.insert(traveller.move_id.clone()) {
            return;
        }
        let (shared, from, owner) = (Arc::clone(&self.shared), self.id.clone(), Arc::clone(&self.owner_seq));
        self.under_way.push(async move { ask_target(&shared, from, &owner, to, traveller).await }.boxed());
    }

    /// Ends the ownership under which the moves without an answer were asked for, and looks for them in the log.
    /// Those that are still asked for are asked for under the new one from now on.
    pub(super) async fn ask_the_log(&mut self) -> Result<(), End> {
        if self.unanswered.is_empty() {
            return Ok(());
        }
        match claim(&self.shared, &self.logs, self.fence.seq).await {
            Ok(fence) => self.fence = fence,
            Err(error) => {
                tracing::warn!(zone = %self.id, %error, "a move without an answer could not be ended");
                let fenced = error.kind() == tidings_bus::ErrorKind::Fenced;
                return Err(if fenced { End::Fenced } else { End::RolledBack });
            }
        }
        self.owner_seq.store(self.fence.seq, Ordering::Release);
        for (to, traveller) in std::mem::take(&mut self.unanswered) {
            metrics::counter!("tidings_zone_moves_unanswered_total").increment(1);
            let shared = Arc::clone(&self.shared);
            self.under_way.push(async move { look_up(&shared, to, *traveller).await }.boxed());
        }
        Ok(())
    }
}

/// What the rules are told of a move's end.
pub(super) fn handover(moved: &Moved) -> Handover {
    let (move_id, zone) = (moved.move_id.clone(), moved.zone.clone());
    match moved.end {
        MoveEnd::Arrived(_) => Handover::Arrived { move_id, zone },
        MoveEnd::Refused => Handover::Refused { move_id },
        MoveEnd::Unanswered => Handover::Unanswered { move_id },
    }
}

/// Asks until there is an answer, or for as long as a player may be kept waiting. Asking again is safe: the target
/// knows the moves it let in.
async fn ask_target(
    shared: &Shared,
    from: ZoneId,
    owner: &AtomicU64,
    to: ZoneId,
    traveller: Traveller,
) -> Late {
    let mut handover = wire::Handover {
        move_id: traveller.move_id.clone(),
        from_zone: from.to_string(),
        from_room: traveller.from.to_string(),
        from_owner_seq: 0,
        to_room: traveller.to.to_string(),
        traveller: convert::encode_traveller(&traveller),
    };
    let until = Instant::now() + shared.config.move_patience;
    let mut wait = RETRY_FIRST;
    loop {
        handover.from_owner_seq = owner.load(Ordering::Acquire);
        let request = ZoneRequest { ask: Some(zone_request::Ask::Handover(handover.clone())) };
        let left = until.saturating_duration_since(Instant::now());
        match shared.caller.zone(&to, &request, ZONE_DEADLINE.min(left)).await {
            Ok(zone_reply::Answer::Handover(done)) => {
                let end = if done.accepted { MoveEnd::Arrived(done.seq) } else { MoveEnd::Refused };
                return ended(to, traveller, end);
            }
            Ok(_) => tracing::error!(%to, "a zone answers a move with something else"),
            Err(error) if error.code == ErrorCode::InvalidArgument => {
                return ended(to, traveller, MoveEnd::Refused);
            }
            Err(error) => tracing::debug!(%to, %error, "a move has no answer yet"),
        }
        if Instant::now() >= until {
            return Late::Unanswered(to, Box::new(traveller));
        }
        metrics::counter!("tidings_zone_moves_repeated_total").increment(1);
        wait = wait.min(until.saturating_duration_since(Instant::now()));
        backoff(&mut wait).await;
    }
}

/// Looks for a move in the target's log and checkpoint, until they can be read.
async fn look_up(shared: &Shared, to: ZoneId, traveller: Traveller) -> Late {
    let mut wait = RETRY_FIRST;
    loop {
        match arrival(shared, &to, &traveller.move_id).await {
            Ok(arrived) => {
                return ended(to, traveller, arrived.map_or(MoveEnd::Unanswered, MoveEnd::Arrived));
            }
            Err(error) => tracing::warn!(%to, error, "a move cannot be looked up; trying again"),
        }
        backoff(&mut wait).await;
    }
}

/// When a zone let a move in, as its log has it, and then its checkpoint: what is taken off the log meanwhile is in
/// the checkpoint that it was taken off for.
async fn arrival(shared: &Shared, zone: &ZoneId, move_id: &str) -> Result<Option<u64>, String> {
    let bus = |error: BusError| error.to_string();
    let log = shared.logs(zone).map_err(bus)?.log;
    let mut after = 0;
    loop {
        let page = shared.bus.read(std::slice::from_ref(&log), after, REPLAY_PAGE).await.map_err(bus)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        let found = page.iter().find_map(|message| Some(message.seq + offset(&message.payload, move_id)?));
        if found.is_some() {
            return Ok(found);
        }
    }
    let Some(checkpoint) = shared.store.checkpoint(zone).await.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let known: Known = serde_json::from_str(&checkpoint.body).map_err(|error| error.to_string())?;
    Ok(known.moves.find(move_id))
}

/// How many messages after this record the one is that tells of the move.
fn offset(payload: &Bytes, move_id: &str) -> Option<u64> {
    let record = ZoneRecord::decode(payload.clone()).ok()?;
    let told: Told = serde_json::from_slice(&record.effects).ok()?;
    told.moves.into_iter().find(|(id, _)| id == move_id).map(|(_, offset)| offset)
}

/// What a record says of moves.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    moves: Vec<Arrived>,
}

/// What a checkpoint says of moves.
#[derive(Deserialize)]
struct Known {
    moves: Moves,
}

fn ended(zone: ZoneId, traveller: Traveller, end: MoveEnd) -> Late {
    let Traveller { move_id, origin, .. } = traveller;
    Late::Moved(Box::new(Moved { move_id, origin, zone, end }))
}
