//! Every chore of the project, as `cargo xtask <chore>`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // chores talk to people

mod bench;
mod browser;
mod chaos;
mod limits;
mod nats;
mod run;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// Chores of the Tidings project.
#[derive(Parser)]
#[command(name = "cargo xtask", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs all the tests, after fetching what they need: Rust, then the page in a real browser.
    Test(test::Args),
    /// Checks what the compiler does not: layers, headers, licences, duplicate versions, the map of the house.
    Tidy,
    /// Writes the tables of `docs/limits.md` from the constants.
    Limits,
    /// Measures beside references, in one run, and prints ratios.
    Bench(bench::Args),
    /// Breaks a cluster of NATS servers by a seed while the bus works on it, and compares what was confirmed with what
    /// is stored.
    Chaos(chaos::Args),
}

fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test(args) => test::run(&args),
        Chore::Tidy => tidy::run(),
        Chore::Limits => limits::run(),
        Chore::Bench(args) => bench::run(&args),
        Chore::Chaos(args) => chaos::run(&args),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
