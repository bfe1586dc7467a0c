//! The whole of Tidings in one process on a NATS server, beside the same with its log in memory: what going through NATS costs.
//!
//! The NATS server is on the core of the measured one, so that both have what one alone has.

use anyhow::{Context, Result};

use super::{Bench, CONNECTIONS, IN_FLIGHT, resume};
use crate::load::{Crowd, Kind};
use crate::report::Target;

/// People in a room.
const MEMBERS: usize = 100;
/// Deliveries a second where the latency is measured.
const RATE: u64 = 10_000;

/// Measures.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (here, there) = (Kind::UNSTORED, Kind::OnNats);
    let mut p50 = bench.row(format!("latency at {RATE} deliveries/s, rooms of {MEMBERS}, p50"), "us");
    let mut added = bench.row("what NATS adds to it", "us");
    let mut rate = bench.row(format!("deliveries at saturation, rooms of {MEMBERS}"), "a second");
    let mut lost = bench.row("deliveries that never came", "lines");
    let mut back = bench.row("back after a drop to 100 missed events, p95", "us");
    let plan = bench.plan;
    for round in 0..plan.rounds {
        let mut waited = [0.0; 2];
        for (place, kind) in [here, there].into_iter().enumerate() {
            let mut crowd = Crowd::new(bench.start(round, kind)?);
            crowd.join(CONNECTIONS / MEMBERS, MEMBERS).await?;
            let slow = crowd.open_loop(MEMBERS, RATE, plan.warm_up, plan.measured);
            waited[place] = slow.await.with_context(|| kind.name())?.latencies.percentile(0.5);
            let in_flight = CONNECTIONS / MEMBERS * IN_FLIGHT;
            let fast = crowd.saturate(in_flight, MEMBERS, plan.warm_up, plan.measured);
            let gave = fast.await.with_context(|| kind.name())?;
            p50.add(kind.name(), waited[place]);
            rate.add(kind.name(), gave.deliveries_per_second);
            lost.add(kind.name(), gave.lost as f64);
        }
        added.add(there.name(), waited[1] - waited[0]);
        let target = bench.start(round, there)?;
        back.add(there.name(), resume::come_and_go(&target, resume::returns(plan)).await?.percentile(0.95));
    }
    bench.report.row(&p50)?;
    bench.report.row(&added.judge(there.name(), Target::at_most(500.0, 200.0)))?;
    bench.report.row(&rate.judge_ratio(there.name(), here.name(), Target::at_least(0.6, 0.85)))?;
    bench.report.row(&lost.judge(there.name(), Target::at_most(0.0, 0.0)))?;
    bench.report.row(&back.judge(there.name(), Target::at_most(20_000.0, 8_000.0)))
}
