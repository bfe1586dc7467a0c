//! The life of a zone on this host: wait for the lease, take ownership, load, serve, and again when it was lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tidings_bus::{Append, Error as BusError, Fence, LogMessage, Subscription};
use tidings_protocol::ZoneId;
use tidings_protocol::proto::world::v1::{Ownership, ZoneRecord};
use tidings_service::{Dependency, Subjects};
use tidings_storage::Stamp;
use tidings_world::output::Persist;
use tidings_world::{Output, Zone};
use tokio_util::sync::CancellationToken;

use super::alone::{self, Alone};
use super::config::{QUEUE_MAX, REPLAY_PAGE};
use super::lease::Lease;
use super::record::{Moves, Record, RecordWriter, Snapshot};
use super::shared::{Logs, Shared};
use super::watch;
use super::writer::{Write, Writer};
use super::zone::{Loaded, OwnedZone};
use crate::convert;

/// Why a zone is not served any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host drains: the zone was checkpointed.
    Drained,
    /// Another host owns the zone.
    Fenced,
    /// The lease is lost.
    LeaseLost,
    /// A commit failed: the state is built anew from what is stored.
    RolledBack,
    /// The bus is closed.
    Closed,
}

/// Why a zone cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bus does not answer, or another host took the zone.
    #[error("the bus: {0}")]
    Bus(#[from] BusError),
    /// The storage does not answer.
    #[error("the storage: {0}")]
    Store(#[from] tidings_storage::Error),
    /// A checkpoint that is not one.
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(String),
    /// A record that is not one.
    #[error("record {0} of the zone's log cannot be read: {1}")]
    Record(u64, String),
    /// Records are missing.
    #[error("the zone's log has a hole: record {at} follows {prev}, the last one known is {known}")]
    Hole {
        /// The record found.
        at: u64,
        /// The one it says it follows.
        prev: u64,
        /// The last one that is known.
        known: u64,
    },
}

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// Serves a zone whenever this host may, until it is stopped.
pub async fn host_zone(shared: Arc<Shared>, zone: ZoneId, stop: CancellationToken) {
    let dependency = shared.health.dependency(format!("zone.{zone}"));
    loop {
        let Some(lease) = wait_for_lease(&shared, &zone, &dependency, &stop).await else { return };
        let end = hold(&shared, &zone, &lease, &dependency, &stop).await;
        tracing::info!(%zone, ?end, "the zone is not served here any more");
        if !lease.lost().is_cancelled() {
            lease.release().await;
        }
        match end {
            End::Drained | End::Closed => return,
            // The other host has just begun: its lease comes first.
            End::Fenced => tokio::time::sleep(shared.config.lease / 2).await,
            End::LeaseLost | End::RolledBack => {}
        }
    }
}

/// `None`: the host was stopped. A zone that another host serves is none of this process's worries.
async fn wait_for_lease(
    shared: &Shared,
    zone: &ZoneId,
    dependency: &Dependency,
    stop: &CancellationToken,
) -> Option<Lease> {
    dependency.failed("waiting for the lease");
    let taken = Lease::take(&shared.leases, zone.as_str(), &shared.config.name, shared.config.lease, stop);
    tokio::pin!(taken);
    loop {
        tokio::select! {
            lease = &mut taken => return lease,
            () = tokio::time::sleep(shared.config.lease * 2) => dependency.remove(),
        }
    }
}

/// While the lease is held: load and serve, and after a rollback again.
async fn hold(
    shared: &Arc<Shared>,
    zone: &ZoneId,
    lease: &Lease,
    dependency: &Dependency,
    stop: &CancellationToken,
) -> End {
    let mut wait = RETRY_FIRST;
    loop {
        dependency.failed("loading");
        let loaded = tokio::select! {
            () = stop.cancelled() => return End::Drained,
            () = lease.lost().cancelled() => return End::LeaseLost,
            loaded = load(shared, zone) => loaded,
        };
        match loaded {
            Ok((mut owned, requests)) => {
                dependency.ready();
                let end = owned.serve(requests, stop, lease.lost()).await;
                dependency.failed("not served");
                if end != End::RolledBack {
                    return end;
                }
                wait = if owned.committed_anything() { RETRY_FIRST } else { wait };
            }
            Err(error) => {
                tracing::error!(%zone, %error, "the zone cannot be loaded; trying again");
                metrics::counter!("tidings_zone_load_errors_total", "zone" => zone.to_string()).increment(1);
                dependency.failed(error.to_string());
            }
        }
        tokio::select! {
            () = stop.cancelled() => return End::Drained,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MOST),
        }
    }
}

/// Takes ownership, then reads: whoever owned the zone before cannot add to what is read.
async fn load(shared: &Arc<Shared>, zone: &ZoneId) -> Result<(OwnedZone, Subscription), LoadError> {
    let started = std::time::Instant::now();
    let logs = shared.logs(zone)?;
    let fence = take_ownership(shared, &logs).await?;
    let storage = shared.health.dependency(format!("storage.{zone}"));
    storage.ready();
    let unwritten = Arc::clone(&shared.unwritten);
    let writer = Writer::start(shared.store.clone(), shared.bus.clone(), storage, unwritten);
    let replayed = Replay::of(shared, zone, &logs, &writer).await?;
    tracing::info!(%zone, records = replayed.records, took = ?started.elapsed(), "the zone is loaded");
    metrics::histogram!("tidings_zone_replay_seconds").record(started.elapsed().as_secs_f64());
    let is_in = |id| replayed.rules.owns(id) || replayed.rules.is_moving(id);
    watch::forget_gone(shared, zone, is_in).await;
    let last_record = replayed.last();
    let loaded = Loaded {
        rng: StdRng::seed_from_u64(shared.config.seed ^ fence.seq.rotate_left(32) ^ hash(zone)),
        rules: replayed.rules,
        now: replayed.now.max(shared.now()),
        moves: replayed.moves,
        last_record,
        alone: replayed.alone,
        fence,
        logs,
        writer,
        replayed: replayed.records,
    };
    let owned = OwnedZone::new(Arc::clone(shared), zone.clone(), loaded);
    let pattern = tidings_bus::Pattern::from(&Subjects(shared.bus.registry()).zone_commands(zone)?);
    let requests = shared.bus.queue_subscribe_near(&pattern, "zone", QUEUE_MAX).await?;
    Ok((owned, requests))
}

/// FNV-1a: the same in every process, which the standard hasher does not promise.
fn hash(zone: &ZoneId) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    zone.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The ownership record, fenced by the one before: of two that try at once, one has it.
async fn take_ownership(shared: &Shared, logs: &Logs) -> Result<Fence, BusError> {
    let before = shared.bus.last(&logs.owner).await?.map_or(0, |message| message.seq);
    claim(shared, logs, before).await
}

/// A new ownership record in the place of the one at `before`, which holds no more from then on.
pub(super) async fn claim(shared: &Shared, logs: &Logs, before: u64) -> Result<Fence, BusError> {
    let record = Ownership { host: shared.config.name.clone(), time_ms: shared.now() };
    let append = Append { subject: logs.owner.clone(), payload: Bytes::from(record.encode_to_vec()) };
    let fence = Fence { subject: logs.owner.clone(), seq: before };
    let committed = shared.bus.commit(vec![append], vec![fence]).await?;
    Ok(Fence { subject: logs.owner.clone(), seq: committed.last })
}

/// A zone as its checkpoint and its log have it.
struct Replay {
    rules: Zone,
    moves: Moves,
    now: i64,
    /// The zone's last record; `None`: of its log nothing was read yet, and it is another one's than the checkpoint's.
    last: Option<u64>,
    records: u64,
    alone: Alone,
}

impl Replay {
    async fn of(shared: &Shared, zone: &ZoneId, logs: &Logs, writer: &Writer) -> Result<Self, LoadError> {
        let mut replay = Self::from_checkpoint(shared, zone).await?;
        let epoch = shared.bus.epoch();
        loop {
            let page = shared.bus.read(std::slice::from_ref(&logs.log), replay.last(), REPLAY_PAGE).await?;
            if page.is_empty() {
                break;
            }
            for message in page {
                let records = replay.apply(&message)?;
                let stamp = Stamp { epoch: epoch.clone(), seq: message.seq };
                writer.write(Write::Records(stamp, records)).await;
                // The lease is kept meanwhile, by a task of the same threads.
                tokio::task::yield_now().await;
            }
        }
        let rooms = shared.room_logs(zone)?;
        let mut after = replay.last();
        loop {
            let page = shared.bus.read(&rooms, after, REPLAY_PAGE).await?;
            let Some(last) = page.last() else { return Ok(replay) };
            after = last.seq;
            for message in page {
                replay.apply_alone(&message);
            }
        }
    }

    async fn from_checkpoint(shared: &Shared, zone: &ZoneId) -> Result<Self, LoadError> {
        let unreadable = |error: &dyn std::fmt::Display| LoadError::Checkpoint(error.to_string());
        let (mut last, mut moves, mut now, mut state) = (Some(0), Moves::default(), 0, String::new());
        if let Some(checkpoint) = shared.store.checkpoint(zone).await? {
            let snapshot: Snapshot =
                serde_json::from_str(&checkpoint.body).map_err(|error| unreadable(&error))?;
            state = snapshot.state().map_err(|error| unreadable(&error))?.into_owned();
            (moves, now) = (snapshot.moves, snapshot.now);
            // Of another epoch's log what there is follows, on the state that was.
            let known = checkpoint.stamp.epoch == shared.bus.epoch();
            last = if known { Some(checkpoint.stamp.seq) } else { None };
        }
        let content = Arc::clone(&shared.content);
        let rules = Zone::restore(zone.clone(), content, shared.rules, Some(&state))
            .map_err(|error| LoadError::Checkpoint(format!("{error}: {}", error.source)))?;
        Ok(Self { rules, moves, now, last, records: 0, alone: Alone::default() })
    }

    /// Applies a record; what storage is to keep of it, again.
    fn apply(&mut self, message: &LogMessage) -> Result<Vec<tidings_storage::Record>, LoadError> {
        let unreadable = |error: &dyn std::fmt::Display| LoadError::Record(message.seq, error.to_string());
        let wire = ZoneRecord::decode(message.payload.clone()).map_err(|error| unreadable(&error))?;
        let record: Record = serde_json::from_slice(&wire.effects).map_err(|error| unreadable(&error))?;
        if self.last.is_some_and(|last| last != record.prev) {
            return Err(LoadError::Hole { at: message.seq, prev: record.prev, known: self.last() });
        }
        let mut again = Vec::new();
        for effect in &record.effects {
            for output in self.rules.replay_effect(effect) {
                if let Output::Persist(persist) = output {
                    again.push(kept(persist));
                }
            }
        }
        again.extend(record.bans.into_iter().map(convert::ban_record));
        for (id, offset) in record.moves {
            self.moves.add(id, message.seq + offset);
        }
        self.now = self.now.max(wire.time_ms);
        self.last = Some(message.seq);
        self.records += 1;
        Ok(again)
    }

    /// Applies the record that lies with an event; nothing of it is storage's. One that cannot be read, or follows another
    /// record than the last (of a log that was lost or restored), is left out: what it says would be forgotten in a minute.
    fn apply_alone(&mut self, message: &LogMessage) {
        let (record, time) = match alone::found_in(message) {
            Ok(Some((record, time))) if record.prev == self.last() => (record, time),
            Ok(_) => return,
            Err(error) => return tracing::warn!(seq = message.seq, error, "a line's record cannot be read"),
        };
        let mut again = RecordWriter::default();
        for effect in &record.effects {
            drop(self.rules.replay_effect(effect));
            again.effect(effect);
        }
        self.alone.add(again.effects());
        self.now = self.now.max(time);
        self.records += 1;
    }

    /// The zone's last record.
    fn last(&self) -> u64 {
        self.last.unwrap_or_default()
    }
}

fn kept(persist: Persist) -> tidings_storage::Record {
    convert::storage_record(persist)
}
