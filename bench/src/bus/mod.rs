//! What there is to measure of the bus: the backend in the process beside files and a database, the one on NATS beside plain
//! async-nats on the same server.
//!
//! Each scenario has its own rounds; in each the subjects are measured one after the other, in turns, so that what else the
//! machine does meets all of them.

mod embedded;
mod flying;
mod nats;

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use tidings_bus::{Check, Class, Registry, SlowReader, TemplateDef};

use crate::plan::Plan;
use crate::report::{Report, Row};

/// Bytes of a line, as in the edge's figures.
const LINE_BYTES: usize = 128;
/// Durable publishes in flight.
const IN_FLIGHT: usize = 256;
/// Requests in flight where the rate counts.
const ASKING: usize = 64;
/// Logs, audiences: what is published goes to each in turn.
const AUDIENCES: usize = 100;
/// Ours, in every figure.
const TIDINGS: &str = "tidings";

/// Something to measure.
#[derive(Debug, Clone, Copy)]
pub enum Scenario {
    /// In the process: publish to a subscriber, and requests.
    EmbeddedCore,
    /// In the process: durable publish beside files and redb.
    EmbeddedDurable,
    /// In the process: subjects, and followers.
    EmbeddedReading,
    /// On NATS: ephemeral publish on one connection.
    Publish,
    /// On NATS: publish to a subscriber.
    Subscribe,
    /// On NATS: requests, one at a time and 64 in flight.
    Request,
    /// On NATS: durable publish, 256 in flight and one at a time.
    Durable,
    /// On NATS: fenced commits of one and of five.
    Commit,
    /// On NATS: work, consumed and acknowledged.
    Work,
    /// On NATS: 1, 2 and 4 connections.
    Pool,
}

/// What `bench bus` measures, by name.
pub const BUS: [(&str, Scenario); 10] = [
    ("embedded-core", Scenario::EmbeddedCore),
    ("embedded-durable", Scenario::EmbeddedDurable),
    ("embedded-reading", Scenario::EmbeddedReading),
    ("nats-publish", Scenario::Publish),
    ("nats-subscribe", Scenario::Subscribe),
    ("nats-request", Scenario::Request),
    ("nats-durable", Scenario::Durable),
    ("nats-commit", Scenario::Commit),
    ("nats-work", Scenario::Work),
    ("nats-pool", Scenario::Pool),
];

/// How much a round measures.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Ephemeral messages, in the process; on NATS half of them.
    messages: usize,
    requests: usize,
    /// Durable publishes with many in flight.
    stored: usize,
    /// What is done one at a time and syncs or commits.
    single: usize,
    /// Messages of work.
    jobs: usize,
}

impl Size {
    fn of(plan: &Plan) -> Self {
        if plan.quick {
            Self { messages: 100_000, requests: 10_000, stored: 20_480, single: 200, jobs: 10_000 }
        } else {
            Self { messages: 2_000_000, requests: 200_000, stored: 204_800, single: 1_000, jobs: 100_000 }
        }
    }
}

/// One scenario being measured.
pub struct Bench<'a> {
    name: &'static str,
    plan: &'a Plan,
    report: &'a mut Report,
    size: Size,
}

impl<'a> Bench<'a> {
    /// Nothing measured yet.
    pub fn new(name: &'static str, plan: &'a Plan, report: &'a mut Report) -> Self {
        Self { name, plan, report, size: Size::of(plan) }
    }

    /// Measures.
    pub fn run(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::EmbeddedCore => embedded::core::run(self),
            Scenario::EmbeddedDurable => embedded::durable::run(self),
            Scenario::EmbeddedReading => embedded::reading::run(self),
            Scenario::Publish => nats::publish::run(self),
            Scenario::Subscribe => nats::subscribe::run(self),
            Scenario::Request => nats::request::run(self),
            Scenario::Durable => nats::durable::run(self),
            Scenario::Commit => nats::commit::run(self),
            Scenario::Work => nats::work::run(self),
            Scenario::Pool => nats::pool::run(self),
        }
    }

    fn row(&self, figure: impl Into<String>, unit: &'static str) -> Row {
        Row::new(self.name, figure, unit)
    }
}

fn is_line(payload: &[u8]) -> Result<(), String> {
    std::str::from_utf8(payload).map(drop).map_err(|error| error.to_string())
}

fn registry() -> Result<Arc<Registry>> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 64 * 1024,
        slow: SlowReader::Refuse,
        check: Some(Check::new(is_line)),
        wide: None,
    };
    let rows = vec![
        row("room.log", "room.{room:place}.log", Class::Durable),
        row("player.log", "player.{player:id}.log", Class::Durable),
        row("owner", "zone.{zone:slug}.owner", Class::Durable),
        row("hint", "room.{room:place}.hint", Class::Ephemeral),
        row("ask", "svc.{service:slug}.{version:slug}.{method:slug}", Class::Request),
        row("work", "work.{queue:slug}", Class::Work),
        row("dlq", "dlq.{queue:slug}", Class::Durable),
    ];
    Ok(Arc::new(Registry::new(Some("bench"), rows)?))
}

fn line() -> Bytes {
    Bytes::from(vec![b'x'; LINE_BYTES])
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}
