//! Control messages to all shards: sessions that are to end, mutes that changed.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tidings_bus::Pattern;
use tidings_protocol::proto::services::v1::{MutesChanged, SessionControl};
use tidings_service::Subjects;
use tokio_util::sync::CancellationToken;

use crate::fanout::{ToShard, hex};
use crate::shared::Shared;

/// Control messages that wait: a revocation of a thousand accounts one by one.
const CONTROLS_MAX: usize = 1024;
/// Pause before subscribing again where that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Hears `ctl.sessions` and `ctl.mutes` until cancelled.
pub async fn run(shared: Arc<Shared>, cancel: CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = topic(&shared, "sessions") => {}
        () = topic(&shared, "mutes") => {}
    }
}

/// Never ends by itself: while control cannot be heard it is tried again.
async fn topic(shared: &Shared, topic: &'static str) {
    loop {
        if let Err(error) = hear(shared, topic).await {
            tracing::warn!(%error, topic, "control messages cannot be heard");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(shared: &Shared, topic: &'static str) -> Result<(), tidings_bus::Error> {
    let subject = Subjects(shared.bus.registry()).control(topic)?;
    let mut messages = shared.bus.subscribe(&Pattern::from(&subject), CONTROLS_MAX).await?;
    while let Some(message) = messages.next().await {
        match topic {
            "sessions" => {
                if let Ok(control) = SessionControl::decode(message.payload.clone()) {
                    let control = Arc::new(control);
                    tell(shared, || ToShard::Sessions(Arc::clone(&control))).await;
                }
            }
            _ => {
                if let Ok(changed) = MutesChanged::decode(message.payload.clone()) {
                    let account = hex(&changed.account);
                    tell(shared, || ToShard::Mutes(account)).await;
                }
            }
        }
    }
    Ok(())
}

async fn tell(shared: &Shared, message: impl Fn() -> ToShard) {
    for shard in shared.shards() {
        let _ = shard.send(message()).await;
    }
}
