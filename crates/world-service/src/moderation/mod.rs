//! The service `moderation`: mutes.
//!
//! Zone hosts decide on mutes and sanctions, keep them with the commit they came from and announce them on
//! `ctl.mutes`, so that an edge that holds the account's mutes loads them again. The service answers what holds now.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidings_bus::Bus;
use tidings_protocol::proto::services::v1::{MutesReply, MutesRequest};
use tidings_protocol::proto::world::v1::MuteList;
use tidings_protocol::{AccountId, ErrorCode};
use tidings_service::subjects::CALL_PAYLOAD_MAX;
use tidings_service::{CallError, Server};
use tidings_storage::{MuteMark, Store};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::failure::{id, stored};
use crate::host::unwritten::Unwritten;

/// How often mutes that are over are forgotten.
const BEAT: Duration = Duration::from_secs(60);
/// How long the audit log keeps an entry: a year, and the month in which somebody looks back at it.
pub const AUDIT_KEPT_MS: i64 = 400 * 24 * 60 * 60 * 1000;
/// Most entries of the audit log: some hundreds of megabytes.
pub const AUDIT_ENTRIES_MAX: u64 = 1_000_000;
/// Most accounts of one question: as many as an edge asks for at once.
pub const MUTES_ACCOUNTS_MAX: usize = 64;
/// Bytes of an answer's lists: one account's fit in any case, and the envelope beside them.
const MUTES_BYTES_MAX: usize = CALL_PAYLOAD_MAX / 2;

/// The service: cheap to clone.
#[derive(Clone)]
pub struct ModerationService {
    store: Store,
    bus: Bus,
    clock: Clock,
    unwritten: Arc<Unwritten>,
}

impl ModerationService {
    /// Over a store, what this process's zones have not brought to it yet, and a bus.
    pub fn new(store: Store, bus: Bus, clock: Clock, unwritten: Arc<Unwritten>) -> Self {
        Self { store, bus, clock, unwritten }
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        let service = self.clone();
        Server::new(self.bus.clone(), "moderation").method("mutes", move |_call, request| {
            let service = service.clone();
            async move { service.mutes(request).await }
        })
    }

    /// The mutes of these accounts, by one look-up in storage and what is on its way there, each mute with the sequence of
    /// its commit: an edge that heard of a later change keeps that. Where an answer would be too large, the last are left
    /// out.
    pub async fn mutes(self, request: MutesRequest) -> Result<MutesReply, CallError> {
        if request.accounts.len() > MUTES_ACCOUNTS_MAX {
            let text = format!("At most {MUTES_ACCOUNTS_MAX} accounts at once.");
            return Err(CallError::new(ErrorCode::InvalidArgument, text));
        }
        let accounts: Vec<AccountId> =
            request.accounts.iter().map(|account| id(account, "an account")).collect::<Result<_, _>>()?;
        let now = (self.clock)();
        let mut marks: Vec<Vec<MuteMark>> = vec![Vec::new(); accounts.len()];
        for mark in self.store.mute_marks(&accounts, now).await.map_err(stored)? {
            if let Some(at) = accounts.iter().position(|account| *account == mark.mute.account) {
                marks[at].push(mark);
            }
        }
        let epoch = self.bus.epoch();
        let all = accounts.into_iter().zip(marks);
        let told = all.map(|(account, marks)| self.unwritten.told(account, marks, &epoch, now));
        let mut lists: Vec<MuteList> = told.collect();
        let mut bytes = 0;
        let fit = lists.iter().take_while(|list| {
            bytes += list.encoded_len();
            bytes <= MUTES_BYTES_MAX
        });
        let fit = fit.count().max(1);
        lists.truncate(fit);
        Ok(MutesReply { lists })
    }

    /// Forgets mutes that are over and what is old in the audit log, until it is told to stop.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = beat.tick() => self.forget().await,
            }
        }
    }

    async fn forget(&self) {
        let now = (self.clock)();
        if let Err(error) = self.store.prune_mutes(now).await {
            tracing::warn!(%error, "mutes that are over could not be forgotten");
        }
        if let Err(error) = self.store.prune_audit(now - AUDIT_KEPT_MS, AUDIT_ENTRIES_MAX).await {
            tracing::warn!(%error, "old entries of the audit log could not be forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_storage::{Mute, Record, Stamp};

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
        let stamp = Stamp { epoch: world.bus.epoch(), seq: 7 };
        world
            .store
            .apply(&stamp, &[Record::Mute { mute: mute.clone(), removed: false }])
            .await
            .expect("kept");
        let unwritten = Arc::new(Unwritten::default());
        let (store, bus) = (world.store.clone(), world.bus.clone());
        let service = ModerationService::new(store, bus, world.clock(), Arc::clone(&unwritten));
        let ben = world.account("ben").await;
        let accounts = vec![ben.to_string(), ann.to_string()];
        let ask = || MutesRequest { accounts: accounts.clone() };
        let lists = service.clone().mutes(ask()).await.expect("an answer").lists;
        assert_eq!(lists.iter().map(|list| list.mutes.len()).collect::<Vec<_>>(), [0, 1]);
        let told = &lists[1].mutes[0];
        assert_eq!((told.channel.as_str(), told.removed, told.seq), ("global", false, 7));
        // What storage does not have yet.
        let undone = Record::Mute { mute, removed: true };
        unwritten.add(&Stamp { seq: 8, ..stamp }, &[undone], std::time::Instant::now());
        let told = service.clone().mutes(ask()).await.expect("an answer").lists.remove(1).mutes;
        assert_eq!(told.iter().map(|mute| (mute.removed, mute.seq)).collect::<Vec<_>>(), [(true, 8)]);
        world.pass(1_000);
        let lists = service.clone().mutes(ask()).await.expect("an answer").lists;
        assert!(lists[1].mutes[0].removed, "it is over");
        let entry =
            |time_ms| tidings_storage::AuditEntry { time_ms, ..tidings_storage::AuditEntry::default() };
        for time in [world.now() - AUDIT_KEPT_MS - 1, world.now()] {
            world.store.audit(&entry(time)).await.expect("kept");
        }
        service.forget().await;
        let kept = world.store.audit_page(None, 9).await.expect("a page");
        assert_eq!(kept.into_iter().map(|(_, kept)| kept).collect::<Vec<_>>(), [entry(world.now())]);
        for accounts in [vec!["x".to_owned()], vec![ann.to_string(); MUTES_ACCOUNTS_MAX + 1]] {
            let error = service.clone().mutes(MutesRequest { accounts }).await.expect_err("refused");
            assert_eq!(error.code, ErrorCode::InvalidArgument);
        }
    }
}
