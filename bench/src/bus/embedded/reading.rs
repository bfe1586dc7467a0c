//! In the process: subjects built and read, and what one follower of many logs reads.

use std::time::Instant;

use anyhow::Result;
use tidings_bus::{Append, FollowSet, Followed, From};

use super::{bus, logs};
use crate::bus::{Bench, TIDINGS, line, registry, runtime};
use crate::report::Target;

/// Messages of one commit while a log is filled.
const COMMIT: usize = 1_000;
/// Messages that are followed, at most.
const FOLLOWED: usize = 100_000;

/// Measures both.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let size = bench.size;
    let mut build = bench.row("subject: checks, look-up, build", "ns");
    let mut parse = bench.row("subject: parse", "ns");
    let mut follow = bench.row("one follower", "a second");
    for round in 0..bench.plan.rounds {
        bench.plan.step(bench.name, round, "subjects and followers")?;
        let (built, parsed) = subjects(size.messages)?;
        build.add(TIDINGS, built);
        parse.add(TIDINGS, parsed);
        for (logs, memory, disk) in
            [(10, "10 logs, memory", "10 logs, disk"), (10_000, "10,000 logs, memory", "10,000 logs, disk")]
        {
            let (from_memory, from_disk) = following(logs, size.messages.min(FOLLOWED))?;
            follow.add(memory, from_memory);
            follow.add(disk, from_disk);
        }
    }
    let target = Target::at_most(300.0, 60.0);
    bench.report.row(&build.judge(TIDINGS, target))?;
    bench.report.row(&parse.judge(TIDINGS, target))?;
    bench.report.row(&follow)
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
fn following(count_of_logs: usize, count: usize) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    runtime(2)?.block_on(async {
        let bus = bus(Some(folder.path()), true)?;
        let subjects = logs(&bus, count_of_logs)?;
        let mut live = bus.follow_set();
        subjects.iter().for_each(|subject| live.add(subject.clone(), From::New));
        for first in (0..count).step_by(COMMIT) {
            let batch = (first..first + COMMIT)
                .map(|number| Append { subject: subjects[number % count_of_logs].clone(), payload: line() })
                .collect();
            bus.commit(batch, Vec::new()).await?;
        }
        let from_memory = read_all(&mut live, count).await?;
        drop((live, bus));
        // Opened again, nothing is in memory: a follower from the beginning reads the disk.
        let bus = super::bus(Some(folder.path()), true)?;
        let mut old = bus.follow_set();
        subjects.iter().for_each(|subject| old.add(subject.clone(), From::After(0)));
        Ok((from_memory, read_all(&mut old, count).await?))
    })
}

async fn read_all(set: &mut FollowSet, count: usize) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..count {
        anyhow::ensure!(matches!(set.next().await?, Followed::Message(_)), "a hole");
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
