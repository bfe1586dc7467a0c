//! The edge over real sockets, with the real world behind it: in one process, in memory.

#![allow(clippy::unwrap_used)]

#[path = "embedded.rs"]
mod backend;
mod between;
mod border;
mod compression;
mod drain;
mod ends;
mod evening;
mod harness;
mod hints;
mod holding;
mod lookups;
mod mutes;
mod panics;
mod races;
mod refusals;
mod resume;
