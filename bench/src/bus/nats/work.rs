//! Work: a queue that was filled before, consumed by one worker that acknowledges each message, until the server knows that the
//! last one is done.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tidings_bus::WorkConfig;
use tidings_test_support::NatsServer;

use super::{PLAIN, Side, call, check_stored, measure};
use crate::bus::{Bench, IN_FLIGHT, TIDINGS, flying, line};
use crate::report::Target;

/// Messages the reference pulls ahead; half of them again once half are there.
const PULL: usize = 256;
const STREAM: &str = "PLAINWORK";
const QUEUE: &str = "plain.work.mail";
const ACK: Bytes = Bytes::from_static(b"+ACK");

/// Measures both.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let count = bench.size.jobs;
    let mut row = bench.row("work, consumed with ack", "a second");
    for round in 0..bench.plan.rounds {
        for side in Side::turns(round) {
            let server = super::server()?;
            bench.plan.step(bench.name, round, side.name())?;
            let rate = match side {
                Side::Plain => measure(plain(&server, count))?,
                Side::Ours => measure(ours(&server, count))?,
            };
            row.add(side.name(), rate);
        }
    }
    bench.report.row(&row.judge_ratio(TIDINGS, PLAIN, Target::at_least(0.85, 1.0)))
}

async fn pull(client: &Client, inbox: &str, batch: usize) -> Result<()> {
    let question = json!({"batch": batch, "expires": 10_000_000_000_u64}).to_string();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.worker");
    Ok(client.publish_with_reply(subject, inbox.to_owned(), question.into()).await?)
}

async fn fill_plain(client: &Client, count: usize) -> Result<()> {
    let stream = json!({"name": STREAM, "subjects": [QUEUE], "retention": "workqueue", "storage": "file"});
    call(client, &format!("STREAM.CREATE.{STREAM}"), &stream).await?;
    let consumer = json!({"stream_name": STREAM, "config": {
        "durable_name": "worker", "name": "worker", "ack_policy": "explicit", "deliver_policy": "all",
        "ack_wait": 30_000_000_000_u64, "max_ack_pending": 10_000,
    }});
    call(client, &format!("CONSUMER.CREATE.{STREAM}.worker"), &consumer).await?;
    let line = line();
    let one = |_| async { check_stored(&client.request(QUEUE, line.clone()).await?) };
    flying::rate(IN_FLIGHT, count, one).await.map(drop)
}

async fn plain(server: &NatsServer, count: usize) -> Result<f64> {
    let client = super::plain(server).await?;
    fill_plain(&client, count).await?;
    let inbox = client.new_inbox();
    let mut jobs: Subscriber = client.subscribe(inbox.clone()).await?;
    let begun = Instant::now();
    pull(&client, &inbox, PULL).await?;
    let mut asked = PULL;
    for number in 1..=count {
        let job = jobs.next().await.context("the connection closed")?;
        ensure!(job.status.is_none(), "no work: {:?}", job.description);
        let reply = job.reply.context("work is to be acknowledged")?;
        asked -= 1;
        if asked <= PULL / 2 {
            pull(&client, &inbox, PULL / 2).await?;
            asked += PULL / 2;
        }
        if number < count {
            client.publish(reply, ACK).await?;
        } else {
            client.request(reply, ACK).await?;
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let left = call(&client, &format!("STREAM.INFO.{STREAM}"), &json!({})).await?;
    ensure!(left["state"]["messages"] == 0, "{} are left", left["state"]["messages"]);
    Ok(rate)
}

async fn ours(server: &NatsServer, count: usize) -> Result<f64> {
    let bus = super::ours(server).await?;
    let subject = |template| bus.registry().subject(template, &["mail"]);
    let work = bus.work(&subject("work")?, &subject("dlq")?, WorkConfig::default())?;
    let line = line();
    let one = |_| async {
        work.enqueue(line.clone(), Vec::new()).await?;
        Ok(())
    };
    flying::rate(IN_FLIGHT, count, one).await?;
    let begun = Instant::now();
    for _ in 1..count {
        work.next().await?.ack().await?;
    }
    work.next().await?.double_ack().await?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let left = work.depth().await?;
    ensure!(left == 0, "{left} are left");
    Ok(rate)
}
