//! The rules, hosted: zone hosts, and the services around them. Start reading at [`host`].

pub mod convert;
pub mod demo_world;
pub mod host;

pub use host::{HostConfig, Hosts};
