//! Coming back after a drop to 100 missed events: from the `hello` to the last of them.
//!
//! In a room of 11 the ten others say ten lines each while one is away. The connection that broke is gone for the server
//! too when the one that resumes is made, as after most drops.

use std::time::Instant;

use anyhow::{Context, Result};

use super::Bench;
use crate::load::member::{self, ComeBack};
use crate::load::room::Connection;
use crate::load::{Kind, Target as Server};
use crate::plan::Plan;
use crate::report::Target;
use crate::stats::Latencies;

/// People who speak meanwhile.
const OTHERS: usize = 10;
/// Lines missed.
const MISSED: usize = 100;
/// Times that one round's traveller comes back.
const RETURNS: usize = 40;

/// Measures.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let what = |p: &str| format!("from hello to the last of {MISSED} missed events, {p}");
    let (mut p50, mut p95) = (bench.row(what("p50"), "us"), bench.row(what("p95"), "us"));
    for round in 0..bench.plan.rounds {
        let target = bench.start(round, Kind::DURABLE)?;
        let mut latencies = come_and_go(&target, returns(bench.plan)).await?;
        p50.add(Kind::DURABLE.name(), latencies.percentile(0.5));
        p95.add(Kind::DURABLE.name(), latencies.percentile(0.95));
    }
    bench.report.row(&p50)?;
    bench.report.row(&p95.judge(Kind::DURABLE.name(), Target::at_most(5_000.0, 2_000.0)))?;
    bench.fdatasync().map(drop)
}

/// How often one comes back in a round.
pub fn returns(plan: &Plan) -> usize {
    if plan.quick { RETURNS / 4 } else { RETURNS }
}

/// One comes back so often, each time to the missed events.
pub async fn come_and_go(target: &Server, returns: usize) -> Result<Latencies> {
    let address = target.process.address;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(member::enter_by_token(address, &target.guest().await?).await?);
    }
    let session = target.guest().await?;
    let mut away = Connection::open(address).await?;
    away.send(&format!(r#"{{"type":"hello","token":"{}"}}"#, session.access_token)).await?;
    let mut back = ComeBack::from_welcome(&away.until(|_| true).await?)?;
    back.told(&away.until(|frame| frame.starts_with(br#"{"type":"state""#)).await?)?;
    let mut latencies = Latencies::default();
    for number in 0..returns {
        drop(away);
        speak(&others, number).await?;
        away = Connection::open(address).await?;
        let begun = Instant::now();
        away.send(&back.hello()).await?;
        back = ComeBack::resumed(&away).await?;
        let mut last = Vec::new();
        for _ in 0..MISSED {
            last = away.until(member::is_said).await.context("a missed event")?;
        }
        latencies.record(begun.elapsed().as_micros() as u64);
        back.told(&last)?;
    }
    Ok(latencies)
}

/// Each says a tenth of what will be missed, all at the same time.
async fn speak(others: &[Connection], number: usize) -> Result<()> {
    let speaking = others.iter().map(|other| async move {
        for line in 0..MISSED / OTHERS {
            let id = (number * MISSED + line) as u64;
            other.send(&member::say(id, "something that will be missed")).await?;
            other.until(|frame| frame.starts_with(br#"{"type":"reply""#)).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    futures_util::future::try_join_all(speaking).await.map(drop)
}
