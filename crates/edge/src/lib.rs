//! The edge: sockets and people. Sessions, the rooms' fan-out, resume, limits, HTTP and the page.
//!
//! It knows sockets and audiences, not rooms: what is true comes from a zone's owner, what happened from the logs.
//! Start reading at `http`, then `shard`, then `fanout`, then `session`.

pub mod config;
pub mod http;
pub mod limits;
pub mod ws;

pub use config::EdgeConfig;
