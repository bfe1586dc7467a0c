//! The service `moderation`: mutes and the audit log.
//!
//! Zone hosts decide on mutes and sanctions, keep them with the commit they came from and announce them on
//! `ctl.mutes`, so that an edge that holds the account's mutes loads them again. The service answers what holds now.

use std::time::Duration;

use tidings_bus::Bus;
use tidings_protocol::AccountId;
use tidings_protocol::proto::services::v1::{AccountRequest, AuditEntry as WireEntry, Empty, MuteList};
use tidings_protocol::proto::world::v1::MuteChange;
use tidings_service::{CallError, Server};
use tidings_storage::{AuditEntry, Mute, Store};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::failure::{id, stored};

/// How often mutes that are over are forgotten.
const BEAT: Duration = Duration::from_secs(60);
/// Longest field of an audit entry, in bytes: a sentence of detail.
const AUDIT_BYTES_MAX: usize = 2_000;

/// The service: cheap to clone.
#[derive(Clone)]
pub struct ModerationService {
    store: Store,
    bus: Bus,
    clock: Clock,
}

impl ModerationService {
    /// Over a store and a bus.
    pub fn new(store: Store, bus: Bus, clock: Clock) -> Self {
        Self { store, bus, clock }
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        let (mutes, audit) = (self.clone(), self.clone());
        Server::new(self.bus.clone(), "moderation")
            .method("mutes", move |_call, request| {
                let service = mutes.clone();
                async move { service.mutes(request).await }
            })
            .method("audit", move |_call, entry| {
                let service = audit.clone();
                async move { service.audit(entry).await }
            })
    }

    /// An account's mutes that hold now. `version` is when they were read: a later answer knows more.
    pub async fn mutes(self, request: AccountRequest) -> Result<MuteList, CallError> {
        let account: AccountId = id(&request.account, "an account")?;
        let now = (self.clock)();
        let mutes = self.store.mutes(account, now).await.map_err(stored)?;
        let version = u64::try_from(now).unwrap_or(0);
        Ok(MuteList { mutes: mutes.into_iter().map(wire).collect(), version })
    }

    /// Adds an entry to the audit log.
    pub async fn audit(self, entry: WireEntry) -> Result<Empty, CallError> {
        let entry = AuditEntry {
            time_ms: if entry.time_ms == 0 { (self.clock)() } else { entry.time_ms },
            account: short(entry.account),
            name: short(entry.name),
            action: short(entry.action),
            target: short(entry.target),
            detail: short(entry.detail),
        };
        self.store.audit(&entry).await.map_err(stored)?;
        Ok(Empty {})
    }

    /// Forgets mutes that are over, until it is told to stop.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = beat.tick() => if let Err(error) = self.store.prune_mutes((self.clock)()).await {
                    tracing::warn!(%error, "mutes that are over could not be forgotten");
                },
            }
        }
    }
}

fn short(mut text: String) -> String {
    if text.len() > AUDIT_BYTES_MAX {
        let end = (0..=AUDIT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn wire(mute: Mute) -> MuteChange {
    MuteChange {
        account: mute.account.to_string(),
        target_account: mute.target.map(|target| target.to_string()).unwrap_or_default(),
        name: mute.name,
        channel: mute.channel,
        until_ms: mute.until_ms.unwrap_or(0),
        removed: false,
    }
}

#[cfg(test)]
mod tests {
    use tidings_storage::{Record, Stamp};

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_mute_is_told_until_it_is_over() {
        let world = testing::World::new().await;
        let ann = world.account("ann").await;
        let mute = Mute {
            account: ann,
            target: None,
            channel: "global".into(),
            name: String::new(),
            until_ms: Some(world.now() + 1_000),
            reason: String::new(),
        };
        let stamp = Stamp { epoch: "e".into(), seq: 1 };
        world.store.apply(&stamp, &[Record::Mute { mute, removed: false }]).await.expect("kept");
        let service = ModerationService::new(world.store.clone(), world.bus.clone(), world.clock());
        let ask = || AccountRequest { account: ann.to_string() };
        let list = service.clone().mutes(ask()).await.expect("an answer");
        assert_eq!((list.mutes.len(), list.mutes[0].channel.as_str()), (1, "global"));
        world.pass(1_000);
        assert!(service.clone().mutes(ask()).await.expect("an answer").mutes.is_empty());
        let error = service.mutes(AccountRequest { account: "x".into() }).await.expect_err("refused");
        assert_eq!(error.code, tidings_protocol::ErrorCode::InvalidArgument);
    }

    #[tokio::test]
    async fn an_audit_entry_of_any_length_is_kept() {
        let world = testing::World::new().await;
        let service = ModerationService::new(world.store.clone(), world.bus.clone(), world.clock());
        let entry = WireEntry { action: "kick".into(), detail: "ö".repeat(5_000), ..WireEntry::default() };
        service.audit(entry).await.expect("kept");
        let page = world.store.audit_page(None, 9).await.expect("a page");
        assert_eq!((page[0].1.time_ms, page[0].1.detail.len()), (world.now(), AUDIT_BYTES_MAX));
    }
}
