//! Connections in rooms that are always read, and the two loads on them: closed loop (so many lines in flight a room) and
//! open loop (so many deliveries a second).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use super::frames;
use super::room::Connection;
use super::target::{Heard, Target};
use crate::process::own_cpu;
use crate::stats::Latencies;

/// Length of a line that is said, in bytes.
pub const LINE_BYTES: usize = 128;
/// Marks the time within a line.
const MARK: &[u8] = b"~t";
/// Connections that join at a time.
const JOINING: usize = 32;
/// After joining: what that set off has arrived before a load begins.
const SETTLE: Duration = Duration::from_millis(300);
/// How often the history is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long what is in flight may take to arrive after a load.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How often an open loop looks what is due.
const BEAT: Duration = Duration::from_millis(1);
/// A prime: consecutive lines come from connections far apart, so from different rooms.
const SPREAD: usize = 7919;

/// What a closed loop gave.
#[derive(Debug)]
pub struct Saturation {
    /// Frames with a line received, a second.
    pub deliveries_per_second: f64,
    /// From sending a line to its own confirmation.
    pub own: Latencies,
    /// Deliveries that never came.
    pub lost: u64,
    /// The share of its core that the server used.
    pub busy: f64,
    /// The share of its core that this load used.
    pub load_busy: f64,
}

/// What an open loop gave.
#[derive(Debug)]
pub struct OpenLoop {
    /// From sending a line to each of its deliveries.
    pub latencies: Latencies,
    /// Deliveries a second that really came.
    pub deliveries_per_second: f64,
    /// The server's processor time a delivery, in microseconds.
    pub cpu_micros_per_delivery: f64,
    /// How late the load itself woke, at its 99th percentile, in microseconds: what the machine adds to every figure.
    pub late_micros: f64,
}

/// Connections that are read for as long as this lives. Lives within a `LocalSet`.
pub struct Crowd {
    /// Whom they are connected to.
    pub target: Rc<Target>,
    members: Vec<Rc<Connection>>,
    shared: Rc<Shared>,
    readers: JoinSet<Result<()>>,
}

struct Shared {
    begun: Instant,
    /// Lines heard while measured, and at all.
    lines: Cell<u64>,
    heard: Cell<u64>,
    said: Cell<u64>,
    measuring: Cell<bool>,
    /// Whether every delivery is timed, or only the speaker's own.
    every: Cell<bool>,
    /// Whether a confirmed line is followed by the next.
    closed_loop: Cell<bool>,
    latencies: RefCell<Latencies>,
    scratch: RefCell<Vec<u8>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    /// A line of [`LINE_BYTES`] that holds the time.
    fn line(&self) -> String {
        format!("~t{:012x}{}", self.now(), "x".repeat(LINE_BYTES - MARK.len() - 12))
    }

    fn hear(&self, payload: &[u8], own: bool) {
        self.heard.set(self.heard.get() + 1);
        if !self.measuring.get() {
            return;
        }
        self.lines.set(self.lines.get() + 1);
        if (self.every.get() || own)
            && let Some(said) = said_at(payload)
        {
            self.latencies.borrow_mut().record(self.now().saturating_sub(said));
        }
    }
}

fn said_at(payload: &[u8]) -> Option<u64> {
    let at = payload.windows(MARK.len()).position(|two| two == MARK)? + MARK.len();
    u64::from_str_radix(std::str::from_utf8(payload.get(at..at + 12)?).ok()?, 16).ok()
}

fn say(target: &Target, number: usize, shared: &Shared, connection: &Connection) -> Result<()> {
    let mut out = Vec::with_capacity(256);
    shared.said.set(shared.said.get() + 1);
    frames::write_text(&mut out, target.say(number, shared.said.get(), &shared.line()).as_bytes());
    let written = connection.stream.try_write(&out).context("saying a line")?;
    if written < out.len() {
        bail!("the server does not read what is said");
    }
    Ok(())
}

/// Reads one connection for ever; answers each confirmation with the next line where the loop is closed.
async fn read(
    target: Rc<Target>,
    number: usize,
    shared: Rc<Shared>,
    connection: Rc<Connection>,
) -> Result<()> {
    loop {
        let (mut own, mut refused) = (0, None);
        connection
            .pump(&shared.scratch, |payload| match target.hear(number, payload) {
                Heard::Line => shared.hear(payload, false),
                Heard::Own => {
                    own += 1;
                    shared.hear(payload, true);
                }
                Heard::Refused => refused = Some(String::from_utf8_lossy(payload).into_owned()),
                Heard::Other => {}
            })
            .await?;
        if let Some(refused) = refused {
            bail!("what was said was refused: {refused}");
        }
        if shared.closed_loop.get() {
            for _ in 0..own {
                say(&target, number, &shared, &connection)?;
            }
        }
    }
}

impl Crowd {
    /// Nobody yet.
    pub fn new(target: Rc<Target>) -> Self {
        let shared = Rc::new(Shared {
            begun: Instant::now(),
            lines: Cell::new(0),
            heard: Cell::new(0),
            said: Cell::new(0),
            measuring: Cell::new(false),
            every: Cell::new(false),
            closed_loop: Cell::new(false),
            latencies: RefCell::default(),
            scratch: RefCell::default(),
        });
        Self { target, members: Vec::new(), shared, readers: JoinSet::new() }
    }

    /// Opens connections until there are `members` in each of `rooms` rooms; the n-th is in room n % rooms.
    pub async fn join(&mut self, rooms: usize, members: usize) -> Result<()> {
        let target = self.target.clone();
        let joining = (self.members.len()..rooms * members).map(|number| {
            let target = target.clone();
            async move {
                let joined = target.join(number, number % rooms, rooms).await;
                joined.with_context(|| format!("connection {number} of {}", target.kind.name()))
            }
        });
        let mut joining = stream::iter(joining).buffered(JOINING);
        while let Some(connection) = joining.try_next().await? {
            self.add(connection);
        }
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    /// One more, who joined already: read from now on.
    pub fn add(&mut self, connection: Connection) {
        let (number, connection) = (self.members.len(), Rc::new(connection));
        self.members.push(connection.clone());
        self.readers.spawn_local(read(self.target.clone(), number, self.shared.clone(), connection));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits for a script; a connection that fails meanwhile is a failure.
    async fn drive<T>(
        readers: &mut JoinSet<Result<()>>,
        script: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            result = script => result,
            Some(ended) = readers.join_next() => match ended.context("a reader panicked")? {
                Err(error) => Err(error),
                Ok(()) => bail!("a reader ended"),
            },
        }
    }

    fn begin(&self, closed_loop: bool) {
        self.shared.closed_loop.set(closed_loop);
        self.shared.every.set(!closed_loop);
        self.shared.lines.set(0);
        self.shared.heard.set(0);
        self.shared.latencies.take();
    }

    /// `in_flight` lines at once, the next when one is confirmed; `members` hear each.
    pub async fn saturate(
        &mut self,
        in_flight: usize,
        members: usize,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<Saturation> {
        self.begin(true);
        let Self { target, members: connections, shared, readers } = self;
        let said_before = shared.said.get();
        let script = async {
            for number in (0..connections.len()).cycle().take(in_flight) {
                say(target, number, shared, &connections[number])?;
            }
            tokio::time::sleep(warm_up).await;
            shared.measuring.set(true);
            let (begun, cpu, own) = (Instant::now(), target.process.cpu()?, own_cpu()?);
            tokio::time::sleep(measured).await;
            shared.measuring.set(false);
            let seconds = begun.elapsed().as_secs_f64();
            let busy = target.process.cpu()?.saturating_sub(cpu).as_secs_f64() / seconds;
            let load_busy = own_cpu()?.saturating_sub(own).as_secs_f64() / seconds;
            shared.closed_loop.set(false);
            Ok((shared.lines.get() as f64 / seconds, busy, load_busy))
        };
        let (deliveries_per_second, busy, load_busy) = Self::drive(readers, script).await?;
        let own = self.shared.latencies.take();
        let expected = (self.shared.said.get() - said_before) * members as u64;
        let lost = self.arrived(expected).await?;
        Ok(Saturation { deliveries_per_second, own, lost, busy, load_busy })
    }

    /// Waits until the history has everything that was said, for as long as lines may take to arrive; how many lines it
    /// lacks then. `None`: there is no history.
    pub async fn lacking(&mut self) -> Result<Option<u64>> {
        let (said, target) = (self.shared.said.get(), self.target.clone());
        let all = async {
            let until = Instant::now() + ARRIVAL;
            loop {
                let Some(kept) = target.kept().await? else { return Ok(None) };
                if kept >= said || Instant::now() >= until {
                    return Ok(Some(said.saturating_sub(kept)));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        Self::drive(&mut self.readers, all).await
    }

    /// Waits until so many lines were heard since the load began; how many were not.
    async fn arrived(&mut self, expected: u64) -> Result<u64> {
        let shared = self.shared.clone();
        let all = async {
            let until = Instant::now() + ARRIVAL;
            while shared.heard.get() < expected && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(expected.saturating_sub(shared.heard.get()))
        };
        Self::drive(&mut self.readers, all).await
    }

    /// Lines at a rate that makes `deliveries` a second, spread evenly over the connections; `members` hear each.
    pub async fn open_loop(
        &mut self,
        members: usize,
        deliveries: u64,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<OpenLoop> {
        self.begin(false);
        let Self { target, members: connections, shared, readers } = self;
        let lines_per_second = deliveries as f64 / members as f64;
        let script = async {
            let begun = Instant::now();
            let mut said = 0_usize;
            let mut started = None;
            let mut late = Latencies::default();
            while begun.elapsed() < warm_up + measured {
                if started.is_none() && begun.elapsed() >= warm_up {
                    shared.measuring.set(true);
                    started = Some((Instant::now(), target.process.cpu()?));
                }
                let due = (begun.elapsed().as_secs_f64() * lines_per_second) as usize;
                while said < due {
                    let number = (said * SPREAD) % connections.len();
                    say(target, number, shared, &connections[number])?;
                    said += 1;
                }
                let slept = Instant::now();
                tokio::time::sleep(BEAT).await;
                late.record(slept.elapsed().saturating_sub(BEAT).as_micros() as u64);
            }
            shared.measuring.set(false);
            let (at, cpu) = started.context("the run was shorter than its warm-up")?;
            let spent = target.process.cpu()?.saturating_sub(cpu).as_micros() as f64;
            let lines = shared.lines.get() as f64;
            Ok((lines / at.elapsed().as_secs_f64(), spent / lines.max(1.0), late.percentile(0.99)))
        };
        let (deliveries_per_second, cpu_micros_per_delivery, late_micros) =
            Self::drive(readers, script).await?;
        let latencies = self.shared.latencies.take();
        Ok(OpenLoop { latencies, deliveries_per_second, cpu_micros_per_delivery, late_micros })
    }
}
