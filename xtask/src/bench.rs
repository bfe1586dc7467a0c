//! `cargo xtask bench [what]`: measures beside references in one run; `docs/benchmarks.md` keeps the last figures.

use anyhow::Result;
use clap::ValueEnum;

use crate::run::{cargo, run as command, say};

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure; everything where none is named.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Fewer and shorter rounds: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The bus in the process.
    Bus,
    /// Fan-out, latency, memory and accepting, beside a bare server.
    Edge,
    /// Start and size of the binary.
    Start,
}

impl What {
    const ALL: [Self; 3] = [Self::Bus, Self::Edge, Self::Start];

    fn program(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Edge => "edge",
            Self::Start => "start",
        }
    }
}

/// Measures.
pub fn run(args: &Args) -> Result<()> {
    let what = if args.what.is_empty() { What::ALL.to_vec() } else { args.what.clone() };
    say("building what is measured, optimised");
    command(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "tidings",
        "--package",
        "tidings-bench",
    ]))?;
    for one in what {
        say(one.program());
        let mut run = cargo();
        run.args([
            "run",
            "--quiet",
            "--release",
            "--locked",
            "--package",
            "tidings-bench",
            "--bin",
            one.program(),
            "--",
        ]);
        if args.quick {
            run.arg("--quick");
        }
        command(&mut run)?;
    }
    Ok(())
}
