//! Who is where in the zones of other hosts: read from the KV, told to the zones here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidings_bus::{Error as BusError, ErrorKind, KvEvent, KvWatch};
use tidings_protocol::proto::services::v1 as services;
use tidings_protocol::{CharacterId, ZoneId};
use tidings_world::input::{Fact, Present};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::convert;

const RETRY: Duration = Duration::from_millis(500);

/// Follows the bucket `presence` until it is stopped.
pub async fn presence(shared: Arc<Shared>, stop: CancellationToken) {
    let mut elsewhere = Elsewhere { shared: &shared, known: HashSet::new() };
    loop {
        let mut watch = shared.presence.watch();
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            error = elsewhere.follow(&mut watch) => error,
        };
        if ended.kind() == ErrorKind::Closed {
            return;
        }
        tracing::warn!(error = %ended, "presence cannot be watched; trying again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// How long the picture of a zone that was taken over may take.
const PICTURE_WAIT: Duration = Duration::from_secs(5);

/// Takes back what the host before said of a zone and did not live to take back: those who are said to be in it and are
/// not. What cannot be read now stays as it is; it leads who looks for them to this zone, which knows better.
pub async fn forget_gone(shared: &Shared, zone: &ZoneId, is_in: impl Fn(CharacterId) -> bool) {
    let picture = async {
        let (mut watch, mut gone) = (shared.presence.watch(), Vec::new());
        loop {
            match watch.next().await? {
                KvEvent::Put(entry) => {
                    let wire = services::Present::decode(entry.value.clone()).unwrap_or_default();
                    let id = entry.key.parse().ok().filter(|_| wire.zone == zone.as_str());
                    if id.is_some_and(|id| !is_in(id)) {
                        gone.push(entry);
                    }
                }
                KvEvent::Resync => gone.clear(),
                KvEvent::Current => break,
                KvEvent::Delete { .. } => {}
            }
        }
        for entry in gone {
            match shared.presence.delete_revision(&entry.key, entry.revision).await {
                Err(error) if error.kind() != ErrorKind::WrongRevision => return Err(error),
                _ => tracing::info!(%zone, character = entry.key, "said to be here, and is not"),
            }
        }
        Ok::<_, BusError>(())
    };
    match tokio::time::timeout(PICTURE_WAIT, picture).await {
        Ok(Ok(())) => {}
        outcome => tracing::warn!(%zone, ?outcome, "what presence says of the zone was not compared"),
    }
}

/// The characters that are in zones of other hosts.
struct Elsewhere<'a> {
    shared: &'a Shared,
    known: HashSet<CharacterId>,
}

impl Elsewhere<'_> {
    async fn follow(&mut self, watch: &mut KvWatch) -> BusError {
        loop {
            match watch.next().await {
                Ok(KvEvent::Put(entry)) => self.put(&entry.value),
                Ok(KvEvent::Delete { key, .. }) => self.gone(&key),
                Ok(KvEvent::Resync) => {
                    for id in std::mem::take(&mut self.known) {
                        self.absent(id);
                    }
                }
                Ok(KvEvent::Current) => {}
                Err(error) => return error,
            }
        }
    }

    fn put(&mut self, value: &[u8]) {
        let read = services::Present::decode(value).ok().and_then(|wire| convert::present(wire).ok());
        let Some(present) = read else {
            metrics::counter!("tidings_zone_presence_errors_total").increment(1);
            return;
        };
        let id = present.id;
        if self.is_here(&present) {
            // A zone here has said so itself, and earlier.
            self.known.remove(&id);
        } else {
            self.known.insert(id);
            self.shared.hub.tell(None, &Fact::Present(present));
        }
    }

    fn gone(&mut self, key: &str) {
        if let Some(id) = key.parse().ok().filter(|id| self.known.remove(id)) {
            self.absent(id);
        }
    }

    fn absent(&self, id: CharacterId) {
        let here = self.shared.hub.find(id).is_some_and(|present| self.is_here(&present));
        if !here {
            self.shared.hub.tell(None, &Fact::Absent(id));
        }
    }

    fn is_here(&self, present: &Present) -> bool {
        self.shared.hub.is_open(&present.zone)
    }
}
