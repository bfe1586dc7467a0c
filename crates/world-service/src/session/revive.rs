//! Sessions whose edge was taken for dead, and lives: it was cut off, or stood still, for longer than its lease. Their
//! sockets stand, so they go on where they are.
//!
//! Of one session a zone is told by one task at a time. Where a socket is lost while its zone is asked to have it back, or
//! the zone does not answer, it may believe what is not so: it is told again what the record says, until both agree.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tidings_protocol::proto::services::v1::SessionRecord;
use tidings_protocol::proto::world::v1::link;
use tidings_service::CallError;

use super::SessionService;
use super::bucket::Change;
use super::index::Known;
use super::lease::AT_ONCE_MAX;

impl SessionService {
    /// Takes up again what edges renewed though it was lost.
    pub(super) async fn revive(&self) {
        let reviving = self.inner.index.lock().take_reviving();
        stream::iter(reviving).for_each_concurrent(AT_ONCE_MAX, |known| self.clone().take_up(known)).await;
    }

    /// Tells zones what they may not know of sessions.
    pub(super) async fn tell_owed(&self) {
        let owed = self.inner.index.lock().take_owed();
        stream::iter(owed).for_each_concurrent(AT_ONCE_MAX, |known| self.clone().tell_anew(known)).await;
    }

    async fn take_up(self, known: Known) {
        // Who is being told of is renewed again in a moment.
        let Some(_telling) = self.telling(&known.session) else { return };
        let done = match self.revive_one(&known).await {
            Ok(true) => Ok(()),
            Ok(false) => self.agree(&known).await,
            Err(error) => Err(error),
        };
        self.owe_unless(done, &known);
    }

    async fn tell_anew(self, known: Known) {
        match self.telling(&known.session) {
            Some(_telling) => self.owe_unless(self.agree(&known).await, &known),
            None => self.inner.index.lock().owe(known),
        }
    }

    /// A zone that did not answer may have done it, or not: it is told again. One that refuses is not.
    fn owe_unless(&self, told: Result<(), CallError>, known: &Known) {
        let Err(error) = told else { return };
        tracing::debug!(%error, "a zone could not be told how a session is");
        if error.is_retryable() {
            self.inner.index.lock().owe(known.clone());
        }
    }

    /// Whether the zone has nothing else to hear. It is asked first: as long as the record says that the session is lost,
    /// the next renewal tries again.
    async fn revive_one(&self, known: &Known) -> Result<bool, CallError> {
        let Some(record) = self.same(known).await?.filter(is_lapsed) else { return Ok(true) };
        // Where its edge falls silent again, its zone has to hear that again.
        self.inner.index.lock().untell(&known.session);
        self.link_or_close(&record, link::Kind::Back, Duration::ZERO).await?;
        let revived = self.inner.records.change(&known.character, |before| {
            Ok(match before.filter(|record| is_same(record, known)) {
                Some(before) if is_lapsed(&before) => {
                    let record = SessionRecord { lost_ms: 0, lapsed: false, ..before };
                    (Change::Put(Box::new(record.clone()), None), Some(record))
                }
                other => (Change::Keep, other),
            })
        });
        let Some(record) = revived.await? else { return Ok(true) };
        self.inner.index.lock().put(&record);
        if record.lost_ms == 0 {
            metrics::counter!("tidings_session_revived_total").increment(1);
        }
        Ok(record.lost_ms == 0)
    }

    /// Tells the zone what the record says; where that is otherwise afterwards, it is told again. One that is lost by its
    /// edge's silence is told of by a sweep, and revives where that edge lives.
    async fn agree(&self, known: &Known) -> Result<(), CallError> {
        let Some(record) = self.same(known).await?.filter(|record| !is_lapsed(record)) else {
            self.inner.index.lock().untell(&known.session);
            return Ok(());
        };
        let kind = if record.lost_ms == 0 { link::Kind::Back } else { link::Kind::Lost };
        self.link_or_close(&record, kind, Duration::ZERO).await?;
        let after = self.same(known).await?;
        if after.is_some_and(|after| (after.lost_ms == 0) != (record.lost_ms == 0)) {
            self.inner.index.lock().owe(known.clone());
        }
        Ok(())
    }

    /// The record, where it still is of this session at this edge, and in the world.
    async fn same(&self, known: &Known) -> Result<Option<SessionRecord>, CallError> {
        let found = self.inner.records.get(&known.character).await?;
        Ok(found.map(|(record, _)| record).filter(|record| is_same(record, known)))
    }

    /// Its zone is being told of a session, until this is dropped; `None`: another does that.
    pub(super) fn telling(&self, session: &str) -> Option<Telling> {
        let begun = self.inner.index.lock().begin_telling(session);
        begun.then(|| Telling { service: self.clone(), session: session.to_owned() })
    }
}

/// See [`SessionService::telling`].
pub(super) struct Telling {
    service: SessionService,
    session: String,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.service.inner.index.lock().end_telling(&self.session);
    }
}

fn is_same(record: &SessionRecord, known: &Known) -> bool {
    record.session == known.session
        && record.edge == known.edge
        && record.generation == known.generation
        && record.closed_ms == 0
        && !record.revoked
}

/// Whether it is lost for no other reason than its edge's silence.
fn is_lapsed(record: &SessionRecord) -> bool {
    record.lost_ms != 0 && record.lapsed
}
