//! One durable commit at a time, with rest in between, as in a quiet world: its latency with room made ready in the
//! log's file, with a file that each commit makes longer, and of an append to a plain file; by turns, in one run.
//! With `--in-flight` the rate of both logs instead.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tidings_bench::disk::{self, Medium};
use tidings_bench::stats::{Latencies, median};
use tidings_bus::embedded::files::{FileLayer, Folder, LogFile};
use tidings_bus::{Bus, Class, Embedded, EmbeddedConfig, Registry, SlowReader, Subject, TemplateDef};

/// Measures one commit at a time.
#[derive(Parser)]
struct Args {
    /// Commits of each way.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    count: u64,
    /// Rest before each commit.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    every: u64,
    /// Bytes of a message.
    #[arg(long, value_name = "N", default_value_t = 128)]
    bytes: usize,
    /// Commits in flight of a log that is busy, `--count` in each of `--rounds`.
    #[arg(long, value_name = "N")]
    in_flight: Option<u64>,
    /// Rounds of a log that is busy.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u64,
    /// Bytes made ready ahead [as a server does].
    #[arg(long, value_name = "N")]
    ahead: Option<u64>,
    /// Where the files lie [beside this program].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// A folder in which so many bytes are made ready; of none, each commit makes the log's file longer.
struct Ahead(Folder, u64);

impl FileLayer for Ahead {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.0.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.0.sync_folder()
    }

    fn reads_block(&self) -> bool {
        self.0.reads_block()
    }

    fn ahead(&self) -> u64 {
        self.1
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

/// Where a message goes.
enum Way {
    Log(Bus, Subject),
    Plain(File),
}

impl Way {
    fn log(folder: &Path, ahead: Option<u64>) -> Result<Self> {
        let folder = Folder::open(folder)?;
        let ahead = ahead.unwrap_or_else(|| folder.ahead());
        let row = TemplateDef {
            name: "room.log",
            template: "room.{room:place}.log",
            class: Class::Durable,
            message: "text",
            max_payload: 1 << 20,
            slow: SlowReader::Refuse,
            check: None,
            wide: None,
        };
        let backend = Embedded::open_on(EmbeddedConfig::default(), Arc::new(Ahead(folder, ahead)))?;
        let bus = Bus::new(backend, Arc::new(Registry::new(Some("bench"), vec![row])?));
        let log = bus.registry().subject("room.log", &["zone_room"])?;
        Ok(Self::Log(bus, log))
    }

    async fn store(&mut self, message: Bytes) -> Result<()> {
        match self {
            Self::Log(bus, log) => drop(bus.append(log, message).await?),
            Self::Plain(file) => {
                file.write_all(&message)?;
                file.sync_data()?;
            }
        }
        Ok(())
    }
}

/// Commits a second with so many in flight.
async fn rate(bus: &Bus, log: &Subject, message: &Bytes, in_flight: u64, count: u64) -> Result<f64> {
    let one = || bus.append(log, message.clone());
    let begun = Instant::now();
    let mut flying: FuturesUnordered<_> = (0..in_flight).map(|_| one()).collect();
    for number in 0..count {
        flying.next().await.context("one is in flight")??;
        if number + in_flight < count {
            flying.push(one());
        }
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

async fn measure_busy(args: &Args, folder: &Path, in_flight: u64) -> Result<()> {
    let mut ways = ways(args, folder)?;
    let message = Bytes::from(vec![b'x'; args.bytes]);
    let mut rates = vec![Vec::new(); ways.len()];
    for turn in 0..args.rounds {
        let count = ways.len();
        for place in 0..count {
            let at = (place + usize::try_from(turn)?) % count;
            if let Way::Log(bus, log) = &mut ways[at].1 {
                rates[at].push(rate(bus, log, &message, in_flight, args.count).await?);
            }
        }
    }
    println!(
        "| {} bytes, {in_flight} in flight, {} x {} | a second, median |\n|---|---|",
        args.bytes, args.rounds, args.count
    );
    for ((name, ..), rates) in ways.iter().zip(&rates).filter(|(_, rates)| !rates.is_empty()) {
        println!("| {name} | {:.0} |", median(rates));
    }
    Ok(())
}

fn ways(args: &Args, folder: &Path) -> Result<[(&'static str, Way, Latencies); 3]> {
    let ready = Way::log(&folder.join("ready"), args.ahead)?;
    let longer = Way::log(&folder.join("longer"), Some(0))?;
    let plain = Way::Plain(File::create(folder.join("plain"))?);
    Ok([
        ("log, room made ready", ready, Latencies::default()),
        ("log, made longer by each commit", longer, Latencies::default()),
        ("plain file, one write and one fdatasync", plain, Latencies::default()),
    ])
}

async fn measure(args: &Args, folder: &Path) -> Result<()> {
    let mut ways = ways(args, folder)?;
    let message = Bytes::from(vec![b'x'; args.bytes]);
    let count = ways.len();
    for turn in 0..args.count {
        for place in 0..count {
            // Each is first, second and last as often.
            let at = (place + usize::try_from(turn)?) % count;
            let (_, way, latencies) = &mut ways[at];
            if args.every > 0 {
                tokio::time::sleep(Duration::from_millis(args.every)).await;
            }
            let begun = Instant::now();
            way.store(message.clone()).await?;
            latencies.record(u64::try_from(begun.elapsed().as_micros())?);
        }
    }
    println!(
        "| {} bytes every {} ms, {} of each | p50 | p90 | p99 |\n|---|---|---|---|",
        args.bytes, args.every, args.count
    );
    for (name, _, latencies) in &mut ways {
        let at = |p, latencies: &mut Latencies| latencies.percentile(p);
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|p| at(p, latencies));
        println!("| {name} | {p50:.0} us | {p90:.0} us | {p99:.0} us |");
    }
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let own = disk::folder(Medium::Disk)?;
    let folder = args.folder.clone().unwrap_or_else(|| own.path().to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match args.in_flight {
        Some(in_flight) => runtime.block_on(measure_busy(&args, &folder, in_flight)),
        None => runtime.block_on(measure(&args, &folder)),
    }
}
