//! Sessions whose edge was taken for dead, and lives: it was cut off, or stood still, for longer than its lease. Their
//! sockets stand, so they go on where they are.
//!
//! Meanwhile a socket may be lost, or the edge fall silent again, so that a zone hears of the two in the wrong order.
//! Whoever told it looks at the record once more; where that says otherwise the zone is told anew, until both agree.

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
    /// Takes up again what edges renewed though it was lost, and tells zones what they may have heard in the wrong order.
    pub(super) async fn revive(&self) {
        let (reviving, owed) = self.inner.index.lock().take_reviving();
        let revived =
            stream::iter(reviving).for_each_concurrent(AT_ONCE_MAX, |known| self.clone().take_up(known));
        let told = stream::iter(owed).for_each_concurrent(AT_ONCE_MAX, |known| self.clone().tell_anew(known));
        tokio::join!(revived, told);
    }

    async fn take_up(self, known: Known) {
        // Its edge renews it again in a moment; and where that falls silent now, its zone has to hear it again.
        self.inner.index.lock().untell(&known.session);
        if let Err(error) = self.revive_one(&known).await {
            tracing::debug!(%error, "a session could not be taken up again yet");
        }
    }

    async fn tell_anew(self, known: Known) {
        if let Err(error) = self.agree(&known).await {
            self.inner.index.lock().owe(&known.session);
            tracing::debug!(%error, "a zone could not be told yet how a session is");
        }
    }

    /// The zone first: as long as the record says that the session is lost, the next renewal tries again.
    async fn revive_one(&self, known: &Known) -> Result<(), CallError> {
        let Some(record) = self.same(known).await?.filter(is_lapsed) else { return Ok(()) };
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
        let Some(record) = revived.await? else { return Ok(()) };
        self.inner.index.lock().put(&record);
        if record.lost_ms == 0 {
            metrics::counter!("tidings_session_revived_total").increment(1);
        } else {
            self.owe(&record.session);
        }
        Ok(())
    }

    /// The zone has to be told how a session is.
    pub(super) fn owe(&self, session: &str) {
        self.inner.index.lock().owe(session);
        self.inner.reviving.notify_one();
    }

    /// Tells the zone what the record says; where that is otherwise afterwards, the zone is told again.
    async fn agree(&self, known: &Known) -> Result<(), CallError> {
        let Some(record) = self.same(known).await? else { return Ok(()) };
        let kind = if record.lost_ms == 0 { link::Kind::Back } else { link::Kind::Lost };
        self.link_or_close(&record, kind, Duration::ZERO).await?;
        let after = self.same(known).await?;
        if after.is_some_and(|after| (after.lost_ms == 0) != (record.lost_ms == 0)) {
            self.owe(&known.session);
        }
        Ok(())
    }

    /// The record, where it still is of this session at this edge, and in the world.
    pub(super) async fn same(&self, known: &Known) -> Result<Option<SessionRecord>, CallError> {
        let found = self.inner.records.get(&known.character).await?;
        Ok(found.map(|(record, _)| record).filter(|record| is_same(record, known)))
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
