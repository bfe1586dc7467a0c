//! The commands beside `serve`, a file each.

pub mod config;
pub mod user;
pub mod violations;
pub mod world;
