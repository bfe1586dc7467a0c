//! Requests, answered by a queue group on a connection of its own: one at a time, and 64 in flight.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use tidings_bus::Pattern;
use tidings_test_support::NatsServer;

use super::{PLAIN, Side, measure};
use crate::bus::{ASKING, Bench, TIDINGS, flying, line};
use crate::report::Target;

const GROUP: &str = "g";
const DEADLINE: Duration = Duration::from_secs(5);

/// Measures both.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let count = bench.size.requests;
    let mut p50 = bench.row("request, p50 at 1 in flight", "us");
    let mut rate = bench.row("requests at 64 in flight", "a second");
    for round in 0..bench.plan.rounds {
        let server = super::server()?;
        for side in Side::turns(round) {
            bench.plan.step(bench.name, round, side.name())?;
            let (one, many) = match side {
                Side::Plain => measure(plain(&server, count))?,
                Side::Ours => measure(ours(&server, count))?,
            };
            p50.add(side.name(), one);
            rate.add(side.name(), many);
        }
    }
    bench.report.row(&p50.judge_ratio(TIDINGS, PLAIN, Target::at_most(1.1, 1.03)))?;
    bench.report.row(&rate.judge_ratio(TIDINGS, PLAIN, Target::at_least(0.9, 0.97)))
}

async fn plain(server: &NatsServer, count: usize) -> Result<(f64, f64)> {
    let (asker, answerer) = (super::plain(server).await?, super::plain(server).await?);
    let to = async_nats::Subject::from("plain.svc.account.v1.get");
    let mut questions = answerer.queue_subscribe(to.clone(), GROUP.to_owned()).await?;
    answerer.request("$JS.API.INFO", "".into()).await?;
    let serving = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let Some(reply) = question.reply else { continue };
            if answerer.publish(reply, question.payload).await.is_err() {
                break;
            }
        }
    });
    let line = line();
    let one = |_| async {
        asker.request(to.clone(), line.clone()).await?;
        Ok(())
    };
    let figures = (flying::one_by_one(count / 10, one).await?, flying::rate(ASKING, count, one).await?);
    serving.abort();
    Ok(figures)
}

async fn ours(server: &NatsServer, count: usize) -> Result<(f64, f64)> {
    let (asker, answerer) = (super::ours(server).await?, super::ours(server).await?);
    let to = asker.registry().subject("ask", &["account", "v1", "get"])?;
    let mut questions = answerer.queue_subscribe(&Pattern::from(&to), GROUP, 1_024).await?;
    let serving = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let payload = question.payload.clone();
            if question.respond(payload).is_err() {
                break;
            }
        }
    });
    let line = line();
    let one = |_| async {
        asker.request(&to, line.clone(), Vec::new(), DEADLINE).await?;
        Ok(())
    };
    let figures = (flying::one_by_one(count / 10, one).await?, flying::rate(ASKING, count, one).await?);
    serving.abort();
    Ok(figures)
}
