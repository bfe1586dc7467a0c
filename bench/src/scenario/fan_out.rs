//! Fan-out at saturation: a closed loop of lines in rooms of one size.

use anyhow::{Context, Result};

use super::{Bench, CONNECTIONS, IN_FLIGHT};
use crate::load::{Crowd, Kind};
use crate::report::{Row, Target};

/// A server that used less of its core than this was not what limited its rate.
const SATURATED: f64 = 0.85;

struct Rows {
    rate: Row,
    efficiency: Row,
    own: Row,
    fairness: Row,
    lost: Row,
    lacking: Row,
    busy: Row,
    load: Row,
}

/// Beside bare and limit.
pub async fn beside_references(bench: &mut Bench<'_>, members: usize) -> Result<()> {
    let kinds = [Kind::DURABLE, Kind::UNSTORED, Kind::Bare, Kind::Limit];
    let rows = measure(bench, members, &kinds).await?;
    // Small rooms pay more for rules and less for fan-out.
    let (durable, unstored) = match members {
        ..=10 => (Target::at_least(0.7, 1.2), Target::at_least(0.7, 1.2)),
        _ => (Target::at_least(0.8, 1.4), Target::at_least(0.9, 1.4)),
    };
    report(bench, rows, &[(Kind::UNSTORED, Kind::Bare, unstored), (Kind::DURABLE, Kind::Bare, durable)])
}

/// Beside what else there is.
pub async fn beside_peers(bench: &mut Bench<'_>, members: usize) -> Result<()> {
    let peers = [
        (Kind::SocketIo, Target::at_least(10.0, 17.0)),
        (Kind::Socketioxide, Target::at_least(1.8, 3.0)),
        (Kind::Ws, Target::at_least(7.0, 12.0)),
    ];
    let kinds = [Kind::DURABLE, Kind::UNSTORED, Kind::SocketIo, Kind::Socketioxide, Kind::Ws];
    let rows = measure(bench, members, &kinds).await?;
    let each = |(peer, target)| [(Kind::UNSTORED, peer, target), (Kind::DURABLE, peer, target)];
    report(bench, rows, &peers.map(each).concat())
}

/// The rate is what counts where every server had its core to itself; what a second of its processor gave, always.
fn report(bench: &mut Bench<'_>, mut rows: Rows, held: &[(Kind, Kind, Target)]) -> Result<()> {
    for (kind, reference, target) in held {
        rows.rate = rows.rate.judge_ratio(kind.name(), reference.name(), *target);
        rows.efficiency = rows.efficiency.judge_ratio(kind.name(), reference.name(), *target);
        for one in [kind.name(), reference.name()] {
            let busy = rows.busy.median(one);
            if busy < SATURATED {
                let why = format!("{one} used {busy:.2} of its core: it was not saturated");
                rows.rate = rows.rate.void_last(why);
            }
        }
    }
    for kind in [Kind::UNSTORED, Kind::DURABLE] {
        rows.fairness = rows.fairness.judge(kind.name(), Target::at_most(5.0, 2.0));
        rows.lost = rows.lost.judge(kind.name(), Target::at_most(0.0, 0.0));
        rows.lacking = rows.lacking.judge(kind.name(), Target::at_most(0.0, 0.0));
    }
    let rates = [&rows.rate, &rows.efficiency, &rows.busy, &rows.load];
    for row in rates.into_iter().chain([&rows.own, &rows.fairness, &rows.lost, &rows.lacking]) {
        bench.report.row(row)?;
    }
    bench.fdatasync().map(drop)
}

async fn measure(bench: &mut Bench<'_>, members: usize, kinds: &[Kind]) -> Result<Rows> {
    let rooms = CONNECTIONS / members;
    let what = format!("deliveries at saturation, {rooms} rooms of {members}, {IN_FLIGHT} in flight a room");
    let mut rows = Rows {
        rate: bench.row(what, "a second"),
        own: bench.row("from a line to its own confirmation, p50", "us"),
        fairness: bench.row("the same, p99 / p50", "x"),
        lost: bench.row("deliveries that never came", "lines"),
        lacking: bench.row("lines that the history lacks", "lines"),
        busy: bench.row("the server's share of its core", "of 1"),
        load: bench.row("the load's share of its core", "of 1"),
        efficiency: bench.row("the same for each second of the server's processor time", "deliveries"),
    };
    for round in 0..bench.plan.rounds {
        for kind in kinds {
            let mut crowd = Crowd::new(bench.start(round, *kind)?);
            crowd.join(rooms, members).await?;
            let plan = bench.plan;
            let load = crowd.saturate(rooms * IN_FLIGHT, members, plan.warm_up, plan.measured);
            let mut gave = load.await.with_context(|| kind.name())?;
            let (name, p50) = (kind.name(), gave.own.percentile(0.5));
            rows.rate.add(name, gave.deliveries_per_second);
            rows.own.add(name, p50);
            rows.fairness.add(name, gave.own.percentile(0.99) / p50);
            rows.lost.add(name, gave.lost as f64);
            if let Some(lacking) = crowd.lacking().await? {
                rows.lacking.add(name, lacking as f64);
            }
            rows.busy.add(name, gave.busy);
            rows.load.add(name, gave.load_busy);
            rows.efficiency.add(name, gave.deliveries_per_second / gave.busy);
        }
    }
    Ok(rows)
}
