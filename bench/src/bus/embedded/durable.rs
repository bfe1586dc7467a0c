//! In the process: durable publish, beside a plain file synced each time and beside redb, the alternative of decision 0001.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;
use redb::{Database, Durability, TableDefinition};

use super::{bus, logs};
use crate::bus::{AUDIENCES, Bench, IN_FLIGHT, TIDINGS, flying, line, runtime};
use crate::report::Target;
use crate::stats::median;

const FILE: &str = "file, one fdatasync each";
const REDB_ONE: &str = "redb, 1 a transaction";
const REDB_MANY: &str = "redb, 256 a transaction";
const ONE: &str = "tidings, 1 in flight";
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// Measures all of them.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let size = bench.size;
    let mut stored = bench.row("durable publish, 256 in flight", "a second");
    let mut sync = bench.row("fdatasync of a plain file", "us");
    for round in 0..bench.plan.rounds {
        bench.plan.step(bench.name, round, "durable publish")?;
        let (single, micros) = one_sync_each(size.single)?;
        stored.add(FILE, single);
        sync.add("fdatasync", micros);
        stored.add(TIDINGS, durable(IN_FLIGHT, size.stored)?);
        stored.add(ONE, durable(1, size.single)?);
        stored.add(REDB_ONE, redb_log(1, size.single)?);
        stored.add(REDB_MANY, redb_log(IN_FLIGHT, size.stored / IN_FLIGHT * IN_FLIGHT)?);
    }
    bench.report.row(&stored.judge_ratio(TIDINGS, FILE, Target::at_least(10.0, 30.0)))?;
    bench.report.row(&sync)
}

/// Durable publishes a second with so many in flight.
fn durable(in_flight: usize, count: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    runtime(2)?.block_on(async {
        let bus = bus(Some(folder.path()), true)?;
        let (logs, line) = (logs(&bus, AUDIENCES)?, line());
        let one = |number: usize| {
            let appending = bus.append(&logs[number % AUDIENCES], line.clone());
            async { appending.await.map(|_| ()).map_err(Into::into) }
        };
        flying::rate(in_flight, count, one).await
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

/// redb, so many messages a transaction, each transaction synced.
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
