//! Sessions whose edge was taken for dead, and lives: it was cut off, or stood still, for longer than its lease. Their
//! sockets stand, so they go on where they are.

use futures_util::StreamExt as _;
use tidings_protocol::proto::services::v1::SessionRecord;
use tidings_protocol::proto::world::v1::link;
use tidings_service::CallError;

use super::SessionService;
use super::bucket::Change;
use super::index::Known;
use super::lease::AT_ONCE_MAX;

impl SessionService {
    /// Takes up again what an edge renewed though it was lost. One whose zone does not answer is renewed again in a
    /// moment.
    pub async fn revive(&self) {
        let found = self.inner.index.lock().take_reviving();
        let each = futures_util::stream::iter(found).for_each_concurrent(AT_ONCE_MAX, async |known| {
            if let Err(error) = self.revive_one(&known).await {
                tracing::debug!(%error, "a session could not be taken up again yet");
            }
        });
        each.await;
    }

    /// The zone first: as long as the record says that the session is lost, the next renewal tries again.
    async fn revive_one(&self, known: &Known) -> Result<(), CallError> {
        let Some((record, _)) = self.inner.records.get(&known.character).await? else { return Ok(()) };
        if !waits(&record, known) {
            return Ok(());
        }
        self.link_or_close(&record, link::Kind::Back).await?;
        let revived = self.inner.records.change(&known.character, |before| {
            Ok(match before.filter(|record| is_same(record, known)) {
                Some(before) if waits(&before, known) => {
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
            return Ok(());
        }
        // Its socket was lost meanwhile, and its zone may have heard of that before.
        self.link_or_close(&record, link::Kind::Lost).await
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
fn waits(record: &SessionRecord, known: &Known) -> bool {
    is_same(record, known) && record.lost_ms != 0 && record.lapsed
}
