//! Durable publish, stored once whatever is repeated: with a de-duplication id on both sides, 256 in flight and one at a time.
//!
//! The reference has a stream as anybody would make one, which nobody can follow: beside it stands ours without copies for
//! followers. Ours as it comes makes those copies; a second row of the reference stores into that stream, with the same
//! headers: what is between its two rows is the price of the stream (copies, a time limit for each message), what is
//! between the second and ours is the price of our code.

use anyhow::Result;
use tidings_bus::{NatsConfig, Retention, Subject};
use tidings_test_support::NatsServer;

use super::{PLAIN, Side, check_stored, headers, make_stream, measure};
use crate::bus::{AUDIENCES, Bench, IN_FLIGHT, TIDINGS, flying, line};
use crate::report::Target;

const PLAIN_OURS: &str = "async-nats, our stream";
const UNFOLLOWED: &str = "tidings, logs not followed";
/// The stream that anybody would make, and what is in it.
const STREAM: &str = "PLAIN";
const IN_STREAM: &str = "plain.room.*.log";
/// The time limit that ours gives a message, unless told otherwise.
const TTL: &str = "900s";

/// Where the reference stores.
#[derive(Clone, Copy)]
enum Where {
    Own,
    Ours,
}

/// Measures both, and the reference into our stream.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (count, single) = (bench.size.stored, bench.size.single * 5);
    let mut rate = bench.row("durable publish, 256 in flight, with an id", "a second");
    let mut p50 = bench.row("durable publish, p50 at 1 in flight", "us");
    for round in 0..bench.plan.rounds {
        for side in Side::turns(round) {
            // Each has a server of its own, whose disk is as empty.
            let server = super::server()?;
            bench.plan.step(bench.name, round, side.name())?;
            let mut add = |name: &str, (many, one): (f64, f64)| {
                rate.add(name, many);
                p50.add(name, one);
            };
            match side {
                Side::Plain => {
                    add(PLAIN, measure(plain(&server, Where::Own, count, single))?);
                    measure(make_ours(&server))?;
                    add(PLAIN_OURS, measure(plain(&server, Where::Ours, count, single))?);
                }
                Side::Ours => {
                    // Kept for good, as the reference keeps it.
                    let retention = Retention::UNTIL_TRIMMED;
                    let unfollowed = NatsConfig { follow: false, retention, ..NatsConfig::default() };
                    add(UNFOLLOWED, measure(ours(unfollowed, &server, count, single))?);
                    drop(server);
                    add(TIDINGS, measure(ours(NatsConfig::default(), &super::server()?, count, single))?);
                }
            }
        }
    }
    let (many, one) = (Target::at_least(0.9, 1.0), Target::at_most(1.1, 1.03));
    for (ours, theirs) in [(UNFOLLOWED, PLAIN), (TIDINGS, PLAIN), (TIDINGS, PLAIN_OURS)] {
        rate = rate.judge_ratio(ours, theirs, many);
        p50 = p50.judge_ratio(ours, theirs, one);
    }
    bench.report.row(&rate)?;
    bench.report.row(&p50)
}

/// Has our streams made, and goes.
async fn make_ours(server: &NatsServer) -> Result<()> {
    super::ours(server).await?.drain(std::time::Duration::from_secs(1)).await;
    Ok(())
}

async fn plain(server: &NatsServer, into: Where, count: usize, single: usize) -> Result<(f64, f64)> {
    let client = super::plain(server).await?;
    let prefix = match into {
        Where::Own => {
            make_stream(&client, STREAM, IN_STREAM).await?;
            "plain"
        }
        Where::Ours => "bench",
    };
    let subject = |room| async_nats::Subject::from(format!("{prefix}.room.zone_r{room}.log"));
    let subjects: Vec<_> = (0..AUDIENCES).map(subject).collect();
    let line = line();
    let store = |id: String, number: usize| {
        let map = match into {
            Where::Own => headers(&[("Nats-Msg-Id", &id)]),
            Where::Ours => headers(&[("Nats-Msg-Id", &id), ("Nats-TTL", TTL)]),
        };
        let to = subjects[number % AUDIENCES].clone();
        let storing = client.request_with_headers(to, map, line.clone());
        async { check_stored(&storing.await?) }
    };
    let rate = flying::rate(IN_FLIGHT, count, |number| store(format!("m{number:015}"), number)).await?;
    let p50 = flying::one_by_one(single, |number| store(format!("s{number:015}"), number)).await?;
    Ok((rate, p50))
}

async fn ours(config: NatsConfig, server: &NatsServer, count: usize, single: usize) -> Result<(f64, f64)> {
    let bus = super::ours_as(config, server).await?;
    let log = |room| Ok(bus.registry().subject("room.log", &[&format!("zone_r{room}")])?);
    let (logs, line): (Vec<Subject>, _) = ((0..AUDIENCES).map(log).collect::<Result<_>>()?, line());
    let one = |number: usize| {
        let appending = bus.append(&logs[number % AUDIENCES], line.clone());
        async { appending.await.map(|_| ()).map_err(Into::into) }
    };
    Ok((flying::rate(IN_FLIGHT, count, one).await?, flying::one_by_one(single, one).await?))
}
