//! In the process: from a publisher to a subscriber, and requests.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidings_bus::{ErrorKind, Pattern};

use super::bus;
use crate::bus::{ASKING, Bench, flying, line, runtime};
use crate::report::Target;

/// Measures both, on one thread and on two.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let size = bench.size;
    let mut publish = bench.row("ephemeral publish to one subscriber", "a second");
    let mut p50 = bench.row("request, p50 at 1 in flight", "us");
    let mut rate = bench.row("requests at 64 in flight", "a second");
    for round in 0..bench.plan.rounds {
        bench.plan.step(bench.name, round, "publish and requests")?;
        publish.add("2 threads", ephemeral(2, true, size.messages)?);
        publish.add("1 thread", ephemeral(1, true, size.messages)?);
        publish.add("1 thread, unchecked", ephemeral(1, false, size.messages)?);
        for (threads, name) in [(1, "1 thread"), (2, "2 threads")] {
            let (one, many) = requests(threads, size.requests)?;
            p50.add(name, one);
            rate.add(name, many);
        }
    }
    bench.report.row(&publish.judge("2 threads", Target::at_least(2e6, 8e6)))?;
    let target = Target::at_most(20.0, 5.0);
    bench.report.row(&p50.judge("1 thread", target).judge("2 threads", target))?;
    bench.report.row(&rate)
}

/// Messages a second from one publisher to one subscriber.
fn ephemeral(threads: usize, checked: bool, count: usize) -> Result<f64> {
    runtime(threads)?.block_on(async {
        let bus = bus(None, checked)?;
        let to = bus.registry().subject("hint", &["zone_room"])?;
        let mut reader = bus.subscribe(&Pattern::from(&to), 8_192).await?;
        let begun = Instant::now();
        let publishing = tokio::spawn(async move {
            let line = line();
            for _ in 0..count {
                // Told that the reader is full, a publisher waits: nothing is lost, so what is read is what counts.
                while let Err(error) = bus.publish(&to, line.clone(), Vec::new()).await {
                    anyhow::ensure!(error.kind() == ErrorKind::Overloaded, error);
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        });
        for _ in 0..count {
            reader.next().await.context("the bus closed")?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        publishing.await??;
        Ok(count as f64 / seconds)
    })
}

/// Median microseconds of a request at one in flight, and requests a second at 64.
fn requests(threads: usize, count: usize) -> Result<(f64, f64)> {
    runtime(threads)?.block_on(async {
        let bus = bus(None, true)?;
        let ask = bus.registry().subject("ask", &["account", "v1", "get"])?;
        let mut server = bus.queue_subscribe(&Pattern::from(&ask), "g", 1_024).await?;
        let serving = tokio::spawn(async move {
            while let Some(message) = server.next().await {
                let payload = message.payload.clone();
                if message.respond(payload).is_err() {
                    break;
                }
            }
        });
        let line = line();
        let one = |_| async {
            bus.request(&ask, line.clone(), Vec::new(), Duration::from_secs(5)).await?;
            Ok(())
        };
        let p50 = flying::one_by_one(count, one).await?;
        let rate = flying::rate(ASKING, count, one).await?;
        serving.abort();
        Ok((p50, rate))
    })
}
