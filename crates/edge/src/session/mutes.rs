//! Mutes on their way to a shard: asked for by one call for many accounts, waited for by those who join.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tidings_protocol::AccountId;
use tidings_protocol::proto::services::v1::{MutesReply, MutesRequest};
use tidings_service::CallError;

use super::retry;
use crate::fanout::hex;
use crate::shard::Shard;

/// How long one attempt may take: half of the time that sessions wait for it.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long loading is tried before the accounts take their turn again, those that wait now among them.
const LOAD_DEADLINE: Duration = Duration::from_secs(4);

/// Pause after a batch that failed, whatever the error was.
const PAUSE: Duration = Duration::from_millis(100);

/// Loads the mutes of all accounts that want it, batch by batch. Where that fails those that were known stay as they
/// are.
pub async fn load_mutes(shard: Rc<Shard>) {
    loop {
        let wanted = shard.inner.borrow_mut().mutes_to_load();
        if wanted.is_empty() {
            return;
        }
        let lists = match fetch(&shard, &wanted).await {
            Ok(reply) => reply.lists,
            Err(error) => {
                tracing::warn!(%error, "mutes could not be loaded");
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
        };
        let mut inner = shard.inner.borrow_mut();
        for (account, changes) in wanted {
            match lists.iter().find(|list| hex(&list.account) == account) {
                Some(list) => inner.mutes_loaded(account, list, changes),
                None => inner.mutes_not_loaded(account),
            }
        }
        drop(inner);
        shard.settle();
    }
}

async fn fetch(shard: &Shard, wanted: &[(u128, u64)]) -> Result<MutesReply, CallError> {
    let accounts = wanted.iter().map(|(account, _)| AccountId::from_u128(*account).to_string()).collect();
    let (request, caller) = (MutesRequest { accounts }, &shard.shared.caller);
    let deadline = Instant::now() + LOAD_DEADLINE;
    retry::until(deadline, ATTEMPT, |left| caller.call("moderation", "mutes", &request, left)).await
}

/// Waits until the mutes of an account are known; false where they are not by then.
pub async fn known(shard: &Rc<Shard>, account: u128, until: Instant) -> bool {
    loop {
        let told = {
            let mut inner = shard.inner.borrow_mut();
            if inner.mutes.get(&account).is_none_or(|entry| entry.known) {
                return true;
            }
            inner.want_mutes(account);
            Rc::clone(&inner.mutes_known)
        };
        let told = told.notified();
        shard.settle();
        if tokio::time::timeout_at(until.into(), told).await.is_err() {
            return false;
        }
    }
}
