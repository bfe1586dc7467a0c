//! Accepting, signing in by ticket and joining, a second: people who were in the world before, each back where they left.
//!
//! Accounts, and where each stands, are made beforehand; tickets just before the clock starts. An entry ends with the
//! first state. Everybody who is in is read from then on.

use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidings_client::SignedIn;

use super::{Bench, CONNECTIONS};
use crate::load::{Crowd, Kind, Target as Server, member, world};
use crate::report::Target;
use crate::stats::Latencies;

/// Sockets that are being opened, signed in and joined at a time.
const ENTERING: usize = 256;
/// The same while people are prepared.
const PREPARING: usize = 32;

/// Into so many rooms.
pub async fn run(bench: &mut Bench<'_>, rooms: usize) -> Result<()> {
    let figure = format!(
        "{CONNECTIONS} accepted, signed in by ticket, joined, {rooms} rooms, {ENTERING} sockets in flight"
    );
    let mut row = bench.row(figure, "a second");
    let mut p99 = bench.row("from connecting to the first state, p99", "us");
    let mut cost = bench.row("the server's processor time, each", "us");
    for round in 0..bench.plan.rounds {
        let target = bench.start(round, Kind::DURABLE)?;
        let tickets = prepare(&target, rooms).await?;
        let mut crowd = Crowd::new(target.clone());
        let (begun, cpu) = (Instant::now(), target.process.cpu()?);
        let mut latencies = Latencies::default();
        let entering = tickets.iter().map(|(session, ticket)| async {
            let begun = Instant::now();
            let entered = member::enter_by_ticket(target.process.address, session, ticket).await?;
            Ok::<_, anyhow::Error>((entered, begun.elapsed()))
        });
        let mut entering = stream::iter(entering).buffer_unordered(ENTERING);
        while let Some((connection, took)) = entering.try_next().await? {
            latencies.record(took.as_micros() as u64);
            crowd.add(connection);
        }
        row.add(Kind::DURABLE.name(), crowd.len() as f64 / begun.elapsed().as_secs_f64());
        p99.add(Kind::DURABLE.name(), latencies.percentile(0.99));
        let spent = target.process.cpu()?.saturating_sub(cpu).as_micros() as f64;
        cost.add(Kind::DURABLE.name(), spent / crowd.len() as f64);
    }
    let row = row.judge(Kind::DURABLE.name(), Target::at_least(5_000.0, 15_000.0));
    bench.report.row(&row)?;
    bench.report.row(&p99)?;
    bench.report.row(&cost)?;
    bench.fdatasync().map(drop)
}

/// Guests who have walked to their rooms and left the world, each with a ticket back.
async fn prepare(target: &Server, rooms: usize) -> Result<Vec<(SignedIn, String)>> {
    let placed = (0..CONNECTIONS).map(|number| async move {
        let session = target.guest().await?;
        if rooms > 1 {
            let connection = member::enter_by_token(target.process.address, &session).await?;
            member::walk(&connection, &world::way(number % rooms, rooms)).await?;
            member::leave(&connection).await.context("leaving")?;
        }
        Ok::<_, anyhow::Error>(session)
    });
    let sessions: Vec<SignedIn> = stream::iter(placed).buffered(PREPARING).try_collect().await?;
    let tickets = sessions.into_iter().map(|session| async move {
        let ticket = target.ticket(&session).await?;
        Ok::<_, anyhow::Error>((session, ticket))
    });
    stream::iter(tickets).buffered(PREPARING).try_collect().await
}
