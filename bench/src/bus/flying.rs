//! How calls are loaded, ours and the reference's alike: so many in flight, or one after the other.

use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::stats::median;

/// Calls a second with so many in flight; each is told its number.
pub async fn rate<F: Future<Output = Result<()>>>(
    in_flight: usize,
    count: usize,
    one: impl Fn(usize) -> F,
) -> Result<f64> {
    let begun = Instant::now();
    let mut flying: FuturesUnordered<_> = (0..in_flight.min(count)).map(&one).collect();
    for number in 0..count {
        flying.next().await.context("one is in flight")??;
        if number + in_flight < count {
            flying.push(one(number + in_flight));
        }
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// The median of one call after the other, in microseconds.
pub async fn one_by_one<F: Future<Output = Result<()>>>(
    count: usize,
    one: impl Fn(usize) -> F,
) -> Result<f64> {
    let mut micros = Vec::with_capacity(count);
    for number in 0..count {
        let begun = Instant::now();
        one(number).await?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&micros))
}
