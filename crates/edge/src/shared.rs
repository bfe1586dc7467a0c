//! What all shards of an edge share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use tidings_bus::Bus;
use tidings_service::Caller;

use crate::config::EdgeConfig;
use crate::fanout::{DispatcherQueue, Encoder, Reader, ShardQueue};
use crate::limits::{Limits, Rates};
use crate::session::{RecentMutes, Sessions};

/// What all shards of an edge share.
pub struct Shared {
    /// How it is set up.
    pub config: EdgeConfig,
    /// The messaging.
    pub bus: Bus,
    /// Calls of services and zones.
    pub caller: Caller,
    /// Flood control.
    pub limits: Arc<Limits>,
    /// What `welcome` says of the limits.
    pub limits_shown: Map<String, Value>,
    /// Makes frames of events.
    pub encoder: Arc<Encoder>,
    /// Reads what is no longer remembered.
    pub reader: Reader,
    /// The way to the dispatcher.
    pub dispatcher: DispatcherQueue,
    /// The sessions of the process.
    pub sessions: Sessions,
    /// Changes of mutes that storage may not have yet.
    pub recent_mutes: RecentMutes,
    pub(crate) shards: Vec<ShardQueue>,
    pub(crate) head: Arc<AtomicU64>,
}

impl Shared {
    /// The newest sequence the dispatcher has seen.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// The ways to the shards.
    pub fn shards(&self) -> &[ShardQueue] {
        &self.shards
    }
}

/// The limits as clients see them, by the names of their configuration keys.
pub fn limits_shown(config: &EdgeConfig, rates: &Rates) -> Map<String, Value> {
    let shown = json!({
        "frame_bytes": config.limits.frame_bytes,
        "json_depth": config.limits.json_depth,
        "command_chars": config.limits.command_chars,
        "commands_per_minute": rates.commands_per_minute,
        "burst": config.limits.burst,
    });
    match shown {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
