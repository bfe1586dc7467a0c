//! What there is to measure of the edge, a file each. In each round every subject is started afresh, one after the other, so
//! that what else the machine does meets all of them.

mod accept;
mod fan_out;
mod latency;
mod memory;
mod on_nats;
mod restart;
mod resume;
mod say;
mod stuck;

use std::rc::Rc;

use anyhow::Result;

use crate::disk;
use crate::load::{Kind, Target};
use crate::plan::Plan;
use crate::report::{Report, Row};

/// Lines in flight in each room of a closed loop.
const IN_FLIGHT: usize = 16;
/// Connections of a load.
const CONNECTIONS: usize = 1000;

/// A load that woke later than this says more about the machine than about a server.
const LATE_MAX_MICROS: f64 = 5_000.0;

/// Something to measure.
#[derive(Debug, Clone, Copy)]
pub enum Scenario {
    /// Fan-out at saturation, in rooms of so many.
    FanOut(usize),
    /// The same beside the peers.
    Peers(usize),
    /// Latency at so many deliveries a second.
    Latency(u64),
    /// A line to everyone in a room of 10.
    Say,
    /// Memory of an idle connection.
    Memory,
    /// Accepting, signing in and joining, into so many rooms.
    Accept(usize),
    /// One who does not read.
    Stuck,
    /// Coming back to 100 missed events.
    Resume,
    /// Everybody coming back to a server that was killed.
    Restart,
    /// All of it on a NATS server.
    OnNats,
}

/// What `bench edge` measures, by name.
pub const EDGE: [(&str, Scenario); 14] = [
    ("fan-out-100", Scenario::FanOut(100)),
    ("fan-out-1000", Scenario::FanOut(1000)),
    ("fan-out-10", Scenario::FanOut(10)),
    ("latency-10k", Scenario::Latency(10_000)),
    ("latency-100k", Scenario::Latency(100_000)),
    ("say", Scenario::Say),
    ("memory", Scenario::Memory),
    ("accept-spread", Scenario::Accept(100)),
    ("accept-100", Scenario::Accept(10)),
    ("accept-one", Scenario::Accept(1)),
    ("stuck", Scenario::Stuck),
    ("resume", Scenario::Resume),
    ("restart", Scenario::Restart),
    ("on-nats", Scenario::OnNats),
];

/// What `bench peers` measures, by name.
pub const PEERS: [(&str, Scenario); 2] =
    [("peers-100", Scenario::Peers(100)), ("peers-1000", Scenario::Peers(1000))];

/// One scenario being measured.
pub struct Bench<'a> {
    /// Its name.
    pub name: &'static str,
    /// How much.
    pub plan: &'a Plan,
    /// Where figures go.
    pub report: &'a mut Report,
    /// The disk's fdatasync, a sample before each durable server.
    syncs: Row,
}

impl<'a> Bench<'a> {
    /// Nothing measured yet.
    pub fn new(name: &'static str, plan: &'a Plan, report: &'a mut Report) -> Self {
        let syncs = Row::new(name, "fdatasync where the data lies, each between the rounds", "us");
        Self { name, plan, report, syncs }
    }

    /// Measures.
    pub async fn run(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::FanOut(members) => fan_out::beside_references(self, members).await,
            Scenario::Peers(members) => fan_out::beside_peers(self, members).await,
            Scenario::Latency(rate) => latency::run(self, rate).await,
            Scenario::Say => say::run(self).await,
            Scenario::Memory => memory::run(self).await,
            Scenario::Accept(rooms) => accept::run(self, rooms).await,
            Scenario::Stuck => stuck::run(self).await,
            Scenario::Resume => resume::run(self).await,
            Scenario::Restart => restart::run(self).await,
            Scenario::OnNats => on_nats::run(self).await,
        }
    }

    fn row(&self, figure: impl Into<String>, unit: &'static str) -> Row {
        Row::new(self.name, figure, unit)
    }

    /// Starts a subject for a round; the disk is sampled just before one that stores.
    fn start(&mut self, round: usize, kind: Kind) -> Result<Rc<Target>> {
        self.start_as(round, kind, kind.name()).map(Rc::new)
    }

    fn start_as(&mut self, round: usize, kind: Kind, what: &str) -> Result<Target> {
        self.plan.step(self.name, round, what)?;
        let target = Target::start(kind, &self.plan.settings)?;
        if kind == Kind::DURABLE {
            for micros in disk::fdatasyncs(target.folder())? {
                self.syncs.add("fdatasync", micros);
            }
        }
        Ok(target)
    }

    /// The load's own lateness in an open loop: to be reported after the figures it is part of.
    fn lateness(&self) -> Row {
        self.row("how late the load itself woke, p99", "us")
    }

    /// Judgements of latency mean nothing where the load did not get its core.
    fn unless_late(row: Row, late: &Row, names: &[&str]) -> Row {
        let worst = names.iter().map(|name| late.median(name)).fold(0.0, f64::max);
        if worst <= LATE_MAX_MICROS {
            return row;
        }
        row.void(&format!("the load itself woke {:.1} ms late: the machine is busy", worst / 1e3))
    }

    /// The median fdatasync of this scenario's rounds in microseconds; prints its row.
    fn fdatasync(&mut self) -> Result<f64> {
        self.report.row(&self.syncs)?;
        Ok(self.syncs.median("fdatasync"))
    }
}
