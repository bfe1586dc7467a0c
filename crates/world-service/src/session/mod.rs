//! The service `session`: which character is in the world by which sign-in, at which edge, and how it comes back.
//!
//! A session is one record in the bucket `sessions`, by character, changed by compare-and-set alone; the bucket is
//! durable, so sessions and revocations survive a restart. Sockets live at edges: what must end one goes out on
//! `ctl.sessions`, and an edge that missed it hears at its next renewal.

mod bucket;
mod enter;
mod index;
mod lease;
mod revive;
mod revoke;
mod secret;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use tidings_bus::{Bus, Kv};
use tidings_protocol::proto::services::v1::SessionControl;
use tidings_protocol::{CharacterId, ZoneId};
use tidings_service::{CallError, Caller, Server, Subjects};
use tidings_storage::Store;
use tokio::sync::Notify;

use self::bucket::Records;
use self::index::Index;
use crate::clock::Clock;

/// The bucket of sessions: durable.
pub const BUCKET: &str = "sessions";
/// Calls answered at once: what many ask of storage is one statement, and what they write one sync of the log, so a
/// crowd is let in faster the more of it there is.
const CALLS_MAX: usize = 256;

/// The bucket of edges that renew their lease: volatile.
pub const EDGES_BUCKET: &str = "edges";

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where a character that was never in the world enters it.
    pub start_zone: ZoneId,
    /// The zones there are: a character whose zone is gone enters at the start. Empty: whatever is stored.
    pub zones: Vec<ZoneId>,
    /// How long an edge may be silent before its sessions are lost (10 s); edges renew every 3 s.
    pub lease: Duration,
    /// The grace of characters whose edge died (120 s).
    pub dead_edge_grace: Duration,
    /// How long a session whose grace ended can still come back for what it missed [15 minutes]: the retention.
    pub retention: Duration,
}

impl Config {
    /// The defaults, in a world that is entered by this zone.
    pub fn new(start_zone: ZoneId) -> Self {
        Self {
            start_zone,
            zones: Vec::new(),
            lease: Duration::from_secs(10),
            dead_edge_grace: Duration::from_secs(120),
            retention: Duration::from_secs(15 * 60),
        }
    }
}

/// The service: cheap to clone.
#[derive(Clone)]
pub struct SessionService {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    caller: Caller,
    records: Records,
    edges: Kv,
    /// When they were kept alive last.
    edges_kept: Mutex<HashMap<String, i64>>,
    presence: Kv,
    tickets: Kv,
    clock: Clock,
    config: Config,
    index: Mutex<Index>,
    /// An edge renews what was lost by its silence.
    reviving: Notify,
    listening: Mutex<Listening>,
}

/// Since when edges could be heard.
struct Listening {
    since_ms: i64,
    /// When that was looked at last: a pause shows that this process, or the bus, was away.
    last_ms: i64,
}

impl SessionService {
    /// Over a store and a bus.
    pub fn new(store: Store, bus: Bus, clock: Clock, config: Config) -> Result<Self, CallError> {
        let inner = Inner {
            records: Records::new(bus.kv(BUCKET)?),
            edges: bus.kv(EDGES_BUCKET)?,
            edges_kept: Mutex::default(),
            presence: bus.kv(crate::presence::BUCKET)?,
            tickets: bus.kv(crate::account::TICKETS_BUCKET)?,
            caller: Caller::new(bus),
            listening: Mutex::new(Listening { since_ms: clock(), last_ms: clock() }),
            index: Mutex::default(),
            reviving: Notify::new(),
            store,
            clock,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        macro_rules! methods {
            ($server:expr, $($name:literal => $method:ident),+) => {
                $server$(.method($name, {
                    let service = self.clone();
                    move |_call, request| {
                        let service = service.clone();
                        async move { service.$method(request).await }
                    }
                }))+
            };
        }
        methods!(
            Server::new(self.inner.caller.bus().clone(), "session").concurrency(CALLS_MAX),
            "open" => open,
            "resume" => resume,
            "renew" => renew,
            "lost" => lost,
            "close" => close,
            "revoke" => revoke
        )
    }

    fn now(&self) -> i64 {
        (self.inner.clock)()
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    /// To every edge. A message that is lost is made up for by the next renewal.
    async fn control(&self, control: SessionControl) {
        let bus = self.inner.caller.bus();
        let sent = match Subjects(bus.registry()).control("sessions") {
            Ok(topic) => bus.publish(&topic, Bytes::from(control.encode_to_vec()), Vec::new()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            metrics::counter!("tidings_session_control_failed_total").increment(1);
            tracing::warn!(%error, "a control message was not sent; edges hear of it when they renew");
        }
    }
}

/// Whether a character has a session that has not left the world.
pub(crate) async fn is_in_world(sessions: &Kv, character: CharacterId) -> Result<bool, CallError> {
    let found = Records::new(sessions.clone()).get(&character.to_string()).await?;
    Ok(found.is_some_and(|(record, _)| record.closed_ms == 0))
}
