//! The tests of the edge once more, on a real NATS server: services and zones as one process has them, and two edges that
//! the players are spread over, each with a connection of its own.

#![allow(clippy::unwrap_used)]

mod backend;
#[path = "../edge/between.rs"]
mod between;
#[path = "../edge/border.rs"]
mod border;
#[path = "../edge/compression.rs"]
mod compression;
#[path = "../edge/drain.rs"]
mod drain;
#[path = "../edge/ends.rs"]
mod ends;
#[path = "../edge/evening.rs"]
mod evening;
#[path = "../edge/harness.rs"]
mod harness;
#[path = "../edge/hints.rs"]
mod hints;
#[path = "../edge/holding.rs"]
mod holding;
#[path = "../edge/lookups.rs"]
mod lookups;
#[path = "../edge/mutes.rs"]
mod mutes;
#[path = "../edge/panics.rs"]
mod panics;
#[path = "../edge/races.rs"]
mod races;
#[path = "../edge/refusals.rs"]
mod refusals;
#[path = "../edge/resume.rs"]
mod resume;
