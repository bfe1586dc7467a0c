//! `cargo xtask chaos`: breaks a cluster of real NATS servers for as long as it is told, by a seed, and says whether
//! everything held. The run itself is a test of the bus, `crates/bus/tests/chaos`.

use anyhow::Result;

use crate::nats;
use crate::run::{cargo, run as command, say};

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// What goes wrong and in which order: the same seed, the same plan.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long faults go on.
    #[arg(long, value_name = "M", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    nats::servers()?;
    say(&format!("seed {}, {} minutes", args.seed, args.minutes));
    let test = ["test", "--locked", "--package", "tidings-bus", "--test", "chaos", "--"];
    command(
        cargo()
            .args(test)
            .args(["--ignored", "--exact", "a_longer_run", "--nocapture"])
            .env("TIDINGS_CHAOS_SEED", args.seed.to_string())
            .env("TIDINGS_CHAOS_MINUTES", args.minutes.to_string()),
    )
}
