//! One who does not read, in a room of 1,000: what the others notice.
//!
//! The stuck reader's receive buffer is the smallest there is, so that the server meets it as soon as it can. Each round has
//! a run with and a run without, in an order that changes.

use anyhow::{Context, Result};

use super::{Bench, CONNECTIONS};
use crate::load::room::Connection;
use crate::load::{Crowd, Kind, member};
use crate::report::Target;

/// Deliveries a second in the room.
const RATE: u64 = 100_000;
/// The kernel makes more of it, but not much.
const RECEIVE_BUFFER: u32 = 2048;
const WITH: &str = "with a stuck reader";
const WITHOUT: &str = "without";

/// Measures.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let what =
        |p: &str| format!("a room of {CONNECTIONS} at {RATE} deliveries/s, nothing stored, the others' {p}");
    let (mut p50, mut p99) = (bench.row(what("p50"), "us"), bench.row(what("p99"), "us"));
    let mut late = bench.lateness();
    let plan = bench.plan;
    for round in 0..plan.rounds {
        let order = if round % 2 == 0 { [WITH, WITHOUT] } else { [WITHOUT, WITH] };
        for name in order {
            let target = std::rc::Rc::new(bench.start_as(round, Kind::UNSTORED, name)?);
            let mut crowd = Crowd::new(target.clone());
            crowd.join(1, CONNECTIONS - 1).await?;
            // One more either way; the one who reads is one of those measured.
            let buffer = (name == WITH).then_some(RECEIVE_BUFFER);
            let socket = Connection::open_at(target.process.address, "/ws", buffer).await?;
            let last = member::enter_on(socket, &target.guest().await?).await?;
            let _stuck = match name {
                WITH => Some(last),
                _ => {
                    crowd.add(last);
                    None
                }
            };
            let load = crowd.open_loop(CONNECTIONS, RATE, plan.warm_up, plan.measured * 2);
            let mut gave = load.await.context(name)?;
            late.add(name, gave.late_micros);
            p50.add(name, gave.latencies.percentile(0.5));
            p99.add(name, gave.latencies.percentile(0.99));
        }
    }
    bench.report.row(&p50)?;
    let p99 = p99.judge_ratio(WITH, WITHOUT, Target::at_most(1.2, 1.0));
    bench.report.row(&Bench::unless_late(p99, &late, &[WITH, WITHOUT]))?;
    bench.report.row(&late)
}
