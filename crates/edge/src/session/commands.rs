//! A command on its way to the zone, and its reply on its way back into the flow.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tidings_protocol::ErrorCode;
use tidings_protocol::proto::world::v1::{
    Command, CommandDone, Origin, ZoneRequest, zone_reply, zone_request,
};
use tidings_service::CallError;

use super::{frames, retry};
use crate::shard::{At, Shard};

/// How long one attempt may take: an owner that died does not answer, and its heir is asked next.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Sends the command in flight, again and again within its deadline; each time to the zone the character is in.
pub async fn command(shard: Rc<Shard>, at: At) {
    let deadline = Instant::now() + shard.shared.config.session.command;
    let Some((id, request)) = request(&shard, at) else { return };
    let caller = &shard.shared.caller;
    let answer = retry::until(deadline, ATTEMPT, |left| {
        let zone = shard.inner.borrow_mut().session(at).map(|session| session.zone.clone());
        let request = &request;
        async move {
            let gone = || CallError::new(ErrorCode::FailedPrecondition, "The session has ended.");
            caller.zone(&zone.ok_or_else(gone)?, request, left).await
        }
    })
    .await;
    let mut inner = shard.inner.borrow_mut();
    match answer {
        Ok(zone_reply::Answer::Command(done)) => {
            let reply = reply(&shard, &id, done);
            inner.command_done(at, &id, reply);
        }
        Ok(_) => inner.command_failed(at, &id, &CallError::internal("The zone answers with something else.")),
        Err(error) => inner.command_failed(at, &id, &error),
    }
    drop(inner);
    shard.settle();
}

fn request(shard: &Shard, at: At) -> Option<(Box<str>, ZoneRequest)> {
    let mut inner = shard.inner.borrow_mut();
    let session = inner.session(at)?;
    let inflight = session.inflight.as_ref()?;
    let command = Command {
        origin: Some(Origin { session: session.id.to_string(), id: inflight.id.to_string() }),
        character: session.character.to_string(),
        text: inflight.text.to_string(),
    };
    Some((inflight.id.clone(), ZoneRequest { ask: Some(zone_request::Ask::Command(command)) }))
}

/// What is known of a reply: where it belongs, and the frame unless the log brings it.
pub struct Answered {
    /// After everything up to here.
    pub seq: u64,
    /// The frame, by the position it is given at.
    pub frame: Option<Box<dyn Fn(u64) -> bytes::Bytes>>,
}

fn reply(shard: &Rc<Shard>, id: &str, done: CommandDone) -> Answered {
    let frame = done.reply.filter(|_| !done.in_log).map(|text| {
        let (id, ok) = (id.to_owned(), done.ok);
        let encoder = std::sync::Arc::clone(&shard.shared.encoder);
        Box::new(move |seq| encoder.reply_frame(&id, ok, text.clone(), seq))
            as Box<dyn Fn(u64) -> bytes::Bytes>
    });
    Answered { seq: done.seq, frame }
}

/// A reply that the log was to bring was given before this connection: a client repeats a command whose reply it
/// has missed. It is read.
pub async fn reread(shard: Rc<Shard>, at: At, seq: u64) {
    let (audiences, session, id) = {
        let mut inner = shard.inner.borrow_mut();
        let Some(session) = inner.session(at) else { return };
        let Some(inflight) = &session.inflight else { return };
        let audiences: Vec<_> =
            session.audiences.iter().map(|place| std::sync::Arc::clone(&place.info)).collect();
        (audiences, session.id, inflight.id.clone())
    };
    let read = shard.shared.reader.read(&audiences, seq.saturating_sub(1), seq, 16).await;
    let own = read.unwrap_or_default().into_iter().find_map(|event| {
        let special = event.special.as_ref()?;
        (special.origin == Some(session) && special.command == id).then(|| special.own.clone())?
    });
    let mut inner = shard.inner.borrow_mut();
    let frame = own.unwrap_or_else(|| {
        let message = "This was done, but its reply is no longer there.";
        frames::error(Some(&id), ErrorCode::NotFound, message, None)
    });
    inner.reply_now(at, &id, frame);
    drop(inner);
    shard.settle();
}
