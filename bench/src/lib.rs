//! Scenarios and references: what is measured is measured beside a reference, in one run, in interleaved rounds.
#![allow(clippy::print_stdout)] // tables are what these programs are for

pub mod load;
pub mod process;
pub mod stats;
