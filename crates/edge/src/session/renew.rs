//! The sessions of this process, and the renewal of their lease: one call for some thousands of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_protocol::SessionId;
use tidings_protocol::proto::services::v1::{RenewReply, RenewRequest, SessionControl};
use tidings_service::Dependency;
use tokio_util::sync::CancellationToken;

use super::CALL_DEADLINE;
use crate::fanout::ToShard;
use crate::shared::Shared;

/// Sessions of one call: neither it nor an answer that ends all of them comes near what a call may carry.
const SESSIONS_A_CALL_MAX: usize = 2048;
/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The sessions of this process with their newest generation.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<SessionId, u64>>,
}

impl Sessions {
    /// A session is here.
    pub fn add(&self, session: SessionId, generation: u64) {
        let mut open = self.open.lock();
        let known = open.entry(session).or_insert(generation);
        *known = generation.max(*known);
    }

    /// A connection of it ended; a newer one stays.
    pub fn remove(&self, session: SessionId, generation: u64) {
        let mut open = self.open.lock();
        if open.get(&session).is_some_and(|known| *known <= generation) {
            open.remove(&session);
        }
    }

    /// Whether a newer connection of the session is here.
    pub fn is_newer(&self, session: SessionId, generation: u64) -> bool {
        self.open.lock().get(&session).is_some_and(|known| *known > generation)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, as they are asked for. An edge without any renews its lease all the same: it is known by it.
    fn renewals(&self, edge: &str) -> Vec<RenewRequest> {
        let sessions: Vec<String> = self.open.lock().keys().map(ToString::to_string).collect();
        let call =
            |some: &[String]| RenewRequest { edge: edge.to_owned(), sessions: some.to_vec(), gone: false };
        if sessions.is_empty() {
            vec![call(&[])]
        } else {
            sessions.chunks(SESSIONS_A_CALL_MAX).map(call).collect()
        }
    }
}

/// Renews the lease of all sessions every few seconds, and ends those that this edge no longer holds. Without a lease
/// nobody can be let in: `lease` says whether there is one.
pub async fn renew(shared: Arc<Shared>, lease: Dependency, cancel: CancellationToken) {
    let mut beat = tokio::time::interval(shared.config.session.renew.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut held = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = beat.tick() => {}
        }
        for request in shared.sessions.renewals(&shared.config.edge) {
            match shared.caller.call::<_, RenewReply>("session", "renew", &request, CALL_DEADLINE).await {
                Ok(reply) => {
                    held = true;
                    lease.ready();
                    end(&shared, reply).await;
                }
                Err(error) => {
                    lease.failed(format!("the service 'session': {error}"));
                    beat.reset_after(AGAIN.min(shared.config.session.renew));
                    metrics::counter!("tidings_edge_renewals_failed_total").increment(1);
                    // Said once, and shown for as long as it lasts.
                    if std::mem::take(&mut held) {
                        tracing::warn!(%error, "the lease of the sessions could not be renewed");
                    }
                }
            }
        }
    }
}

/// The edge has gone: nobody has to wait for its lease to lapse.
pub async fn give_up_lease(shared: &Shared) {
    let request = RenewRequest { edge: shared.config.edge.clone(), sessions: Vec::new(), gone: true };
    let given_up = shared.caller.call::<_, RenewReply>("session", "renew", &request, CALL_DEADLINE).await;
    if let Err(error) = given_up {
        tracing::debug!(%error, "the lease of this edge lapses by itself");
    }
}

async fn end(shared: &Shared, reply: RenewReply) {
    for ended in reply.ended {
        let control = Arc::new(SessionControl {
            session: ended.session,
            code: ended.code,
            reason: ended.reason,
            ..SessionControl::default()
        });
        for shard in shared.shards() {
            let _ = shard.send(ToShard::Sessions(Arc::clone(&control))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message as _;
    use tidings_protocol::CloseCode;
    use tidings_protocol::proto::services::v1::SessionEnd;
    use tidings_service::subjects::CALL_PAYLOAD_MAX;

    use super::*;

    #[test]
    fn a_full_house_is_renewed_by_calls_that_fit_and_so_do_their_answers() {
        let sessions = Sessions::default();
        for id in 0..16_000 {
            sessions.add(SessionId::from_u128(u128::MAX - id), 1);
        }
        let longest = CloseCode::ALL.iter().map(|code| code.reason()).max_by_key(|reason| reason.len());
        let mut renewed = HashSet::new();
        for request in sessions.renewals("edge-1") {
            let ended = request.sessions.iter().map(|session| SessionEnd {
                session: session.clone(),
                code: CloseCode::Fault.code().into(),
                reason: longest.expect("there are codes").to_owned(),
            });
            let reply = RenewReply { ended: ended.collect() };
            for bytes in [request.encoded_len(), reply.encoded_len()] {
                assert!(bytes <= CALL_PAYLOAD_MAX, "{bytes} bytes");
            }
            renewed.extend(request.sessions);
        }
        assert_eq!(renewed.len(), 16_000);
        let none = Sessions::default().renewals("edge-1");
        assert!(none.len() == 1 && none[0].sessions.is_empty(), "the edge itself is renewed");
    }
}
