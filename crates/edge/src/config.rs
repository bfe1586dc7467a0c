//! How an edge is set up: limits by the names of their configuration keys, sessions, retention.
//!
//! Parsed and checked by the binary; here are the types and the defaults. Rates are in `limits::Rates`, HTTP in
//! `http::HttpConfig`.

use std::time::Duration;

use tidings_protocol::frames::COMMAND_CHARS;

/// Largest frame a client may send, in bytes: a command line of 9 KiB and its envelope.
pub const FRAME_BYTES: usize = 10 * 1024;
/// Deepest nesting of a client's JSON: a position is three deep.
pub const JSON_DEPTH: usize = 10;
/// Longest command line in bytes: four to a character, and some.
pub const COMMAND_BYTES: usize = 9 * 1024;
/// What waits for one slow reader, in bytes, before it is disconnected with resume.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// Connections of a shard, together with ends that others have not been told of: a full one that is lost at once may
/// come back whole before anybody was told.
pub const CONNECTIONS_MAX: usize = 32_768;

/// How an edge is set up.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// This edge's name among the edges of a system: unique while it runs.
    pub edge: String,
    /// Threads that serve connections; 0: one a core.
    pub shards: usize,
    /// Connections of a shard, together with ends that others have not been told of; who comes then is told to come
    /// again. At most [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// The language of the server's voice.
    pub locale: String,
    /// Bounds on what a client sends and on what waits for it.
    pub limits: FrameLimits,
    /// Times of a session.
    pub session: SessionTimes,
    /// How far back a resume may go.
    pub retention: Retention,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            edge: "edge-1".to_owned(),
            shards: 0,
            connections: CONNECTIONS_MAX,
            locale: "en".to_owned(),
            limits: FrameLimits::default(),
            session: SessionTimes::default(),
            retention: Retention::default(),
        }
    }
}

/// Bounds on what a client sends and on what waits for it. 0 turns one off.
#[derive(Debug, Clone)]
pub struct FrameLimits {
    /// `limits.frame_bytes`: largest message of a client.
    pub frame_bytes: usize,
    /// `limits.json_depth`.
    pub json_depth: usize,
    /// `limits.command_chars`.
    pub command_chars: usize,
    /// `limits.burst`: commands that wait while one is in flight.
    pub burst: usize,
    /// `limits.outbox_bytes`: bytes that wait for one reader.
    pub outbox_bytes: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            frame_bytes: FRAME_BYTES,
            json_depth: JSON_DEPTH,
            command_chars: COMMAND_CHARS,
            burst: 20,
            outbox_bytes: OUTBOX_BYTES,
        }
    }
}

/// Times of a session.
#[derive(Debug, Clone)]
pub struct SessionTimes {
    /// How long the first frame may take.
    pub hello: Duration,
    /// `session.heartbeat_seconds`: what clients are told.
    pub heartbeat: Duration,
    /// `session.stale_seconds`: without a byte of the client for so long it is closed.
    pub stale: Duration,
    /// The deadline of a command: longer than a zone's lease and its take-over.
    pub command: Duration,
    /// How often an edge renews the lease of its sessions.
    pub renew: Duration,
    /// How often the mutes of an account are loaded again.
    pub mutes: Duration,
    /// How far clients spread their return after a drain.
    pub drain_spread: Duration,
}

impl Default for SessionTimes {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            heartbeat: Duration::from_secs(25),
            stale: Duration::from_secs(60),
            command: Duration::from_secs(15),
            renew: Duration::from_secs(3),
            mutes: Duration::from_secs(60),
            drain_spread: Duration::from_secs(10),
        }
    }
}

/// How far back a resume may go.
#[derive(Debug, Clone)]
pub struct Retention {
    /// `retention.minutes`.
    pub age: Duration,
    /// `retention.messages_per_room`, of each audience.
    pub messages: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(15 * 60), messages: 10_000 }
    }
}
