//! Messaging for Rust backends: subjects from one registry, ephemeral publish and request, durable logs with
//! fenced atomic commits and gap-free follow, key/value, work queues; over a backend in the process or NATS.
//!
//! Start reading at [`Bus`]. The bus knows nothing of worlds, people's sockets or HTTP.

pub mod backend;
pub mod bus;
pub mod error;
pub mod log;
pub mod message;
pub mod registry;
pub mod subject;

pub use bus::Bus;
pub use error::{Error, ErrorKind};
pub use log::{Append, Committed, Fence, FollowSet, Followed, From, LogMessage};
pub use message::{Headers, Message, Subscription};
pub use registry::{Class, Registry, SlowReader, TemplateDef};
pub use subject::{Pattern, Subject};
