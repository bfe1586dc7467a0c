//! Everybody coming back to a server that was killed: the time until the last has resumed, and who was seen leaving.
//!
//! Clients come back as the page does: first after half a second, then after pauses that double, with jitter.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use super::Bench;
use crate::load::member::{self, ComeBack};
use crate::load::room::Connection;
use crate::load::{Kind, Target as Server, world};
use crate::report::Target;
use crate::stats::Latencies;

/// People, and the rooms they are in.
const PEOPLE: usize = 5_000;
const ROOMS: usize = 100;
/// People that enter at a time beforehand.
const ENTERING: usize = 32;
/// The page's first and longest pause.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// Twice what has to hold; more is said to be missing.
const PATIENCE: Duration = Duration::from_secs(120);

struct Journey {
    address: std::net::SocketAddr,
    scratch: RefCell<Vec<u8>>,
    back: Cell<usize>,
    left: Cell<usize>,
    refused: RefCell<Vec<String>>,
    latencies: RefCell<Latencies>,
    killed: Cell<Option<Instant>>,
}

/// Measures.
pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let people = if bench.plan.quick { PEOPLE / 10 } else { PEOPLE };
    let mut all = bench.row(format!("from the kill to all {people} back, {ROOMS} rooms"), "s");
    let mut half = bench.row("to half of them", "s");
    let mut left = bench.row("departures seen", "events");
    let mut ready = bench.row("from the start to listening, the log read", "s");
    for round in 0..bench.plan.rounds {
        let name = Kind::DURABLE.name();
        let mut target = bench.start_as(round, Kind::DURABLE, name)?;
        let journey = Rc::new(Journey {
            address: target.process.address,
            scratch: RefCell::default(),
            back: Cell::new(0),
            left: Cell::new(0),
            refused: RefCell::default(),
            latencies: RefCell::default(),
            killed: Cell::new(None),
        });
        let mut travellers = gather(&target, &journey, people).await?;
        tokio::time::sleep(bench.plan.warm_up).await;
        journey.killed.set(Some(Instant::now()));
        target.process.kill()?;
        // On a thread of its own: those who try meanwhile find nobody.
        let target = tokio::task::spawn_blocking(move || target.restart().map(|()| target)).await??;
        ready.add(name, target.process.started_in.as_secs_f64());
        wait_for(&journey, &mut travellers, people).await?;
        let mut latencies = journey.latencies.take();
        all.add(name, latencies.percentile(1.0) / 1e6);
        half.add(name, latencies.percentile(0.5) / 1e6);
        left.add(name, journey.left.get() as f64);
    }
    bench.report.row(&all.judge(Kind::DURABLE.name(), Target::at_most(60.0, 10.0)))?;
    bench.report.row(&half)?;
    bench.report.row(&left.judge(Kind::DURABLE.name(), Target::at_most(0.0, 0.0)))?;
    bench.report.row(&ready)
}

async fn gather(target: &Server, journey: &Rc<Journey>, people: usize) -> Result<JoinSet<()>> {
    let entering = (0..people).map(|number| async move {
        let connection = Connection::open(target.process.address).await?;
        let session = target.guest().await?;
        connection.send(&format!(r#"{{"type":"hello","token":"{}"}}"#, session.access_token)).await?;
        let back = ComeBack::from_welcome(&connection.until(|_| true).await?)?;
        connection.until(|frame| frame.starts_with(br#"{"type":"state""#)).await?;
        member::walk(&connection, &world::way(number % ROOMS, ROOMS)).await?;
        Ok::<_, anyhow::Error>((number, connection, back))
    });
    let mut entering = stream::iter(entering).buffer_unordered(ENTERING);
    let mut travellers = JoinSet::new();
    while let Some((number, connection, back)) = entering.try_next().await.context("entering")? {
        travellers.spawn_local(travel(journey.clone(), number, connection, back));
    }
    Ok(travellers)
}

async fn wait_for(journey: &Journey, travellers: &mut JoinSet<()>, people: usize) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while journey.back.get() < people && Instant::now() < until && journey.refused.borrow().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = journey.refused.borrow().first().cloned().unwrap_or_default();
    ensure!(journey.back.get() == people, "{} of {people} came back; {refused}", journey.back.get());
    // Whoever would be seen leaving is seen within a moment.
    tokio::time::sleep(Duration::from_secs(1)).await;
    travellers.abort_all();
    Ok(())
}

/// Reads until the connection breaks, comes back, and reads on.
async fn travel(journey: Rc<Journey>, number: usize, mut connection: Connection, mut back: ComeBack) {
    loop {
        read(&journey, &connection, &mut back).await;
        drop(connection);
        let mut pause = FIRST_PAUSE;
        let mut attempt = 0_usize;
        connection = loop {
            tokio::time::sleep(jittered(pause, number, attempt)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            attempt += 1;
            let Ok(connection) = Connection::open(journey.address).await else { continue };
            if connection.send(&back.hello()).await.is_err() {
                continue;
            }
            match ComeBack::resumed(&connection).await {
                Ok(next) => {
                    back = next;
                    break connection;
                }
                Err(error) if error.to_string().contains("not recovered") => {
                    journey.refused.borrow_mut().push(format!("{error:#}"));
                    return;
                }
                Err(_) => {}
            }
        };
        if let Some(killed) = journey.killed.get() {
            journey.latencies.borrow_mut().record(killed.elapsed().as_micros() as u64);
            journey.back.set(journey.back.get() + 1);
        }
    }
}

/// Reads one connection to its end; keeps the last position, counts departures.
async fn read(journey: &Journey, connection: &Connection, back: &mut ComeBack) {
    let mut last = Vec::new();
    loop {
        let pumped = connection.pump(&journey.scratch, |frame| {
            if contains(frame, br#""kind":"event.left_world""#) {
                journey.left.set(journey.left.get() + 1);
            }
            if contains(frame, br#""position":{"#) {
                last.clear();
                last.extend_from_slice(frame);
            }
        });
        if pumped.await.is_err() {
            break;
        }
    }
    if let Err(error) = if last.is_empty() { Ok(()) } else { back.told(&last) } {
        journey.refused.borrow_mut().push(format!("{error:#}"));
    }
}

fn contains(frame: &[u8], what: &[u8]) -> bool {
    frame.windows(what.len()).any(|part| part == what)
}

/// Between half of a pause and all of it, the same for one person and attempt in every run.
fn jittered(pause: Duration, number: usize, attempt: usize) -> Duration {
    let spread = (number * 7919 + attempt * 104_729) % 1000;
    pause.mul_f64(0.5 + spread as f64 / 2000.0)
}
