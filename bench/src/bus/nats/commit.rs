//! Fenced commits: one message, a fenced publish; five, a fenced atomic batch. One at a time, and several owners side by side.
//!
//! The reference does by hand what its library has no call for: the headers of a fence, and those of a batch.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use bytes::Bytes;
use tidings_bus::{Append, Fence, Subject};
use tidings_test_support::NatsServer;

use super::{Side, check_stored, headers, make_stream, measure};
use crate::bus::{Bench, flying, line};

/// Owners side by side, each with one commit under way: fewer than the batches that a process opens at once.
const OWNERS: usize = 8;
const STREAM: &str = "PLAIN";
const IN_STREAM: &str = "plain.>";

/// What one side came to, for commits of one size.
struct Figures {
    p50: f64,
    rate: f64,
}

/// Measures both, commits of one and of five.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for (size, count, what) in
        [(1, bench.size.single * 5, "one message"), (5, bench.size.single, "five messages")]
    {
        let mut p50 = bench.row(format!("fenced commit of {what}, p50 at 1 in flight"), "us");
        let mut rate =
            bench.row(format!("fenced commits of {what}, {OWNERS} owners side by side"), "a second");
        for round in 0..bench.plan.rounds {
            for side in Side::turns(round) {
                let server = super::server()?;
                bench.plan.step(bench.name, round, side.name())?;
                let figures = match side {
                    Side::Plain => measure(plain(&server, size, count))?,
                    Side::Ours => measure(ours(&server, size, count))?,
                };
                p50.add(side.name(), figures.p50);
                rate.add(side.name(), figures.rate);
            }
        }
        bench.report.row(&p50)?;
        bench.report.row(&rate)?;
    }
    Ok(())
}

/// An owner's turn: in a closed loop of so many owners each call's owner is free, since calls end in any order and each
/// takes the owner that the one before it gave back.
struct Owners(parking_lot::Mutex<Vec<usize>>);

impl Owners {
    fn new() -> Self {
        Self(parking_lot::Mutex::new((0..OWNERS).collect()))
    }

    fn take(&self) -> usize {
        self.0.lock().pop().expect("as many calls are under way as there are owners")
    }

    fn give(&self, owner: usize) {
        self.0.lock().push(owner);
    }
}

async fn plain(server: &NatsServer, size: usize, count: usize) -> Result<Figures> {
    let client = super::plain(server).await?;
    make_stream(&client, STREAM, IN_STREAM).await?;
    let mut fences = Vec::new();
    for owner in 0..OWNERS {
        let record = format!("plain.zone.z{owner}.owner");
        let answer = client.request(record.clone(), Bytes::from_static(b"me")).await?;
        check_stored(&answer)?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
        fences.push((record, answer["seq"].to_string()));
    }
    let (owners, ids, line) = (Owners::new(), AtomicUsize::new(0), line());
    let one = |_| async {
        let owner = owners.take();
        let (record, seq) = &fences[owner];
        let id = format!("c{:015}", ids.fetch_add(1, Ordering::Relaxed));
        let room = async_nats::Subject::from(format!("plain.room.zone_r{owner}.log"));
        for place in 1..=size {
            let number = place.to_string();
            let mut pairs = Vec::with_capacity(6);
            if place == 1 {
                pairs.push(("Nats-Msg-Id", id.as_str()));
                pairs.push(("Nats-Expected-Last-Subject-Sequence", seq));
                pairs.push(("Nats-Expected-Last-Subject-Sequence-Subject", record));
            }
            if size > 1 {
                pairs.push(("Nats-Batch-Id", &id));
                pairs.push(("Nats-Batch-Sequence", &number));
            }
            if place < size {
                client.publish_with_headers(room.clone(), headers(&pairs), line.clone()).await?;
                continue;
            }
            if size > 1 {
                pairs.push(("Nats-Batch-Commit", "1"));
            }
            check_stored(&client.request_with_headers(room.clone(), headers(&pairs), line.clone()).await?)?;
        }
        owners.give(owner);
        Ok(())
    };
    Ok(Figures {
        p50: flying::one_by_one(count, one).await?,
        rate: flying::rate(OWNERS, count * 4, one).await?,
    })
}

async fn ours(server: &NatsServer, size: usize, count: usize) -> Result<Figures> {
    let bus = super::ours(server).await?;
    let subject = |template, parameter: String| bus.registry().subject(template, &[&parameter]);
    let mut zones: Vec<(Subject, Fence)> = Vec::new();
    for owner in 0..OWNERS {
        let record = subject("owner", format!("z{owner}"))?;
        let seq = bus.append(&record, Bytes::from_static(b"me")).await?;
        zones.push((subject("room.log", format!("zone_r{owner}"))?, Fence { subject: record, seq }));
    }
    let (owners, line) = (Owners::new(), line());
    let one = |_| async {
        let owner = owners.take();
        let (room, fence) = &zones[owner];
        let append = || Append { subject: room.clone(), payload: line.clone() };
        bus.commit((0..size).map(|_| append()).collect(), vec![fence.clone()]).await?;
        owners.give(owner);
        Ok(())
    };
    Ok(Figures {
        p50: flying::one_by_one(count, one).await?,
        rate: flying::rate(OWNERS, count * 4, one).await?,
    })
}
