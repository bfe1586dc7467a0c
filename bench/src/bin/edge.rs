//! `cargo xtask bench edge` and `cargo xtask bench peers`: fan-out, latency, memory, accepting, coming back, beside the
//! references, in one run.
//!
//! The server is pinned to one core, the load to the other. Rounds are interleaved; medians are quoted.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidings_bench::load::target::LOAD_CORE;
use tidings_bench::plan::{self, Plan};
use tidings_bench::process::{pin_to, raise_descriptors};
use tidings_bench::report::Report;
use tidings_bench::scenario::{Bench, EDGE, PEERS};

/// Measures the edge beside the references, or beside the peers.
#[derive(Parser)]
struct Args {
    /// Beside the peers instead of the references; their programs are made by `cargo xtask bench peers`.
    #[arg(long)]
    peers: bool,
    #[command(flatten)]
    plan: plan::Args,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let plan = Plan::new(&args.plan);
    let all = if args.peers { PEERS.to_vec() } else { EDGE.to_vec() };
    let chosen = plan.choose(all)?;
    if args.plan.list {
        chosen.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    pin_to(LOAD_CORE)?;
    raise_descriptors();
    let mut report = Report::new(args.plan.json);
    for (name, scenario) in chosen {
        // Connections, and who reads them, live on this thread and end with their scenario.
        let local = tokio::task::LocalSet::new();
        let measured = local.run_until(Bench::new(name, &plan, &mut report).run(scenario)).await;
        drop(local);
        if let Err(error) = measured {
            report.missing(name, &format!("{error:#}"));
        }
    }
    Ok(if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
