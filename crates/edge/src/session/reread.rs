//! A reply that is read from the log again.

use std::rc::Rc;

use tidings_protocol::ErrorCode;

use super::frames;
use crate::shard::{At, Shard};

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
    if !inner.is_inflight(at, &id) {
        return;
    }
    let frame = own.unwrap_or_else(|| {
        let message = "This was done, but its reply is no longer there.";
        frames::error(Some(&id), ErrorCode::NotFound, message, None)
    });
    inner.reply_now(at, &frame);
    drop(inner);
    shard.settle();
}
