//! A view of the world: the zone's owner writes it, the edge gives it its place in the flow.

use std::rc::Rc;
use std::time::Instant;

use tidings_protocol::proto::world::v1::{StateQuery, ZoneRequest, zone_reply, zone_request};
use tidings_protocol::{CloseCode, ErrorCode, ZoneId};
use tidings_service::CallError;

use super::{CALL_DEADLINE, StateAsk, retry};
use crate::shard::{At, Bye, End, Shard};

/// Asks for a view and sends it.
pub async fn state(shard: Rc<Shard>, at: At, ask: StateAsk) {
    let deadline = Instant::now() + shard.shared.config.session.command;
    let Some(character) = character(&shard, at) else { return };
    let query = StateQuery {
        character,
        what: ask.name().to_owned(),
        page: ask.page.clone().unwrap_or_default(),
        locale: shard.shared.config.locale.clone(),
    };
    let request = ZoneRequest { ask: Some(zone_request::Ask::State(query)) };
    let caller = &shard.shared.caller;
    let answer = retry::until(deadline, CALL_DEADLINE, |left| {
        let zone: Option<ZoneId> = shard.inner.borrow_mut().session(at).map(|session| session.zone.clone());
        let request = &request;
        async move {
            let gone = || CallError::new(ErrorCode::NotFound, "The session has ended.");
            caller.zone(&zone.ok_or_else(gone)?, request, left).await
        }
    })
    .await;
    let answer = match answer {
        Ok(zone_reply::Answer::State(view)) => Ok(view),
        Ok(_) => Err(CallError::internal("The zone answers with something else.")),
        Err(error) => Err(error),
    };
    let mut inner = shard.inner.borrow_mut();
    match answer {
        Ok(view) if ask.gate => inner.room_came(at, &view),
        Ok(view) => inner.view_came(at, ask.name(), &view),
        // Where the character walked on meanwhile, the room it is in now was asked for again.
        Err(error) if ask.gate && error.code == ErrorCode::NotFound => {}
        Err(_) if ask.gate => inner.end(at, End::Lost("no_state"), Some(Bye::of(CloseCode::Unavailable))),
        Err(error) => inner.view_failed(at, &error),
    }
    drop(inner);
    shard.settle();
}

fn character(shard: &Shard, at: At) -> Option<String> {
    shard.inner.borrow_mut().session(at).map(|session| session.character.to_string())
}
