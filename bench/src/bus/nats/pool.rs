//! What a pool is worth: the same loads over 1, 2 and 4 connections. The default size follows these figures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use tidings_bus::{Bus, Nats, NatsConfig, Pattern, Subject};
use tidings_test_support::NatsServer;

use super::measure;
use crate::bus::{ASKING, AUDIENCES, Bench, IN_FLIGHT, flying, line, registry};

const SIZES: [(usize, &str); 3] = [(1, "1 connection"), (2, "2 connections"), (4, "4 connections")];
/// Who publishes side by side, each on audiences of its own.
const PUBLISHERS: usize = 4;
/// The last message of an audience.
const END: Bytes = Bytes::from_static(b"end");
const DEADLINE: Duration = Duration::from_secs(5);

/// Measures each size.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let size = bench.size;
    let mut publish = bench.row("ephemeral publish, 100 audiences, 4 publishers", "a second");
    let mut ask = bench.row("requests at 64 in flight, 100 subjects", "a second");
    let mut store = bench.row("durable publish, 256 in flight", "a second");
    for round in 0..bench.plan.rounds {
        for turn in 0..SIZES.len() {
            let (pool, name) = SIZES[(turn + round) % SIZES.len()];
            bench.plan.step(bench.name, round, name)?;
            let server = super::server()?;
            publish.add(name, measure(publishing(&server, pool, size.messages / 2))?);
            ask.add(name, measure(asking(&server, pool, size.requests))?);
            store.add(name, measure(storing(&server, pool, size.stored))?);
        }
    }
    bench.report.row(&publish)?;
    bench.report.row(&ask)?;
    bench.report.row(&store)
}

async fn connect(server: &NatsServer, pool: usize) -> Result<Bus> {
    let registry = registry()?;
    let config = NatsConfig { pool, ..NatsConfig::default().server(server.url()) };
    Ok(Bus::new(Nats::connect(config, registry.clone()).await?, registry))
}

fn subjects(bus: &Bus, template: &str) -> Result<Vec<Subject>> {
    let subject = |number| match template {
        "ask" => bus.registry().subject("ask", &["account", "v1", &format!("m{number}")]),
        _ => bus.registry().subject(template, &[&format!("zone_r{number}")]),
    };
    (0..AUDIENCES).map(|number| Ok(subject(number)?)).collect()
}

/// Until the server has all of it: the last message of each audience went by its connection after all others.
async fn publishing(server: &NatsServer, pool: usize, count: usize) -> Result<f64> {
    let bus = connect(server, pool).await?;
    let (audiences, line) = (subjects(&bus, "hint")?, line());
    let begun = Instant::now();
    let publishers = audiences.chunks(AUDIENCES / PUBLISHERS).map(|own| {
        let (bus, own, line) = (bus.clone(), own.to_vec(), line.clone());
        tokio::spawn(async move {
            for number in 0..count / PUBLISHERS {
                bus.publish(&own[number % own.len()], line.clone(), Vec::new()).await?;
            }
            for audience in &own {
                let mut heard = bus.subscribe(&Pattern::from(audience), 8_192).await?;
                bus.publish(audience, END, Vec::new()).await?;
                while heard.next().await.context("the bus closed")?.payload != END {}
            }
            anyhow::Ok(())
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await??;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

async fn asking(server: &NatsServer, pool: usize, count: usize) -> Result<f64> {
    let (asker, answerer) = (connect(server, pool).await?, connect(server, pool).await?);
    let (questions, line) = (subjects(&asker, "ask")?, line());
    let mut serving = Vec::new();
    for question in &questions {
        let mut asked = answerer.queue_subscribe(&Pattern::from(question), "g", 1_024).await?;
        serving.push(tokio::spawn(async move {
            while let Some(message) = asked.next().await {
                let payload = message.payload.clone();
                if message.respond(payload).is_err() {
                    break;
                }
            }
        }));
    }
    let one = |number: usize| {
        let asked = asker.request(&questions[number % AUDIENCES], line.clone(), Vec::new(), DEADLINE);
        async { asked.await.map(drop).map_err(Into::into) }
    };
    let rate = flying::rate(ASKING, count, one).await;
    serving.iter().for_each(tokio::task::JoinHandle::abort);
    rate
}

async fn storing(server: &NatsServer, pool: usize, count: usize) -> Result<f64> {
    let bus = connect(server, pool).await?;
    let (logs, line) = (subjects(&bus, "room.log")?, line());
    let one = |number: usize| {
        let appending = bus.append(&logs[number % AUDIENCES], line.clone());
        async { appending.await.map(|_| ()).map_err(Into::into) }
    };
    flying::rate(IN_FLIGHT, count, one).await
}
