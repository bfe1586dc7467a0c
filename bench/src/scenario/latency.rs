//! Latency at a fixed rate: an open loop in rooms of 100, every delivery timed.

use anyhow::{Context, Result};

use super::{Bench, CONNECTIONS};
use crate::load::{Crowd, Kind};
use crate::report::Target;

/// People in a room.
const MEMBERS: usize = 100;
/// A slow rate is measured for longer: its p99 is made of few lines.
const SLOW: u64 = 10_000;
/// So many times.
const LONGER: u32 = 3;

/// At so many deliveries a second.
pub async fn run(bench: &mut Bench<'_>, rate: u64) -> Result<()> {
    let what = |p: &str| format!("latency at {rate} deliveries/s, rooms of {MEMBERS}, {p}");
    let (mut p50, mut p99) = (bench.row(what("p50"), "us"), bench.row(what("p99"), "us"));
    let mut cpu = bench.row(format!("processor time a delivery at {rate}/s"), "us");
    let mut came = bench.row("deliveries that came", "a second");
    let mut late = bench.lateness();
    let plan = bench.plan;
    let measured = plan.measured * if rate <= SLOW { LONGER } else { 1 };
    for round in 0..plan.rounds {
        for kind in [Kind::DURABLE, Kind::UNSTORED, Kind::Bare, Kind::Limit] {
            let mut crowd = Crowd::new(bench.start(round, kind)?);
            crowd.join(CONNECTIONS / MEMBERS, MEMBERS).await?;
            let load = crowd.open_loop(MEMBERS, rate, plan.warm_up, measured);
            let mut gave = load.await.with_context(|| kind.name())?;
            p50.add(kind.name(), gave.latencies.percentile(0.5));
            p99.add(kind.name(), gave.latencies.percentile(0.99));
            cpu.add(kind.name(), gave.cpu_micros_per_delivery);
            late.add(kind.name(), gave.late_micros);
            came.add(kind.name(), gave.deliveries_per_second);
        }
    }
    let twice = 2.0 * bench.fdatasync()?;
    let (floors, goals) = if rate <= SLOW { ([1.3, 1.5], [1.0, 1.0]) } else { ([1.5, 2.0], [1.1, 1.2]) };
    let (unstored, durable, bare) = (Kind::UNSTORED.name(), Kind::DURABLE.name(), Kind::Bare.name());
    for (row, i) in [(p50, 0), (p99, 1)] {
        let target = Target::at_most(floors[i], goals[i]);
        let row = row.judge_ratio(unstored, bare, target).judge_over(durable, bare, target, twice);
        bench.report.row(&Bench::unless_late(row, &late, &[unstored, durable, bare]))?;
    }
    if rate <= SLOW {
        let target = Target::at_most(1.3, 0.85);
        cpu = cpu.judge_ratio(unstored, bare, target).judge_ratio(durable, bare, target);
    }
    bench.report.row(&cpu)?;
    bench.report.row(&came)?;
    bench.report.row(&late)
}
