//! Who is where in the zones of other hosts: read from the KV, told to the zones here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidings_bus::{Error as BusError, KvEvent, KvWatch};
use tidings_protocol::CharacterId;
use tidings_protocol::proto::services::v1 as services;
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
        if ended.kind() == tidings_bus::ErrorKind::Closed {
            return;
        }
        tracing::warn!(error = %ended, "presence cannot be watched; trying again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
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
