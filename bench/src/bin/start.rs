//! `cargo xtask bench start`: from the program's start to its address, its memory at rest, entering as a guest,
//! and the page's size and time, for a fresh data folder and an existing one.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tidings_bench::process::{Process, beside};
use tidings_bench::stats::{Latencies, median};
use tidings_client::{Api, Connection};

/// Measures start and size.
#[derive(Parser)]
struct Args {
    /// Fewer rounds: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let rounds = if Args::parse().quick { 1 } else { 5 };
    let (mut fresh, mut existing, mut memory) = (vec![], vec![], vec![]);
    let mut entered = Latencies::default();
    for _ in 0..rounds {
        let folder = tempfile::tempdir().context("a folder for the server's data")?;
        let started = |_| Process::start(&beside("tidings")?, &arguments(&folder), 0);
        let first = started(())?;
        fresh.push(first.started_in.as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.push(first.memory()? as f64 / 1e6);
        enter(&first, &mut entered).await?;
        drop(first);
        existing.push(started(())?.started_in.as_secs_f64() * 1000.0);
    }
    println!("{:<52} {:>10}", "figure", "median");
    println!("{:<52} {:>10.1}", "start to listening, fresh data folder, ms", median(&fresh));
    println!("{:<52} {:>10.1}", "start to listening, existing data folder, ms", median(&existing));
    println!("{:<52} {:>10.1}", "memory at rest, nobody in, MB", median(&memory));
    println!("{:<52} {:>10.2}", "guest to first state, p50, ms", entered.percentile(0.5) / 1000.0);
    println!("{:<52} {:>10.2}", "guest to first state, p99, ms", entered.percentile(0.99) / 1000.0);
    Ok(())
}

fn arguments(folder: &tempfile::TempDir) -> Vec<String> {
    let mut args: Vec<String> = ["serve", "--listen", "127.0.0.1:0", "--data"].map(str::to_owned).to_vec();
    args.push(folder.path().join("data").display().to_string());
    for key in [
        "connects_per_minute_per_address",
        "sign_ins_per_minute_per_address",
        "accounts_per_minute_per_address",
    ] {
        args.extend(["--set".to_owned(), format!("limits.{key}=0")]);
    }
    args
}

/// One after the other: from asking to be a guest to the first `state`.
async fn enter(process: &Process, latencies: &mut Latencies) -> Result<()> {
    let api = Api::new(process.address);
    for _ in 0..50 {
        let begun = Instant::now();
        let session = api.guest().await?;
        let mut connection = Connection::enter(&api, &session, None).await?;
        connection
            .find(
                |frame| matches!(frame, tidings_client::frames::ServerFrame::State(_)),
                Duration::from_secs(10),
            )
            .await?;
        latencies.record(begun.elapsed().as_micros() as u64);
    }
    Ok(())
}
