//! The commands beside `serve`, a file each.

mod bus_way;
pub mod certs;
pub mod check;
pub mod cluster;
mod cluster_left;
pub mod config;
pub mod dlq;
pub mod streams;
pub mod streams_apply;
pub mod subjects;
pub mod user;
pub mod violations;
mod when;
pub mod world;
