//! Hints of open rooms: clock ticks and ambience, which may be missed. They are not in the log, have no place in the flow
//! and no part in a resume; whoever does not read them in time misses the oldest, and is told how many.

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{Bus, Error, Pattern};
use tidings_protocol::{Audience, RoomId};
use tidings_service::Subjects;
use tokio_util::task::AbortOnDropHandle;

use super::encode::Encoder;
use super::interner::AudienceInfo;
use super::{ShardQueue, ToShard};

/// Hints of one room that wait here: many seconds of ambience. The oldest give way.
const HINTS_A_ROOM_MAX: usize = 64;
/// Pause before subscribing again where that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows the hints of rooms.
pub struct Hints {
    bus: Bus,
    encoder: Arc<Encoder>,
    shards: Vec<ShardQueue>,
}

impl Hints {
    /// For these shards.
    pub fn new(bus: Bus, encoder: Arc<Encoder>, shards: Vec<ShardQueue>) -> Self {
        Self { bus, encoder, shards }
    }

    /// Hears the hints of a room, for as long as the handle is kept. Other audiences have none.
    pub fn follow(&self, info: &Arc<AudienceInfo>) -> Option<AbortOnDropHandle<()>> {
        let Audience::Room(room) = &info.audience else { return None };
        let hearing = Hearing {
            bus: self.bus.clone(),
            encoder: Arc::clone(&self.encoder),
            shards: self.shards.clone(),
            info: Arc::clone(info),
            room: room.clone(),
        };
        Some(AbortOnDropHandle::new(tokio::spawn(hearing.run())))
    }
}

/// The hints of one room.
struct Hearing {
    bus: Bus,
    encoder: Arc<Encoder>,
    shards: Vec<ShardQueue>,
    info: Arc<AudienceInfo>,
    room: RoomId,
}

impl Hearing {
    async fn run(self) {
        loop {
            if let Err(error) = self.hear().await {
                tracing::warn!(%error, room = %self.room, "hints cannot be heard");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn hear(&self) -> Result<(), Error> {
        let subject = Subjects(self.bus.registry()).hint(&self.room)?;
        let mut messages = self.bus.subscribe(&Pattern::from(&subject), HINTS_A_ROOM_MAX).await?;
        let mut missed = vec![0; self.shards.len()];
        while let Some(message) = messages.next().await {
            let Some(hint) = self.encoder.hint(&self.info, &message.payload) else { continue };
            let hint = Arc::new(hint);
            for (shard, missed) in self.shards.iter().zip(&mut missed) {
                // A shard with a full queue has what may not be missed to do.
                if shard.try_send(ToShard::Hint(Arc::clone(&hint), *missed)).is_ok() {
                    *missed = 0;
                } else {
                    *missed += 1;
                    metrics::counter!("tidings_edge_hints_dropped_total").increment(1);
                }
            }
        }
        Ok(())
    }
}
