//! The commands beside `serve`, a file each.

pub mod certs;
pub mod config;
pub mod subjects;
pub mod user;
pub mod violations;
pub mod world;
