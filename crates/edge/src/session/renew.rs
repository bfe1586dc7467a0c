//! The sessions of this process, and the renewal of their lease: one call for all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings_protocol::SessionId;
use tidings_protocol::proto::services::v1::{RenewReply, RenewRequest, SessionControl};
use tokio_util::sync::CancellationToken;

use super::CALL_DEADLINE;
use crate::fanout::ToShard;
use crate::shared::Shared;

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

    fn all(&self) -> Vec<String> {
        self.open.lock().keys().map(ToString::to_string).collect()
    }
}

/// Renews the lease of all sessions every few seconds, and ends those that this edge no longer holds.
pub async fn renew(shared: Arc<Shared>, cancel: CancellationToken) {
    let mut beat = tokio::time::interval(shared.config.session.renew.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = beat.tick() => {}
        }
        let sessions = shared.sessions.all();
        if sessions.is_empty() {
            continue;
        }
        let request = RenewRequest { edge: shared.config.edge.clone(), sessions };
        match shared.caller.call::<_, RenewReply>("session", "renew", &request, CALL_DEADLINE).await {
            Ok(reply) => end(&shared, reply).await,
            Err(error) => {
                metrics::counter!("tidings_edge_renewals_failed_total").increment(1);
                tracing::warn!(%error, "the lease of the sessions could not be renewed");
            }
        }
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
