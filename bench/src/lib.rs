//! Scenarios and references: what is measured is measured beside a reference, in one run, in interleaved rounds.
//!
//! Start reading at `scenario/mod.rs` and `bus/mod.rs`: what there is to measure; `load/` is how servers are loaded, `report.rs`
//! how figures are judged.
#![allow(clippy::print_stdout, clippy::print_stderr)] // tables and progress are what these programs are for

pub mod bus;
pub mod disk;
pub mod load;
pub mod plan;
pub mod process;
pub mod report;
pub mod scenario;
pub mod stats;
