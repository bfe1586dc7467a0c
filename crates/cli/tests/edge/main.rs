//! The edge over real sockets, with the real world behind it: in one process, in memory.

#![allow(clippy::unwrap_used)]

mod border;
mod compression;
mod drain;
mod evening;
mod harness;
mod refusals;
mod resume;
