//! The rules, hosted: zone hosts, and the services around them. Start reading at [`host`] for the zones, and at
//! [`services`] for what runs beside them.

pub mod account;
pub mod chat;
pub mod clock;
pub mod convert;
pub mod deadletter;
pub mod demo_world;
mod failure;
pub mod host;
pub mod moderation;
pub mod presence;
pub mod services;
pub mod session;
#[cfg(test)]
mod testing;

pub use host::unwritten::Unwritten;
pub use host::{HostConfig, Hosts};
