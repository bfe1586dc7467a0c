//! From a publisher to a subscriber, each with a connection of its own. So much is on the way at most that nothing is
//! dropped: what is read is what counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use tidings_bus::Pattern;
use tidings_test_support::NatsServer;

use super::{PLAIN, Side, measure};
use crate::bus::{Bench, TIDINGS, line};
use crate::report::Target;

/// Messages on the way at most.
const WINDOW: usize = 16_384;
/// How often a publisher looks how far the reader is.
const LOOK_EVERY: usize = 256;

/// How far the reader is, for the publisher.
#[derive(Debug, Clone, Default)]
struct Window(Arc<AtomicUsize>);

impl Window {
    /// Waits until message `number` may be sent.
    async fn room(&self, number: usize) {
        while number.is_multiple_of(LOOK_EVERY) && number >= self.0.load(Ordering::Acquire) + WINDOW {
            tokio::task::yield_now().await;
        }
    }

    fn read(&self, number: usize) {
        self.0.store(number + 1, Ordering::Release);
    }
}

/// So long nothing comes only where something was lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Measures both.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let count = bench.size.messages / 2;
    let mut row = bench.row("publish to a subscriber", "a second");
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
    bench.report.row(&row.judge_ratio(TIDINGS, PLAIN, Target::at_least(0.85, 0.95)))
}

/// What is read next; an error where nothing comes: a figure of a load that lost something would say nothing.
async fn heard_one<T>(next: impl Future<Output = T>, number: usize, count: usize) -> Result<T> {
    if !number.is_multiple_of(LOOK_EVERY) && number + LOOK_EVERY < count {
        return Ok(next.await);
    }
    let heard = tokio::time::timeout(SILENCE, next).await;
    heard.with_context(|| format!("nothing came for {SILENCE:?} after {number} of {count}"))
}

async fn plain(server: &NatsServer, count: usize) -> Result<f64> {
    let (sender, reader) = (super::plain(server).await?, super::plain(server).await?);
    let (to, window) = (async_nats::Subject::from("plain.room.zone_room.hint"), Window::default());
    let mut heard = reader.subscribe(to.clone()).await?;
    // In force once the server has answered on the same connection.
    reader.request("$JS.API.INFO", "".into()).await?;
    let (line, sending) = (line(), window.clone());
    let begun = Instant::now();
    let publishing = tokio::spawn(async move {
        for number in 0..count {
            sending.room(number).await;
            sender.publish(to.clone(), line.clone()).await?;
        }
        // Kept until all is read: a client that is dropped sends no more, not even what it was given.
        anyhow::Ok(sender)
    });
    for number in 0..count {
        heard_one(heard.next(), number, count).await?.context("the connection closed")?;
        window.read(number);
    }
    let seconds = begun.elapsed().as_secs_f64();
    publishing.await??;
    Ok(count as f64 / seconds)
}

async fn ours(server: &NatsServer, count: usize) -> Result<f64> {
    let (sender, reader) = (super::ours(server).await?, super::ours(server).await?);
    let (to, window) = (sender.registry().subject("hint", &["zone_room"])?, Window::default());
    let mut heard = reader.subscribe(&Pattern::from(&to), 2 * WINDOW).await?;
    let (line, sending) = (line(), window.clone());
    let begun = Instant::now();
    let publishing = tokio::spawn(async move {
        for number in 0..count {
            sending.room(number).await;
            sender.publish(&to, line.clone(), Vec::new()).await?;
        }
        // Kept until all is read: a client that is dropped sends no more, not even what it was given.
        anyhow::Ok(sender)
    });
    for number in 0..count {
        heard_one(heard.next(), number, count).await?.context("the bus closed")?;
        window.read(number);
    }
    let seconds = begun.elapsed().as_secs_f64();
    publishing.await??;
    Ok(count as f64 / seconds)
}
