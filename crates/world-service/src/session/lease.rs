//! The leases of edges. An edge renews all its sessions every few seconds, some thousands a call; those of one that fell silent are lost, and their
//! zones are told. After a restart this is the fate of every session of the process before, whose edge's name nobody
//! renews.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tidings_bus::{ErrorKind, KvEvent};
use tidings_protocol::proto::services::v1::{
    RenewReply, RenewRequest, SessionEnd, SessionRecord, SessionRequest,
};
use tidings_protocol::proto::world::v1::{Bye, Leave, Link, Origin, ZoneRequest, link, zone_request};
use tidings_protocol::{CloseCode, ErrorCode, SessionId, ZoneId};
use tidings_service::CallError;
use tokio_util::sync::CancellationToken;

use super::SessionService;
use super::bucket::{Change, read};
use super::index::Known;
use crate::failure::stored;

/// How long a zone may take to hear that a session is lost, or back: later it is told again.
const ZONE_DEADLINE: Duration = Duration::from_secs(3);
/// Sessions this young that are not known yet may have been opened by another process a moment ago; as long a
/// session counts as lost by its socket before an edge that still renews it is told to let it go.
const SETTLE_MS: i64 = 5_000;
/// For this part of a lease an edge that was just kept alive is not kept alive again by who joins there.
const KEPT_PART: u32 = 20;
/// Edges of which it is known when they were kept alive last; beyond it all are written again.
const EDGES_MAX: usize = 1024;
/// Sessions of which zones are told at once, when an edge fell silent or is back.
pub(super) const AT_ONCE_MAX: usize = 64;
/// Sweeps a lease: a dead edge is seen within a lease and a third.
const SWEEPS: u32 = 3;

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

impl SessionService {
    /// Renews the lease of an edge and of its sessions; answers those that it holds no longer.
    pub async fn renew(self, request: RenewRequest) -> Result<RenewReply, CallError> {
        if request.gone {
            self.inner.edges.delete(&request.edge).await?;
            self.inner.edges_kept.lock().remove(&request.edge);
            return Ok(RenewReply::default());
        }
        self.keep_edge(&request.edge).await?;
        let now = self.now();
        let mut index = self.inner.index.lock();
        // Until all sessions were seen, none is said to be unknown.
        if !index.is_whole() {
            return Ok(RenewReply::default());
        }
        let mut ended = Vec::new();
        for session in request.sessions {
            match fate(index.session(&session), &request.edge, &session, now) {
                Fate::Stays => {}
                Fate::Revives => index.revives(&session),
                Fate::Ends(code) => {
                    let reason = code.reason().to_owned();
                    ended.push(SessionEnd { session, code: u32::from(code.code()), reason });
                }
            }
        }
        if index.has_reviving() {
            self.inner.reviving.notify_one();
        }
        Ok(RenewReply { ended })
    }

    /// The edge lives, since it asks: a crowd that joins there says so a few times a second, not each.
    pub(super) async fn edge_asks(&self, edge: &str) -> Result<(), CallError> {
        let (now, part) = (self.now(), millis(self.config().lease / KEPT_PART));
        let known = self.inner.edges_kept.lock().get(edge).is_some_and(|at| (0..part).contains(&(now - at)));
        if known { Ok(()) } else { self.keep_edge(edge).await }
    }

    /// The edge lives. Kept twice as long as the lease, so that only the time in it decides.
    async fn keep_edge(&self, edge: &str) -> Result<(), CallError> {
        let (lease, now) = (self.config().lease, self.now());
        let until = now + millis(lease);
        let value = Bytes::copy_from_slice(&until.to_be_bytes());
        self.inner.edges.put(edge, value, Some(lease * 2)).await?;
        let mut kept = self.inner.edges_kept.lock();
        if kept.len() >= EDGES_MAX {
            kept.clear();
        }
        // Whoever asks from here on finds it alive.
        kept.insert(edge.to_owned(), self.now());
        Ok(())
    }

    /// Whether an edge was kept alive by this process since.
    fn lives_since(&self, edge: &str, since: i64) -> bool {
        self.inner.edges_kept.lock().get(edge).is_some_and(|kept| (since..=self.now()).contains(kept))
    }

    async fn is_alive(&self, edge: &str) -> Result<bool, CallError> {
        let entry = self.inner.edges.get(edge).await?;
        let until = entry.and_then(|entry| Some(i64::from_be_bytes(entry.value.as_ref().try_into().ok()?)));
        // Further than a lease ahead, and what clocks may differ by, is the word of a clock that was set back since.
        let most = 2 * millis(self.config().lease);
        Ok(until.is_some_and(|until| (1..=most).contains(&(until.saturating_sub(self.now())))))
    }

    /// Watches sessions and presence, and looks after edges, until it is told to stop.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        // Zones that do not answer hold up no watching.
        tokio::select! {
            watched = self.watch(&stop) => watched,
            () = self.look_for_silent_edges() => Ok(()),
            () = self.look_for_revived() => Ok(()),
            () = self.look_for_owed() => Ok(()),
        }
    }

    async fn watch(&self, stop: &CancellationToken) -> Result<(), CallError> {
        let mut watch = self.inner.records.kv().watch();
        let mut presence = self.inner.presence.watch();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = watch.next() => match event {
                    Ok(event) => self.heard(event),
                    Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                    Err(error) => return Err(error.into()),
                },
                event = presence.next() => match event {
                    Ok(KvEvent::Delete { key, .. }) => self.left(&key).await,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// Goes on for as long as it is asked.
    async fn look_for_silent_edges(&self) {
        let mut sweep = tokio::time::interval(self.config().lease / SWEEPS);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            sweep.tick().await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "sessions of silent edges could not be looked at");
            }
        }
    }

    /// Goes on for as long as it is asked.
    async fn look_for_revived(&self) {
        loop {
            self.inner.reviving.notified().await;
            self.revive().await;
        }
    }

    /// Goes on for as long as it is asked.
    async fn look_for_owed(&self) {
        let mut beat = tokio::time::interval(self.config().lease / SWEEPS);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.tell_owed().await;
        }
    }

    /// A character is in the world no more. Where its grace ended, or its session was revoked, nobody else closes
    /// the session; one that left by its socket is its edge's affair.
    async fn left(&self, character: &str) {
        let known = self.inner.index.lock().of_character(character).cloned();
        let over = |known: &Known| (known.lost_ms != 0 || known.revoked) && !known.closed;
        let Some(known) = known.filter(over) else { return };
        let request = SessionRequest {
            session: known.session,
            character: known.character,
            generation: known.generation,
            gone: true,
        };
        if let Err(error) = self.clone().close(request).await {
            tracing::warn!(%error, "a session whose character left was not closed; the next sweep does it");
        }
    }

    fn heard(&self, event: KvEvent) {
        let mut index = self.inner.index.lock();
        match event {
            KvEvent::Put(entry) => match read(&entry.value) {
                Some(record) => index.put(&record),
                None => index.remove(&entry.key),
            },
            KvEvent::Delete { key, .. } => index.remove(&key),
            KvEvent::Resync => index.clear(),
            KvEvent::Current => index.current(),
        }
    }

    /// Marks the sessions of edges that fell silent, and tells their zones. A zone that does not answer is told at
    /// the next sweep.
    pub async fn sweep(&self) -> Result<(), CallError> {
        let by_edge = self.inner.index.lock().untold();
        let asked = self.now();
        let silent = self.silent(by_edge).await;
        if !self.could_hear(asked, silent.is_ok()) {
            return silent.map(drop);
        }
        let tell = |known| self.clone().tell_lost(known, asked);
        stream::iter(silent?).for_each_concurrent(AT_ONCE_MAX, tell).await;
        self.inner.index.lock().tidy();
        Ok(())
    }

    async fn tell_lost(self, known: Known, asked: i64) {
        // Telling all may take long, and the edge come back meanwhile.
        if self.lives_since(&known.edge, asked) {
            return;
        }
        let Some(_telling) = self.telling(&known.session) else { return };
        if !self.inner.index.lock().tell(&known.session) {
            return;
        }
        if let Err(error) = self.lapse(&known).await {
            self.inner.index.lock().untell(&known.session);
            tracing::debug!(%error, "a zone could not be told of a lost session yet");
        }
        // That this takes its time is no pause in asking.
        self.looked(self.now(), false);
    }

    /// The sessions of those edges whose lease is over.
    async fn silent(&self, by_edge: HashMap<String, Vec<Known>>) -> Result<Vec<Known>, CallError> {
        let mut silent = Vec::new();
        for (edge, sessions) in by_edge {
            if !self.is_alive(&edge).await? {
                silent.extend(sessions);
            }
        }
        Ok(silent)
    }

    /// Whether an edge that lives had the time to say so: a whole lease since this process began, and since it, or the
    /// bus, was away. That shows by a question without an answer, one that was long in coming, or a pause in asking. A
    /// clock that was set back begins anew, too.
    fn could_hear(&self, asked: i64, answered: bool) -> bool {
        let lease = millis(self.config().lease);
        let slow = self.now() - asked > lease / i64::from(SWEEPS);
        self.looked(asked, !answered || slow);
        self.now() - self.inner.listening.lock().since_ms >= lease
    }

    /// Edges were looked at, then; whether something was amiss.
    fn looked(&self, at: i64, amiss: bool) {
        let (now, lease) = (self.now(), millis(self.config().lease));
        let mut listening = self.inner.listening.lock();
        if amiss || !(0..=lease).contains(&(at - listening.last_ms)) || listening.since_ms > now {
            listening.since_ms = now;
        }
        listening.last_ms = now;
    }

    async fn lapse(&self, known: &Known) -> Result<(), CallError> {
        let now = self.now();
        let marked = self.inner.records.change(&known.character, |before| {
            let same = |record: &SessionRecord| {
                record.session == known.session
                    && record.edge == known.edge
                    && record.generation == known.generation
            };
            Ok(match before.filter(|record| same(record) && record.closed_ms == 0) {
                None => (Change::Keep, None),
                Some(before) if before.lost_ms != 0 => (Change::Keep, Some(before)),
                Some(before) => {
                    let record = SessionRecord { lost_ms: now, lapsed: true, ..before };
                    (Change::Put(Box::new(record.clone()), None), Some(record))
                }
            })
        });
        let Some(record) = marked.await? else {
            // It went on at another edge, or ended.
            self.inner.index.lock().untell(&known.session);
            return Ok(());
        };
        self.inner.index.lock().put(&record);
        if record.revoked {
            let code = CloseCode::Revoked;
            let left = self.ask_to_leave(&record, code.code().into(), code.reason()).await;
            self.close_unknown(&record, left).await?;
        } else {
            self.link_or_close(&record, link::Kind::Lost, self.config().dead_edge_grace).await?;
        }
        metrics::counter!("tidings_session_lapsed_total").increment(1);
        Ok(())
    }

    /// Tells the zone that the character's connection is lost, with a grace (none: the zone's own), or back; closes the
    /// session where the character has left.
    pub(super) async fn link_or_close(
        &self,
        record: &SessionRecord,
        kind: link::Kind,
        grace: Duration,
    ) -> Result<(), CallError> {
        let link = Link {
            session: record.session.clone(),
            character: record.character.clone(),
            kind: kind.into(),
            grace_ms: u64::try_from(millis(grace)).unwrap_or(0),
            generation: record.generation,
        };
        let told = self.ask_zone(record, zone_request::Ask::Link(link)).await;
        self.close_unknown(record, told).await
    }

    /// A zone that does not know the character let it go before it could say so.
    async fn close_unknown(
        &self,
        record: &SessionRecord,
        told: Result<(), CallError>,
    ) -> Result<(), CallError> {
        match told {
            Err(error) if error.code == ErrorCode::NotFound => {
                let request = SessionRequest {
                    session: record.session.clone(),
                    character: record.character.clone(),
                    generation: record.generation,
                    gone: true,
                };
                self.clone().close(request).await.map(drop)
            }
            told => told,
        }
    }

    /// Takes a character out of the world whose session was revoked while it had no socket. Where the zone does
    /// not answer its grace does it.
    pub(super) async fn take_out(&self, record: &SessionRecord, code: u32, reason: &str) {
        if let Err(error) = self.ask_to_leave(record, code, reason).await {
            tracing::debug!(%error, "a character whose session was revoked leaves when its grace ends");
        }
    }

    async fn ask_to_leave(&self, record: &SessionRecord, code: u32, reason: &str) -> Result<(), CallError> {
        let leave = Leave {
            origin: Some(Origin { session: record.session.clone(), id: String::new() }),
            character: record.character.clone(),
            bye: Some(Bye { code, reason: reason.to_owned() }),
        };
        self.ask_zone(record, zone_request::Ask::Leave(leave)).await
    }

    async fn ask_zone(&self, record: &SessionRecord, ask: zone_request::Ask) -> Result<(), CallError> {
        let zone = self.zone_of(record).await?;
        let request = ZoneRequest { ask: Some(ask) };
        self.inner.caller.zone(&zone, &request, ZONE_DEADLINE).await.map(drop)
    }

    /// Where the character is now, whether it is stored or not; a record only knows where it entered.
    async fn zone_of(&self, record: &SessionRecord) -> Result<ZoneId, CallError> {
        if let Some(present) = self.present(&record.character).await? {
            return crate::failure::id(&present.zone, "a zone");
        }
        let stored_one = match Self::character_id(record) {
            Some(id) => self.inner.store.character(id).await.map_err(stored)?,
            None => None,
        };
        let zone = stored_one.map_or_else(|| record.zone.clone(), |character| self.kept(&character).zone);
        crate::failure::id(&zone, "a zone")
    }
}

/// What becomes of a session that an edge renews.
enum Fate {
    Stays,
    /// Its edge was taken for dead.
    Revives,
    Ends(CloseCode),
}

fn fate(known: Option<&Known>, edge: &str, session: &str, now: i64) -> Fate {
    match known {
        None => {
            let made = session.parse::<SessionId>().map_or(0, SessionId::unix_ms);
            let made = i64::try_from(made).unwrap_or(0);
            if now - made > SETTLE_MS { Fate::Ends(CloseCode::Revoked) } else { Fate::Stays }
        }
        Some(known) if known.revoked => Fate::Ends(CloseCode::Revoked),
        Some(known) if known.edge != edge => Fate::Ends(CloseCode::TakenOver),
        // Its grace ended while its edge was silent: its client comes back, and enters anew.
        Some(known) if known.closed && known.lapsed => Fate::Ends(CloseCode::Unavailable),
        Some(known) if known.closed => Fate::Ends(CloseCode::Left),
        Some(known) if known.lapsed => Fate::Revives,
        Some(known) if known.lost_ms != 0 && now - known.lost_ms > SETTLE_MS => Fate::Ends(CloseCode::Stale),
        Some(_) => Fate::Stays,
    }
}
