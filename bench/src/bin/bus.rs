//! `cargo xtask bench bus`: the bus in the process and the bus on NATS, each figure beside its reference, in one run of
//! interleaved rounds.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidings_bench::bus::{BUS, Bench};
use tidings_bench::plan::{self, Plan};
use tidings_bench::report::Report;

/// Measures the bus.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    plan: plan::Args,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse().plan;
    let plan = Plan::new(&args);
    let chosen = plan.choose(BUS.to_vec())?;
    if args.list {
        chosen.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::new(args.json);
    for (name, scenario) in chosen {
        if let Err(error) = Bench::new(name, &plan, &mut report).run(scenario) {
            report.missing(name, &format!("{error:#}"));
        }
    }
    Ok(if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
