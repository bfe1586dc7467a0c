//! Ephemeral publish on one connection, nobody listening: until the server has all of it.

use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use tidings_bus::Pattern;
use tidings_test_support::NatsServer;

use super::{PLAIN, Side, measure};
use crate::bus::{Bench, TIDINGS, line};
use crate::report::Target;

/// The last message: what was sent before it on its connection has arrived before it.
const END: Bytes = Bytes::from_static(b"end");

/// Measures both.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let count = bench.size.messages / 2;
    let mut row = bench.row("ephemeral publish, one connection", "a second");
    for round in 0..bench.plan.rounds {
        let server = super::server()?;
        for side in Side::turns(round) {
            bench.plan.step(bench.name, round, side.name())?;
            let rate = match side {
                Side::Plain => measure(plain(&server, count))?,
                Side::Ours => measure(ours(&server, count))?,
            };
            row.add(side.name(), rate);
        }
    }
    bench.report.row(&row.judge_ratio(TIDINGS, PLAIN, Target::at_least(0.8, 0.95)))
}

async fn plain(server: &NatsServer, count: usize) -> Result<f64> {
    let client = super::plain(server).await?;
    let (to, line) = (async_nats::Subject::from("plain.room.zone_room.hint"), line());
    let begun = Instant::now();
    for _ in 0..count {
        client.publish(to.clone(), line.clone()).await?;
    }
    let mut heard = client.subscribe(to.clone()).await?;
    client.publish(to, END).await?;
    while heard.next().await.context("the connection closed")?.payload != END {}
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

async fn ours(server: &NatsServer, count: usize) -> Result<f64> {
    let bus = super::ours(server).await?;
    let (to, line) = (bus.registry().subject("hint", &["zone_room"])?, line());
    let begun = Instant::now();
    for _ in 0..count {
        bus.publish(&to, line.clone(), Vec::new()).await?;
    }
    let mut heard = bus.subscribe(&Pattern::from(&to), 8_192).await?;
    bus.publish(&to, END, Vec::new()).await?;
    while heard.next().await.context("the bus closed")?.payload != END {}
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
