//! A position: how far a session has been told. Clients keep it and give it back; to them it is opaque.
//!
//! Every durable audience lives in one stream, and an edge delivers in the order of that stream: so one sequence says
//! how far *all* open audiences were delivered, and the same position serves every receiver of an event.

use serde::{Deserialize, Serialize};

/// How far a session has been told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The stream's epoch: changes when a stream is made or restored, or found behind a number given out.
    pub epoch: String,
    /// Everything up to this sequence was delivered.
    pub seq: u64,
}

impl Position {
    /// A position.
    pub fn new(epoch: impl Into<String>, seq: u64) -> Self {
        Self { epoch: epoch.into(), seq }
    }
}
