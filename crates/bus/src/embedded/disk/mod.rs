//! The durable log: segments on disk, one writer with group commit, recovery, compaction.

pub(crate) mod active;
pub(crate) mod codec;
mod compact;
pub mod files;
mod group;
pub(crate) mod inbox;
pub(crate) mod recover;
pub(crate) mod segment;
pub(crate) mod writer;
