//! The two loads: closed loop (so many lines in flight a room) and open loop (so many deliveries a second).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::{JoinSet, LocalSet};

use super::frames;
use super::room::Connection;
use super::target::{Heard, Target};
use crate::stats::Latencies;

/// Length of a line that is said, in bytes.
pub const LINE_BYTES: usize = 128;
/// Marks the time within a line.
const MARK: &[u8] = b"~t";
/// After a closed loop: what is in flight arrives before the next run.
const SETTLE: Duration = Duration::from_millis(300);
/// A prime: consecutive lines come from connections far apart, so from different rooms.
const SPREAD: usize = 7919;

/// What a closed loop gave.
#[derive(Debug)]
pub struct Saturation {
    /// Frames with a line received, a second.
    pub deliveries_per_second: f64,
    /// From sending a line to its own confirmation.
    pub own: Latencies,
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
}

struct Load<'a> {
    target: &'a Rc<Target>,
    connections: &'a [Rc<Connection>],
    shared: Rc<Shared>,
}

struct Shared {
    begun: Instant,
    lines: Cell<u64>,
    sent: Cell<u64>,
    measuring: Cell<bool>,
    /// Whether every delivery is timed, or only the speaker's own.
    every: bool,
    /// Whether a confirmed line is followed by the next.
    closed_loop: bool,
    latencies: RefCell<Latencies>,
    scratch: RefCell<Vec<u8>>,
}

impl Shared {
    fn new(closed_loop: bool) -> Rc<Self> {
        Rc::new(Self {
            begun: Instant::now(),
            lines: Cell::new(0),
            sent: Cell::new(0),
            measuring: Cell::new(false),
            every: !closed_loop,
            closed_loop,
            latencies: RefCell::default(),
            scratch: RefCell::default(),
        })
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    /// A line of [`LINE_BYTES`] that holds the time.
    fn line(&self) -> String {
        format!("~t{:012x}{}", self.now(), "x".repeat(LINE_BYTES - MARK.len() - 12))
    }

    fn next_id(&self) -> u64 {
        self.sent.set(self.sent.get() + 1);
        self.sent.get()
    }

    fn heard(&self, payload: &[u8], own: bool) {
        if !self.measuring.get() {
            return;
        }
        self.lines.set(self.lines.get() + 1);
        if (self.every || own)
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
    frames::write_text(&mut out, target.say(number, shared.next_id(), &shared.line()).as_bytes());
    let written = connection.stream.try_write(&out).context("saying a line")?;
    if written < out.len() {
        bail!("the server does not read what is said");
    }
    Ok(())
}

/// Reads one connection for ever; answers each confirmation with the next line where the loop is closed.
async fn pump(
    target: Rc<Target>,
    number: usize,
    shared: Rc<Shared>,
    connection: Rc<Connection>,
) -> Result<()> {
    loop {
        let mut own = 0;
        connection
            .pump(&shared.scratch, |payload| match target.hear(number, payload) {
                Heard::Line => shared.heard(payload, false),
                Heard::Own => {
                    own += 1;
                    shared.heard(payload, true);
                }
                Heard::Other => {}
            })
            .await?;
        if shared.closed_loop {
            for _ in 0..own {
                say(&target, number, &shared, &connection)?;
            }
        }
    }
}

impl Load<'_> {
    /// Reads every connection while `script` runs; a connection that fails ends the run.
    async fn drive<T>(&self, script: impl Future<Output = Result<T>>) -> Result<T> {
        let local = LocalSet::new();
        let mut pumps = JoinSet::new();
        for (number, connection) in self.connections.iter().enumerate() {
            let (target, shared) = (self.target.clone(), self.shared.clone());
            pumps.spawn_local_on(pump(target, number, shared, connection.clone()), &local);
        }
        local
            .run_until(async {
                tokio::select! {
                    result = script => result,
                    Some(ended) = pumps.join_next() => match ended.context("a reader panicked")? {
                        Err(error) => Err(error),
                        Ok(()) => bail!("a reader ended"),
                    },
                }
            })
            .await
    }
}

/// `in_flight` lines in each room, the next when one is confirmed.
pub async fn saturate(
    target: &Rc<Target>,
    connections: &[Rc<Connection>],
    in_flight: usize,
    warm_up: Duration,
    measured: Duration,
) -> Result<Saturation> {
    let shared = Shared::new(true);
    let load = Load { target, connections, shared: shared.clone() };
    let script = async {
        for (number, connection) in connections.iter().enumerate().take(in_flight) {
            say(target, number, &shared, connection)?;
        }
        tokio::time::sleep(warm_up).await;
        shared.measuring.set(true);
        let begun = Instant::now();
        tokio::time::sleep(measured).await;
        shared.measuring.set(false);
        let rate = shared.lines.get() as f64 / begun.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLE).await;
        Ok(rate)
    };
    let deliveries_per_second = load.drive(script).await?;
    Ok(Saturation { deliveries_per_second, own: shared.latencies.take() })
}

/// Lines at a rate that makes `deliveries` a second, spread evenly over the connections.
pub async fn open_loop(
    target: &Rc<Target>,
    connections: &[Rc<Connection>],
    members: usize,
    deliveries: u64,
    warm_up: Duration,
    measured: Duration,
) -> Result<OpenLoop> {
    let shared = Shared::new(false);
    let load = Load { target, connections, shared: shared.clone() };
    let lines_per_second = deliveries as f64 / members as f64;
    let script = async {
        let begun = Instant::now();
        let mut said = 0_usize;
        let mut started = None;
        while begun.elapsed() < warm_up + measured {
            if started.is_none() && begun.elapsed() >= warm_up {
                shared.measuring.set(true);
                started = Some((Instant::now(), target.process.cpu()?));
            }
            let due = (begun.elapsed().as_secs_f64() * lines_per_second) as usize;
            while said < due {
                let number = (said * SPREAD) % connections.len();
                say(target, number, &shared, &connections[number])?;
                said += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shared.measuring.set(false);
        let (at, cpu) = started.context("the run was shorter than its warm-up")?;
        let spent = target.process.cpu()?.saturating_sub(cpu).as_micros() as f64;
        let lines = shared.lines.get() as f64;
        Ok((lines / at.elapsed().as_secs_f64(), spent / lines.max(1.0)))
    };
    let (deliveries_per_second, cpu_micros_per_delivery) = load.drive(script).await?;
    Ok(OpenLoop { latencies: shared.latencies.take(), deliveries_per_second, cpu_micros_per_delivery })
}
