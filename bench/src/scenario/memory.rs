//! Memory of a joined, signed-in, idle connection: the slope of the resident memory between two sizes of a crowd.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use crate::load::{Crowd, Kind};
use crate::report::Target;

/// Rooms the crowd is in.
const ROOMS: usize = 100;
/// People in each room at first: these pay for what is there once.
const FIRST: usize = 10;
/// And at the end.
const LAST: usize = 40;

/// How long a crowd is left alone before it counts as idle: longer than recent events are kept for those who drop.
const IDLE: Duration = Duration::from_secs(26);

/// Measures.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (few, many) = (ROOMS * FIRST, ROOMS * LAST);
    let mut row =
        bench.row(format!("memory an idle connection, from {few} to {many}, {ROOMS} rooms"), "bytes");
    for round in 0..bench.plan.rounds {
        for kind in [Kind::DURABLE, Kind::Bare, Kind::Limit] {
            let target = bench.start(round, kind)?;
            let mut crowd = Crowd::new(target.clone());
            let idle = if kind == Kind::DURABLE { IDLE } else { bench.plan.measured };
            crowd.join(ROOMS, FIRST).await?;
            tokio::time::sleep(idle).await;
            let before = target.process.memory()?;
            crowd.join(ROOMS, LAST).await?;
            tokio::time::sleep(idle).await;
            let more = target.process.memory()?.saturating_sub(before);
            row.add(kind.name(), more as f64 / (many - few) as f64);
        }
    }
    let row = row.judge(Kind::DURABLE.name(), Target::at_most(12.0 * 1024.0, 6.0 * 1024.0));
    bench.report.row(&row)
}
