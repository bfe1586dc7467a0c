//! `cargo xtask bench bus`: the embedded bus, each figure beside its reference, in interleaved rounds.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redb::{Database, Durability, TableDefinition};
use tidings_bench::stats::median;
use tidings_bus::{
    Append, Bus, BusConfig, Check, Class, Embedded, EmbeddedConfig, ErrorKind, Followed, From, Pattern,
    Registry, SlowReader, Subject, TemplateDef,
};

/// Bytes of a line, as in the edge's figures.
const LINE_BYTES: usize = 128;
/// Durable publishes in flight.
const IN_FLIGHT: usize = 256;

/// Measures the embedded bus.
#[derive(Parser)]
struct Args {
    /// Fewer and shorter rounds: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Interleaved rounds.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    messages: usize,
    requests: usize,
    commits: usize,
    single_syncs: usize,
    rounds: usize,
}

fn is_line(payload: &[u8]) -> Result<(), String> {
    std::str::from_utf8(payload).map(drop).map_err(|error| error.to_string())
}

fn row(name: &'static str, template: &'static str, class: Class) -> TemplateDef {
    TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 64 * 1024,
        slow: SlowReader::Refuse,
        check: Some(Check::new(is_line)),
        wide: None,
    }
}

fn registry() -> Result<Arc<Registry>> {
    Ok(Arc::new(Registry::new(
        Some("bench"),
        vec![
            row("room.log", "room.{room:place}.log", Class::Durable),
            row("player.log", "player.{player:id}.log", Class::Durable),
            row("hint", "room.{room:place}.hint", Class::Ephemeral),
            row("ask", "svc.{service:slug}.{version:slug}.{method:slug}", Class::Request),
        ],
    )?))
}

fn bus(data: Option<&Path>, checked: bool) -> Result<Bus> {
    let config = EmbeddedConfig { data: data.map(Path::to_owned), ..EmbeddedConfig::default() };
    let checks = BusConfig { check_outbound: checked, check_inbound: checked, ..BusConfig::default() };
    Ok(Bus::with_config(Embedded::open(config)?, registry()?, checks))
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

/// Messages a second from one publisher to one subscriber.
fn ephemeral(threads: usize, checked: bool, count: usize) -> Result<f64> {
    runtime(threads)?.block_on(async {
        let bus = bus(None, checked)?;
        let to = bus.registry().subject("hint", &["zone_room"])?;
        let mut reader = bus.subscribe(&Pattern::from(&to), 8_192).await?;
        let begun = Instant::now();
        let publishing = tokio::spawn(async move {
            let line = line();
            for _ in 0..count {
                // Told that the reader is full, a publisher waits: nothing is lost, so what is read is what counts.
                while let Err(error) = bus.publish(&to, line.clone(), Vec::new()).await {
                    anyhow::ensure!(error.kind() == ErrorKind::Overloaded, error);
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        });
        for _ in 0..count {
            reader.next().await.context("the bus closed")?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        publishing.await??;
        Ok(count as f64 / seconds)
    })
}

/// Median microseconds of a request at one in flight, and requests a second at 64.
fn requests(threads: usize, count: usize) -> Result<(f64, f64)> {
    runtime(threads)?.block_on(async {
        let bus = bus(None, true)?;
        let ask = bus.registry().subject("ask", &["account", "v1", "get"])?;
        let mut server = bus.queue_subscribe(&Pattern::from(&ask), "g", 1_024).await?;
        let serving = tokio::spawn(async move {
            while let Some(message) = server.next().await {
                let payload = message.payload.clone();
                if message.respond(payload).is_err() {
                    break;
                }
            }
        });
        let one = || bus.request(&ask, line(), Vec::new(), Duration::from_secs(5));
        let mut micros = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            one().await?;
            micros.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        let begun = Instant::now();
        let mut flying: FuturesUnordered<_> = (0..64).map(|_| one()).collect();
        for number in 0..count {
            flying.next().await.context("one is in flight")??;
            if number + 64 < count {
                flying.push(one());
            }
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        serving.abort();
        Ok((median(&micros), rate))
    })
}

/// Durable publishes a second with so many in flight.
fn durable(in_flight: usize, count: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    runtime(2)?.block_on(async {
        let bus = bus(Some(folder.path()), true)?;
        let logs: Vec<Subject> = (0..100)
            .map(|room| bus.registry().subject("room.log", &[&format!("zone_r{room}")]))
            .collect::<Result<_, _>>()?;
        let one = |number: usize| bus.append(&logs[number % logs.len()], line());
        let begun = Instant::now();
        let mut flying: FuturesUnordered<_> = (0..in_flight).map(one).collect();
        for number in 0..count {
            flying.next().await.context("one is in flight")??;
            if number + in_flight < count {
                flying.push(one(number));
            }
        }
        Ok(count as f64 / begun.elapsed().as_secs_f64())
    })
}

/// The reference: a file, one write and one fdatasync each; also the median of those in microseconds.
fn one_sync_each(count: usize) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("plain"))?;
    let mut micros = Vec::with_capacity(count);
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&line())?;
        let sync = Instant::now();
        file.sync_data()?;
        micros.push(sync.elapsed().as_secs_f64() * 1e6);
    }
    Ok((count as f64 / begun.elapsed().as_secs_f64(), median(&micros)))
}

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// The alternative of decision 0001: redb, so many messages a transaction, each transaction synced.
fn redb_log(a_transaction: usize, count: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let database = Database::create(folder.path().join("redb"))?;
    let line = line();
    let begun = Instant::now();
    for first in (0..count).step_by(a_transaction) {
        let mut write = database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut table = write.open_table(TABLE)?;
            for seq in first..first + a_transaction {
                table.insert(seq as u64, &line[..])?;
            }
        }
        write.commit()?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Nanoseconds of building a subject and of reading one: the best of many short runs, as others' work on the machine
/// only ever adds.
fn subjects(count: usize) -> Result<(f64, f64)> {
    let registry = registry()?;
    let id = "0190a1b2c3d4e5f60718293a4b5c6d7e";
    let text = registry.subject("player.log", &[id])?;
    let best = |one: &dyn Fn()| {
        let run = 10_000;
        let runs = (count / run).max(1);
        let nanos = |_| {
            let begun = Instant::now();
            (0..run).for_each(|_| one());
            begun.elapsed().as_secs_f64() * 1e9 / run as f64
        };
        (0..runs).map(nanos).fold(f64::INFINITY, f64::min)
    };
    let build = || drop(std::hint::black_box(registry.subject("player.log", std::hint::black_box(&[id]))));
    let parse = || drop(std::hint::black_box(registry.parse(std::hint::black_box(text.as_str()))));
    Ok((best(&build), best(&parse)))
}

/// Messages a second that one follower of so many logs reads: live from memory, and from the disk.
fn following(logs: usize, count: usize) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    runtime(2)?.block_on(async {
        let bus = bus(Some(folder.path()), true)?;
        let subjects: Vec<Subject> = (0..logs)
            .map(|room| bus.registry().subject("room.log", &[&format!("zone_r{room}")]))
            .collect::<Result<_, _>>()?;
        let mut live = bus.follow_set();
        subjects.iter().for_each(|subject| live.add(subject.clone(), From::New));
        for first in (0..count).step_by(1_000) {
            let batch = (first..first + 1_000)
                .map(|number| Append { subject: subjects[number % logs].clone(), payload: line() })
                .collect();
            bus.commit(batch, Vec::new()).await?;
        }
        let from_memory = read_all(&mut live, count).await?;
        drop((live, bus));
        // Opened again, nothing is in memory: a follower from the beginning reads the disk.
        let bus = self::bus(Some(folder.path()), true)?;
        let mut old = bus.follow_set();
        subjects.iter().for_each(|subject| old.add(subject.clone(), From::After(0)));
        Ok((from_memory, read_all(&mut old, count).await?))
    })
}

async fn read_all(set: &mut tidings_bus::FollowSet, count: usize) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..count {
        anyhow::ensure!(matches!(set.next().await?, Followed::Message(_)), "a hole");
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Figures by name, one of each a round.
#[derive(Default)]
struct Figures(Vec<(&'static str, Vec<f64>)>);

impl Figures {
    fn add(&mut self, name: &'static str, figure: f64) {
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, figures)) => figures.push(figure),
            None => self.0.push((name, vec![figure])),
        }
    }

    fn get(&self, name: &str) -> f64 {
        self.0.iter().find(|(other, _)| *other == name).map_or(f64::NAN, |(_, figures)| median(figures))
    }
}

fn round(size: Size, figures: &mut Figures) -> Result<()> {
    let (single, micros) = one_sync_each(size.single_syncs)?;
    figures.add("one fdatasync each", single);
    figures.add("fdatasync", micros);
    figures.add("durable", durable(IN_FLIGHT, size.commits)?);
    figures.add("durable, 1 in flight", durable(1, size.single_syncs)?);
    figures.add("redb, 1 a transaction", redb_log(1, size.single_syncs)?);
    figures.add("redb, 256 a transaction", redb_log(IN_FLIGHT, size.commits / IN_FLIGHT * IN_FLIGHT)?);
    figures.add("ephemeral, 2 threads", ephemeral(2, true, size.messages)?);
    figures.add("ephemeral, 1 thread", ephemeral(1, true, size.messages)?);
    figures.add("ephemeral, unchecked", ephemeral(1, false, size.messages)?);
    let (p50, rate) = requests(1, size.requests)?;
    figures.add("request p50, 1 thread", p50);
    figures.add("request rate, 1 thread", rate);
    let (p50, rate) = requests(2, size.requests)?;
    figures.add("request p50, 2 threads", p50);
    figures.add("request rate, 2 threads", rate);
    let (build, parse) = subjects(size.messages)?;
    figures.add("build a subject", build);
    figures.add("parse a subject", parse);
    for (logs, memory, disk) in [
        (10, "follow 10 logs, memory", "follow 10 logs, disk"),
        (10_000, "follow 10,000 logs, memory", "follow 10,000 logs, disk"),
    ] {
        let (from_memory, from_disk) = following(logs, size.messages.min(100_000))?;
        figures.add(memory, from_memory);
        figures.add(disk, from_disk);
    }
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut size = if args.quick {
        Size { messages: 100_000, requests: 10_000, commits: 20_480, single_syncs: 200, rounds: 1 }
    } else {
        Size { messages: 2_000_000, requests: 200_000, commits: 204_800, single_syncs: 1_000, rounds: 3 }
    };
    size.rounds = args.rounds.unwrap_or(size.rounds).max(1);
    let mut figures = Figures::default();
    for number in 1..=size.rounds {
        println!("round {number} of {}", size.rounds);
        round(size, &mut figures)?;
    }
    let ratio = figures.get("durable") / figures.get("one fdatasync each");
    let over_redb = figures.get("durable") / figures.get("redb, 256 a transaction");
    println!("\n| embedded bus, {LINE_BYTES} bytes | median | floor | goal |\n|---|---|---|---|");
    let row = |what: &str, figure: String, floor: &str, goal: &str| {
        println!("| {what} | {figure} | {floor} | {goal} |");
    };
    let rate = |name: &str| format!("{:.0}/s", figures.get(name));
    let micros = |name: &str| format!("{:.1} us", figures.get(name));
    let nanos = |name: &str| format!("{:.0} ns", figures.get(name));
    row("ephemeral publish to one subscriber, 2 threads", rate("ephemeral, 2 threads"), "2 M/s", "8 M/s");
    row("the same, one thread", rate("ephemeral, 1 thread"), "", "");
    row("the same, payload checks off", rate("ephemeral, unchecked"), "", "");
    row("durable publish, 256 in flight, over one fsync each", format!("{ratio:.1} x"), "10 x", "30 x");
    row("durable publish, 256 in flight", rate("durable"), "", "");
    row("one write and one fdatasync each, plain file", rate("one fdatasync each"), "", "");
    row("fdatasync, median", micros("fdatasync"), "", "");
    row("durable publish, 1 in flight", rate("durable, 1 in flight"), "", "");
    row("redb, 1 a transaction", rate("redb, 1 a transaction"), "", "");
    row("redb, 256 a transaction", rate("redb, 256 a transaction"), "", "");
    row("durable publish over redb's 256 a transaction", format!("{over_redb:.1} x"), "", "");
    row("request, p50 at 1 in flight, one thread", micros("request p50, 1 thread"), "20 us", "5 us");
    row("request, p50 at 1 in flight, 2 threads", micros("request p50, 2 threads"), "20 us", "5 us");
    row("requests at 64 in flight, one thread", rate("request rate, 1 thread"), "", "");
    row("requests at 64 in flight, 2 threads", rate("request rate, 2 threads"), "", "");
    row("subject: checks, look-up, build", nanos("build a subject"), "300 ns", "60 ns");
    row("subject: parse", nanos("parse a subject"), "300 ns", "60 ns");
    for name in [
        "follow 10 logs, memory",
        "follow 10,000 logs, memory",
        "follow 10 logs, disk",
        "follow 10,000 logs, disk",
    ] {
        row(name, rate(name), "", "");
    }
    Ok(())
}
