//! `cargo xtask test`: all the tests, with what they need.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::run::{cargo, output, run as command, say};
use crate::{browser, nats};

/// What to test.
#[derive(clap::Args)]
pub struct Args {
    /// Only these tests.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The crates: units, conformance, crashes, simulation, real sockets.
    Rust,
    /// The page, in a real browser against the real server.
    Browser,
}

/// Runs them.
pub fn run(args: &Args) -> Result<()> {
    let wants = |part| args.only.is_none_or(|only| only == part);
    // What has to be fetched is fetched first: a missing program is told before the long part.
    if wants(Part::Rust) {
        nats::servers()?;
    }
    let chromium = if wants(Part::Browser) {
        say("looking for what the browser tests need");
        let chromium = browser::chromium()?;
        browser::packages()?;
        Some(chromium)
    } else {
        None
    };
    if wants(Part::Rust) {
        say("the crates");
        command(cargo().args(["test", "--workspace", "--locked"]))?;
    }
    if let Some(chromium) = chromium {
        say("the page, in a real browser");
        browser::test(&binary()?, &chromium)?;
    }
    say("every test passed");
    Ok(())
}

/// Builds the server as the tests use it, and says where it is.
fn binary() -> Result<PathBuf> {
    command(cargo().args(["build", "--locked", "--package", "tidings"]))?;
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(PathBuf::from(target).join("debug/tidings"))
}
