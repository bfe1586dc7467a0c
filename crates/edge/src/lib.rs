//! The edge: sockets and people. Sessions, the rooms' fan-out, resume, limits, HTTP and the page.
//!
//! It knows sockets and audiences, not rooms: what is true comes from a zone's owner, what happened from the logs.
//! Start reading at `edge`, then `http`, `shard`, `fanout` and `session`.

pub mod config;
mod control;
pub mod edge;
mod fanout;
pub mod http;
pub mod limits;
mod service;
mod session;
mod shard;
mod shared;
mod time;
pub mod ws;

pub use config::EdgeConfig;
pub use edge::{Edge, EdgeError, EdgeHandle, EdgeParts};
pub use fanout::Counts;
pub use service::name as service_name;
