//! What a session asks of others, and waits for: joining, views, mutes, its end. Commands are `shard/commands.rs`.
//!
//! Each is a short task of the shard. It holds no lock and no borrow while it waits, and finds its connection by a
//! number that is never used again: one that is gone meanwhile is simply not found.

mod ended;
pub mod frames;
mod identity;
mod join;
mod mutes;
mod recent_mutes;
mod renew;
mod reread;
mod resume;
mod retry;
mod views;
mod wave;

use std::time::Duration;

use tidings_protocol::frames::{Resume, What};

pub use ended::tell_ends;
pub use join::join;
pub use mutes::load_mutes;
pub use recent_mutes::RecentMutes;
pub use renew::{Sessions, give_up_lease, renew};
pub use reread::reread;
pub use retry::{Pauses, pause};
pub use views::state;
pub use wave::Waves;

/// How long one call of a service may take before it is tried again or given up.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// How long joining may take in all: a zone that changes hands meanwhile is a pause.
const JOIN_DEADLINE: Duration = Duration::from_secs(15);

/// The first frame.
pub struct Hello {
    /// An access token.
    pub token: Option<String>,
    /// A single-use ticket.
    pub ticket: Option<String>,
    /// The CSRF token that goes with it.
    pub csrf: Option<String>,
    /// The character's name.
    pub character: Option<String>,
    /// Instead: the session that goes on.
    pub resume: Option<Resume>,
}

impl std::fmt::Debug for Hello {
    /// Secrets are never written out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello").field("character", &self.character).finish_non_exhaustive()
    }
}

/// A view that is asked for.
#[derive(Debug)]
pub struct StateAsk {
    /// Which.
    pub what: What,
    /// Which page.
    pub page: Option<String>,
    /// The edge asked, because the character entered the room: everything waits behind it.
    pub gate: bool,
}

impl StateAsk {
    /// The client asks.
    pub fn asked(what: What, page: Option<String>) -> Self {
        Self { what, page, gate: false }
    }

    /// The character entered a room.
    pub fn entered() -> Self {
        Self { what: What::Room, page: None, gate: true }
    }

    /// The view's name.
    pub fn name(&self) -> &'static str {
        match self.what {
            What::Room => "room",
            What::Occupants => "occupants",
            What::Map => "map",
            What::Commands => "commands",
        }
    }
}
