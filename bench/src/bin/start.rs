//! `cargo xtask bench start`: from the program's start to its address, its memory at rest, entering as a guest, with a
//! fresh data folder and an existing one; the size of the program and of the page.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tidings_bench::disk::{self, Medium};
use tidings_bench::plan::{self, Plan};
use tidings_bench::process::{Process, beside};
use tidings_bench::report::{Report, Row, Target};
use tidings_bench::stats::Latencies;
use tidings_client::frames::ServerFrame;
use tidings_client::{Api, Connection};

/// What is measured, by name: all of it in one go.
const NAME: &str = "start";
const TIDINGS: &str = "tidings";
/// Entries a round, one after the other.
const ENTRIES: usize = 100;
/// Until a server that has just started is at rest.
const REST: Duration = Duration::from_secs(1);
/// How long one entry may take.
const ENTRY_WAIT: Duration = Duration::from_secs(10);
/// Rounds: a start is short, so more of them than of a load.
const ROUNDS: usize = 7;

/// Measures start and size.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    plan: plan::Args,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut args = Args::parse().plan;
    if !args.quick {
        args.rounds.get_or_insert(ROUNDS);
    }
    let plan = Plan::new(&args);
    if plan.choose(vec![(NAME, ())])?.is_empty() || args.list {
        println!("{NAME}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::new(args.json);
    if let Err(error) = measure(&plan, &mut report).await {
        report.missing(NAME, &format!("{error:#}"));
    }
    Ok(if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let row = |figure: &str, unit| Row::new(NAME, figure, unit);
    let mut fresh = row("start to listening, fresh data folder", "ms");
    let mut existing = row("start to listening, existing data folder after a kill", "ms");
    let mut memory = row("memory of the whole world at rest, nobody in", "MB");
    let mut p50 = row("from asking to be a guest to the first state, p50", "ms");
    let mut p99 = row("the same, p99", "ms");
    let program = beside("tidings")?;
    for round in 0..plan.rounds {
        plan.step(NAME, round, TIDINGS)?;
        let folder = disk::folder(Medium::Disk)?;
        let started = || Process::start(&program, &arguments(folder.path(), plan), 0);
        let first = started()?;
        fresh.add(TIDINGS, first.started_in.as_secs_f64() * 1e3);
        tokio::time::sleep(REST).await;
        memory.add(TIDINGS, first.memory()? as f64 / 1e6);
        let mut entries = enter(&first).await.context("entering")?;
        p50.add(TIDINGS, entries.percentile(0.5) / 1e3);
        p99.add(TIDINGS, entries.percentile(0.99) / 1e3);
        drop(first);
        existing.add(TIDINGS, started()?.started_in.as_secs_f64() * 1e3);
    }
    report.row(&fresh.judge(TIDINGS, Target::at_most(500.0, 150.0)))?;
    report.row(&existing.judge(TIDINGS, Target::at_most(300.0, 80.0)))?;
    report.row(&memory.judge(TIDINGS, Target::at_most(60.0, 25.0)))?;
    report.row(&p50)?;
    report.row(&p99.judge(TIDINGS, Target::at_most(50.0, 10.0)))?;
    let mut size = row("the program, with line tables", "MB");
    size.add(TIDINGS, std::fs::metadata(&program)?.len() as f64 / 1e6);
    report.row(&size)
}

fn arguments(folder: &std::path::Path, plan: &Plan) -> Vec<String> {
    let mut args: Vec<String> = ["serve", "--listen", "127.0.0.1:0", "--data"].map(str::to_owned).to_vec();
    args.push(folder.join("data").display().to_string());
    let off = [
        "connects_per_minute_per_address",
        "sign_ins_per_minute_per_address",
        "accounts_per_minute_per_address",
    ];
    let off = off.map(|key| format!("limits.{key}=0"));
    let quiet = "log.level=warn".to_owned();
    for setting in off.iter().chain([&quiet]).chain(&plan.settings) {
        args.extend(["--set".to_owned(), setting.clone()]);
    }
    args
}

/// One after the other: from asking to be a guest to the first `state`.
async fn enter(process: &Process) -> Result<Latencies> {
    let api = Api::new(process.address);
    let mut latencies = Latencies::default();
    for _ in 0..ENTRIES {
        let begun = Instant::now();
        let session = api.guest().await?;
        let mut connection = Connection::enter(&api, &session, None).await?;
        connection.find(|frame| matches!(frame, ServerFrame::State(_)), ENTRY_WAIT).await?;
        latencies.record(begun.elapsed().as_micros() as u64);
    }
    Ok(latencies)
}
