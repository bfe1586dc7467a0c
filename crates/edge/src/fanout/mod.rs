//! From the logs to the shards: one dispatcher a process follows each audience once, renders and encodes each
//! event once, and hands the shards that have members in an audience one shared buffer.
//!
//! Shards tell the dispatcher what to open and release; the dispatcher answers in the same ordered queue as the
//! events, so that "opened" has an exact place among them.

mod dispatcher;
mod encode;
mod hints;
mod interner;
mod mute;
mod open;
mod reader;
mod ring;

use std::sync::Arc;

use tidings_protocol::proto::services::v1::SessionControl;
use tokio::sync::{mpsc, oneshot};

pub use dispatcher::Dispatcher;
pub use encode::{Border, Change, Encoded, Encoder, Special, hex};
pub use interner::{AudienceId, AudienceInfo};
pub use mute::Mute;
pub use reader::{ReadError, Reader};

/// Commands of shards that wait for the dispatcher: a few for each of a thousand people joining at once.
pub const COMMANDS_MAX: usize = 4096;
/// Batches that wait for a shard. When a shard has so many, the dispatcher waits, and nobody else.
pub const BATCHES_MAX: usize = 64;
/// Events of one round: many at a wake, few enough that a shard's turn stays short.
pub const ROUND_MAX: usize = 512;

/// What a shard tells the dispatcher.
#[derive(Debug)]
pub enum ToDispatcher {
    /// Hold these audiences for the shard, and say what is there after a sequence.
    Open {
        /// Which shard.
        shard: usize,
        /// For whom, each with its own answer.
        asks: Vec<Ask>,
    },
    /// The shard has no member there any more.
    Release {
        /// Which shard.
        shard: usize,
        /// Of what.
        audience: Arc<AudienceInfo>,
        /// How many holds end.
        holds: u32,
    },
    /// Say when everything up to this sequence was handed out.
    Need {
        /// Which shard.
        shard: usize,
        /// The sequence.
        seq: u64,
    },
}

/// What one who joins asks for.
#[derive(Debug)]
pub struct Ask {
    /// Given back.
    pub ticket: u64,
    /// What to open.
    pub audiences: Vec<Arc<AudienceInfo>>,
    /// From after here.
    pub after: u64,
}

/// What a shard is told, in order.
#[derive(Debug)]
pub enum ToShard {
    /// Events, in the order of the stream; then everything up to `through` was handed out.
    Batch {
        /// The events.
        events: Vec<Arc<Encoded>>,
        /// Up to here.
        through: u64,
    },
    /// What was asked for by `Open` is held from here on, for each who asked.
    Opened(Vec<Opened>),
    /// Messages of an audience are no longer retained: its members have to come anew.
    Hole(AudienceId),
    /// What may be missed, for those who hear its room; and how many before it were.
    Hint(Arc<Encoded>, u64),
    /// Acts on open sockets.
    Sessions(Arc<SessionControl>),
    /// An account's mutes changed elsewhere.
    Mutes(u128),
    /// Everybody is sent away, to come back elsewhere.
    Drain,
    /// Says what there is.
    Count(oneshot::Sender<Counts>),
}

/// What there is in a shard: after everybody has gone, all of it is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sockets.
    pub connections: usize,
    /// Sessions, by id and by character.
    pub sessions: usize,
    /// Audiences with members, or held.
    pub audiences: usize,
    /// Accounts whose mutes are kept.
    pub mute_sets: usize,
    /// Replies, joins and ends that wait for something.
    pub waiting: usize,
    /// Tasks.
    pub tasks: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.sessions += other.sessions;
        self.audiences += other.audiences;
        self.mute_sets += other.mute_sets;
        self.waiting += other.waiting;
        self.tasks += other.tasks;
    }
}

/// The answer to `Open`: events after `through` follow in batches.
#[derive(Debug)]
pub struct Opened {
    /// As it was given.
    pub ticket: u64,
    /// What is held now.
    pub audiences: Vec<Arc<AudienceInfo>>,
    /// What is remembered, in order.
    pub events: Vec<Arc<Encoded>>,
    /// What has to be read: after the asked place, up to and with a sequence.
    pub gaps: Vec<(Arc<AudienceInfo>, u64)>,
    /// Up to here.
    pub through: u64,
}

/// The way to the dispatcher.
pub type DispatcherQueue = mpsc::Sender<ToDispatcher>;
/// The way to a shard.
pub type ShardQueue = mpsc::Sender<ToShard>;
