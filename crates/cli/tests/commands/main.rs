//! The command line through the real binary: what is printed, what is done, and the exit codes, with and without a
//! running server.

mod certs;
mod config;
mod dlq;
mod harness;
mod operate;
mod sessions;
mod socket;
mod subjects;
mod tour;
mod usage;
mod user;
mod violations;
mod world;
