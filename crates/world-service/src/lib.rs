//! The rules, hosted: zone hosts, and the services around them. Start reading at [`host`].

pub mod convert;
pub mod demo_world;
pub mod host;

pub use host::{HostConfig, Hosts};
pub mod account;
pub mod chat;
pub mod clock;
mod failure;
pub mod moderation;
pub mod presence;
pub mod services;
pub mod session;
#[cfg(test)]
mod testing;
