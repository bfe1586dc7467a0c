//! `cargo xtask bench edge`: fan-out, latency, memory and accepting, beside the references, in one run.
//!
//! The server is pinned to one core, the load to the other. Rounds are interleaved; medians are quoted.
#![allow(clippy::print_stdout)]

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tidings_bench::load::run::{open_loop, saturate};
use tidings_bench::load::target::LOAD_CORE;
use tidings_bench::load::{Kind, Target};
use tidings_bench::process::pin_to;
use tidings_bench::stats::median;

/// Lines in flight in each room of a closed loop.
const IN_FLIGHT: usize = 16;
/// Connections of a load.
const CONNECTIONS: usize = 1000;

/// Measures the edge beside the references.
#[derive(Parser)]
struct Args {
    /// Fewer and shorter rounds: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Settings for Tidings, `key=value`.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// Only rows whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
}

struct Plan {
    rounds: usize,
    warm_up: Duration,
    measured: Duration,
    settings: Vec<String>,
    only: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    pin_to(LOAD_CORE)?;
    let seconds = |long: u64, short: u64| Duration::from_millis(if args.quick { short } else { long });
    let plan = Plan {
        rounds: if args.quick { 1 } else { 3 },
        warm_up: seconds(1000, 300),
        measured: seconds(4000, 700),
        settings: args.settings,
        only: args.only,
    };
    println!("{:<44} {:>14} {:>14} {:>14} {:>8}", "figure", "tidings", "bare", "limit", "x bare");
    for (rooms, members) in [(10, 100), (1, 1000), (100, 10)] {
        plan.fan_out(rooms, members).await?;
    }
    for rate in [10_000, 100_000] {
        plan.latency(rate).await?;
    }
    plan.memory().await?;
    plan.accept().await?;
    Ok(())
}

fn row(name: &str, figures: [f64; 3]) {
    let [tidings, bare, limit] = figures;
    println!("{name:<44} {tidings:>14.1} {bare:>14.1} {limit:>14.1} {:>8.2}", tidings / bare);
}

impl Plan {
    const KINDS: [Kind; 3] = [Kind::Tidings, Kind::Bare, Kind::Limit];

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    fn start(&self, kind: Kind) -> Result<Rc<Target>> {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        Ok(Rc::new(Target::start(kind, &settings)?))
    }

    async fn fan_out(&self, rooms: usize, members: usize) -> Result<()> {
        let name = format!("deliveries/s, {rooms} rooms of {members}");
        if !self.wants(&name) {
            return Ok(());
        }
        let (mut rates, mut fairness, mut medians) =
            ([vec![], vec![], vec![]], [vec![], vec![], vec![]], [vec![], vec![], vec![]]);
        for _ in 0..self.rounds {
            for (i, kind) in Self::KINDS.into_iter().enumerate() {
                let target = self.start(kind)?;
                let connections = target.join(rooms, members).await.with_context(|| kind.name())?;
                let mut result = saturate(
                    &target,
                    &connections,
                    rooms * IN_FLIGHT.min(members),
                    self.warm_up,
                    self.measured,
                )
                .await
                .with_context(|| kind.name())?;
                rates[i].push(result.deliveries_per_second);
                let p50 = result.own.percentile(0.5);
                fairness[i].push(result.own.percentile(0.99) / p50);
                medians[i].push(p50);
            }
        }
        row(&name, rates.map(|figures| median(&figures)));
        row("  a speaker's own line, p50, us", medians.map(|figures| median(&figures)));
        row("  fairness, p99 / p50", fairness.map(|figures| median(&figures)));
        Ok(())
    }

    async fn latency(&self, rate: u64) -> Result<()> {
        let name = format!("latency at {rate} deliveries/s, rooms of 100");
        if !self.wants(&name) {
            return Ok(());
        }
        let mut figures = [[vec![], vec![], vec![]], [vec![], vec![], vec![]], [vec![], vec![], vec![]]];
        for _ in 0..self.rounds {
            for (i, kind) in Self::KINDS.into_iter().enumerate() {
                let target = self.start(kind)?;
                let connections = target.join(CONNECTIONS / 100, 100).await.with_context(|| kind.name())?;
                let mut result = open_loop(&target, &connections, 100, rate, self.warm_up, self.measured)
                    .await
                    .with_context(|| kind.name())?;
                figures[0][i].push(result.latencies.percentile(0.5));
                figures[1][i].push(result.latencies.percentile(0.99));
                figures[2][i].push(result.cpu_micros_per_delivery);
            }
        }
        println!("{name}");
        let [p50, p99, cpu] = figures;
        row("  p50, us", p50.map(|f| median(&f)));
        row("  p99, us", p99.map(|f| median(&f)));
        row("  CPU a delivery, us", cpu.map(|f| median(&f)));
        Ok(())
    }

    async fn memory(&self) -> Result<()> {
        let name = "memory a joined idle connection, bytes";
        if !self.wants(name) {
            return Ok(());
        }
        let mut figures = [vec![], vec![], vec![]];
        for _ in 0..self.rounds {
            for (i, kind) in Self::KINDS.into_iter().enumerate() {
                let target = self.start(kind)?;
                // The first hundred pay for what is there once.
                let _first = target.join(10, 10).await?;
                let before = target.process.memory()?;
                let _rest = target.join(10, CONNECTIONS / 10).await?;
                tokio::time::sleep(self.warm_up).await;
                let more = target.process.memory()?.saturating_sub(before);
                figures[i].push(more as f64 / CONNECTIONS as f64);
            }
        }
        row(name, figures.map(|f| median(&f)));
        Ok(())
    }

    async fn accept(&self) -> Result<()> {
        let name = "accept, sign in by ticket, join, a second";
        if !self.wants(name) {
            return Ok(());
        }
        let mut rates = Vec::new();
        for _ in 0..self.rounds {
            let target = self.start(Kind::Tidings)?;
            let mut tickets = Vec::new();
            for _ in 0..CONNECTIONS {
                tickets.push(target.ticket().await?);
            }
            let begun = Instant::now();
            let entering = tickets.iter().map(|(session, ticket)| target.enter(session, ticket));
            let connections = futures_util::future::try_join_all(entering).await?;
            rates.push(connections.len() as f64 / begun.elapsed().as_secs_f64());
        }
        row(name, [median(&rates), f64::NAN, f64::NAN]);
        Ok(())
    }
}
