//! A line to everyone in a room of 10, stored before it is heard: 100 people who each say a line a second.

use anyhow::{Context, Result};

use super::Bench;
use crate::load::{Crowd, Kind};
use crate::report::Target;

const ROOMS: usize = 10;
const MEMBERS: usize = 10;
/// Deliveries a second: a line a second of each.
const RATE: u64 = (ROOMS * MEMBERS * MEMBERS) as u64;
/// So many times the usual time: a hundred lines a second are few for a p99.
const LONGER: u32 = 3;

/// Measures.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let figure =
        format!("say to everyone in a room of {MEMBERS}, {} people, a line a second each", ROOMS * MEMBERS);
    let (mut p50, mut p99) =
        (bench.row(format!("{figure}, p50"), "us"), bench.row(format!("{figure}, p99"), "us"));
    let mut late = bench.lateness();
    let plan = bench.plan;
    for round in 0..plan.rounds {
        let mut crowd = Crowd::new(bench.start(round, Kind::DURABLE)?);
        crowd.join(ROOMS, MEMBERS).await?;
        let load = crowd.open_loop(MEMBERS, RATE, plan.warm_up, plan.measured * LONGER);
        let mut gave = load.await.context("saying")?;
        p50.add(Kind::DURABLE.name(), gave.latencies.percentile(0.5));
        late.add(Kind::DURABLE.name(), gave.late_micros);
        p99.add(Kind::DURABLE.name(), gave.latencies.percentile(0.99));
    }
    let sync = bench.fdatasync()?;
    bench.report.row(&p50)?;
    let target = Target::at_most(4.0 * sync + 5_000.0, 2.0 * sync + 1_000.0);
    let p99 = p99.judge(Kind::DURABLE.name(), target);
    bench.report.row(&Bench::unless_late(p99, &late, &[Kind::DURABLE.name()]))?;
    bench.report.row(&late)
}
