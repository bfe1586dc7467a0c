//! The log over a disk that loses power, fills up and flips bits.
#![allow(clippy::unwrap_used, missing_docs)]

mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidings_bus::{
    Append, Bus, Class, Embedded, EmbeddedConfig, ErrorKind, Fence, Followed, From, Keep, Registry,
    Retention, SlowReader, Subject, TemplateDef, WorkConfig,
};

use crate::sim::{Disk, Loss};

fn registry() -> Arc<Registry> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 1 << 20,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    let templates = vec![
        row("room", "room.{room:slug}.log", Class::Durable),
        row("owner", "zone.{zone:slug}.owner", Class::Durable),
        row("zone", "zone.{zone:slug}.log", Class::Durable),
        row("work", "work.{queue:slug}", Class::Work),
        row("dlq", "dlq.{queue:slug}", Class::Durable),
    ];
    Arc::new(Registry::new(None, templates).unwrap())
}

fn config() -> EmbeddedConfig {
    // Compaction runs as often as it can, so that the power also goes in the middle of it.
    let maintain_every = Duration::from_millis(1);
    EmbeddedConfig { segment_bytes: 4_096, maintain_every, ..EmbeddedConfig::default() }
        .bucket("kept", Keep::Durable)
        .retain("zone.*.owner", Retention::LAST)
        .retain("zone.*.log", Retention::UNTIL_TRIMMED)
}

fn open(disk: &Disk) -> Result<(Arc<Embedded>, Bus), tidings_bus::Error> {
    let backend = Embedded::open_on(config(), disk.files())?;
    let bus = Bus::new(backend.clone(), registry());
    Ok((backend, bus))
}

fn room(bus: &Bus, number: usize) -> Subject {
    bus.registry().subject("room", &[&format!("r{number}")]).unwrap()
}

fn batch(bus: &Bus, commit: usize, count: usize, size: usize) -> Vec<Append> {
    (0..count)
        .map(|part| Append {
            subject: room(bus, (commit + part) % 3),
            payload: Bytes::from(format!("{commit}/{part}/{count}/{}", "x".repeat(size))),
        })
        .collect()
}

/// What a run was told: commits acknowledged with their sequences, commits tried.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<usize, u64>,
    tried: BTreeSet<usize>,
    values: BTreeMap<String, String>,
    unsure_values: BTreeMap<String, BTreeSet<String>>,
    /// Messages of a zone's log that were acknowledged, and how far it was trimmed: surely, and perhaps.
    zone: BTreeSet<u64>,
    trimmed: u64,
    trimmed_perhaps: u64,
    epoch: String,
    last: u64,
}

fn zone(bus: &Bus) -> Subject {
    bus.registry().subject("zone", &["z"]).unwrap()
}

/// Commits, several in flight, until the power goes or there are enough.
async fn run(disk: &Disk, seed: u64) -> Told {
    run_with(disk, seed, Duration::ZERO).await
}

/// As `run`, with a pause after each round that lets compaction happen.
async fn run_with(disk: &Disk, seed: u64, pause: Duration) -> Told {
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = Told::default();
    let Ok((backend, bus)) = open(disk) else { return told };
    told.epoch = bus.epoch();
    let kv = bus.kv("kept").unwrap();
    let mut next = 0;
    for _round in 0..6 {
        let width = random.random_range(1..5);
        let mut under_way = Vec::new();
        for _ in 0..width {
            let commit = next;
            next += 1;
            told.tried.insert(commit);
            let messages = batch(&bus, commit, random.random_range(1..4), random.random_range(0..600));
            let bus = bus.clone();
            under_way.push(async move { (commit, bus.commit(messages, Vec::new()).await) });
        }
        let key = format!("k{}", random.random_range(0..3));
        let value = next.to_string();
        let put = kv.put(&key, Bytes::from(value.clone()), None);
        let zone = zone(&bus);
        let bulk = bus.append(&zone, Bytes::from(vec![b'z'; random.random_range(500..3_000)]));
        let (outcomes, put, bulk) =
            futures_util::future::join3(futures_util::future::join_all(under_way), put, bulk).await;
        if let Ok(seq) = bulk {
            told.zone.insert(seq);
            told.last = told.last.max(seq);
            if random.random_bool(0.6) {
                told.trimmed_perhaps = seq - 1;
                if bus.trim(&zone, seq - 1).await.is_ok() {
                    told.trimmed = seq - 1;
                }
            }
        }
        for (commit, outcome) in outcomes {
            if let Ok(committed) = outcome {
                told.acknowledged.insert(commit, committed.last);
                told.last = told.last.max(committed.last);
            }
        }
        match put {
            Ok(revision) => {
                told.last = told.last.max(revision);
                told.unsure_values.remove(&key);
                told.values.insert(key, value);
            }
            Err(_) => drop(told.unsure_values.entry(key).or_default().insert(value)),
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    drop(bus);
    drop(backend);
    told
}

/// Reads everything back; checks that it is whole, ordered and chained.
async fn check(bus: &Bus, told: &Told, context: &str) {
    let rooms: Vec<_> = (0..3).map(|number| room(bus, number)).collect();
    let found = bus.read(&rooms, 0, usize::MAX).await.unwrap();
    let mut parts: BTreeMap<usize, Vec<(usize, usize, u64)>> = BTreeMap::new();
    let mut chain: BTreeMap<String, u64> = BTreeMap::new();
    for message in &found {
        let text = std::str::from_utf8(&message.payload).unwrap();
        let mut fields = text.split('/').map(|field| field.parse::<usize>().unwrap_or(0));
        let (commit, part, count) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        parts.entry(commit).or_default().push((part, count, message.seq));
        let before = chain.insert(message.subject.as_str().to_owned(), message.seq).unwrap_or(0);
        assert_eq!(message.prev, before, "{context}: the chain of {}", message.subject);
    }
    for (commit, found) in &parts {
        assert!(told.tried.contains(commit), "{context}: commit {commit} came from nowhere");
        let count = found[0].1;
        assert_eq!(found.len(), count, "{context}: commit {commit} is there in part");
        let first = found[0].2;
        let whole = found
            .iter()
            .enumerate()
            .all(|(place, (part, _, seq))| *part == place && *seq == first + place as u64);
        assert!(whole, "{context}: commit {commit} is out of order: {found:?}");
    }
    for (commit, last) in &told.acknowledged {
        let found = parts
            .get(commit)
            .unwrap_or_else(|| panic!("{context}: commit {commit} was acknowledged and is gone"));
        assert_eq!(found.last().unwrap().2, *last, "{context}: commit {commit} has another sequence");
    }
    let kept: BTreeSet<u64> =
        bus.read(&[zone(bus)], 0, usize::MAX).await.unwrap().iter().map(|message| message.seq).collect();
    for seq in told.zone.iter().filter(|seq| **seq > told.trimmed_perhaps) {
        assert!(kept.contains(seq), "{context}: message {seq} of the zone is gone: {kept:?}");
    }
    assert!(kept.iter().all(|seq| *seq > told.trimmed), "{context}: what was trimmed came back: {kept:?}");
    let kv = bus.kv("kept").unwrap();
    for (key, value) in &told.values {
        let found = kv.get(key).await.unwrap().unwrap_or_else(|| panic!("{context}: {key} is gone"));
        let found = String::from_utf8(found.value.to_vec()).unwrap();
        let unsure = told.unsure_values.get(key).is_some_and(|values| values.contains(&found));
        assert!(found == *value || unsure, "{context}: {key} is {found}, not {value}");
    }
}

/// By the seed nothing is made ready, less than a commit, some of a segment, all of it.
fn disk_of(seed: u64) -> Disk {
    let disk = Disk::new();
    disk.set_ahead([0, 300, 1_500, 1 << 20][usize::try_from(seed % 4).unwrap()]);
    disk
}

async fn crash_once(seed: u64, ops: u64, loss: Loss) {
    crash_with(seed, ops, loss, Duration::ZERO).await;
}

async fn crash_with(seed: u64, ops: u64, loss: Loss, pause: Duration) {
    let context = format!("seed {seed}, power gone after {ops} operations, {loss:?}");
    let disk = disk_of(seed);
    disk.lose_power_after(ops);
    let mut told = run_with(&disk, seed, pause).await;
    let disk = disk.after(loss, seed);
    {
        let (backend, bus) = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(backend.recovery().damaged.is_empty(), "{context}: {:?}", backend.recovery());
        if !told.acknowledged.is_empty() {
            assert_eq!(bus.epoch(), told.epoch, "{context}: nothing given out is missing");
        }
        check(&bus, &told, &context).await;
        // Life goes on, and what is acknowledged now is above everything given out before.
        let commit = 1_000;
        told.tried.insert(commit);
        let committed = bus.commit(batch(&bus, commit, 3, 10), Vec::new()).await.unwrap();
        assert!(committed.first > told.last, "{context}: a sequence was given out twice");
        told.acknowledged.insert(commit, committed.last);
    }
    let disk = disk.after(Loss::All, seed);
    let (backend, bus) = open(&disk).unwrap();
    check(&bus, &told, &format!("{context}, again: {:?} {:?}", backend.recovery(), disk.names())).await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Every boundary of a few runs, each way the power can go.
#[test]
fn every_boundary() {
    let runtime = runtime();
    for seed in 0..4 {
        let disk = disk_of(seed);
        runtime.block_on(run(&disk, seed));
        for ops in 0..disk.ops() {
            for loss in [Loss::All, Loss::Torn, Loss::None] {
                runtime.block_on(crash_once(seed, ops, loss));
            }
        }
    }
}

/// The power goes in the middle of compaction, too.
#[test]
fn every_boundary_of_compaction() {
    let runtime = runtime();
    let pause = Duration::from_millis(4);
    let disk = disk_of(11);
    let told = runtime.block_on(run_with(&disk, 11, pause));
    assert!(!told.acknowledged.is_empty());
    assert!(!disk.names().contains(&"00000002.log".to_owned()), "nothing was compacted: {:?}", disk.names());
    for ops in 10..disk.ops() + 5 {
        let loss = [Loss::All, Loss::Torn, Loss::None][usize::try_from(ops % 3).unwrap()];
        runtime.block_on(crash_with(11, ops, loss, pause));
    }
}

/// A thousand seeds, each with its own boundary and its own tear.
#[test]
fn a_thousand_seeds() {
    let runtime = runtime();
    for seed in 0..1_000 {
        let mut random = StdRng::seed_from_u64(seed ^ 0xC0FFEE);
        let loss = if random.random_bool(0.3) { Loss::All } else { Loss::Torn };
        let ops = random.random_range(0..100);
        runtime.block_on(crash_once(seed, ops, loss));
    }
}

/// A flipped bit anywhere is found and told, and everything else is readable.
#[test]
fn a_flipped_bit() {
    let runtime = runtime();
    let disk = Disk::new();
    let told = runtime.block_on(run(&disk, 7));
    assert!(told.acknowledged.len() == told.tried.len());
    let logs: Vec<String> = disk.names().into_iter().filter(|name| name.ends_with(".log")).collect();
    // As a killed process leaves it: what was made ready is still there.
    disk.grow(&logs[logs.len() - 1], 1_500);
    for name in logs {
        let mut random = StdRng::seed_from_u64(disk.len(&name) as u64);
        for _ in 0..150 {
            let (offset, bit) = (random.random_range(0..disk.len(&name)), random.random_range(0..8));
            runtime.block_on(flip_once(&disk, &told, &name, offset, bit));
        }
    }
}

async fn flip_once(disk: &Disk, told: &Told, name: &str, offset: usize, bit: u8) {
    let context = format!("{name} at {offset}, bit {bit}");
    let disk = disk.after(Loss::None, 0);
    disk.flip(name, offset, bit);
    let (backend, bus) = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let report = backend.recovery().clone();
    let rooms: Vec<_> = (0..3).map(|number| room(&bus, number)).collect();
    let (mut sound, mut damaged) = (BTreeSet::new(), 0);
    for room in &rooms {
        let mut set = bus.follow(room, From::After(0));
        while let Some(next) = set.try_next() {
            match next {
                Ok(Followed::Message(message)) => drop(sound.insert(message.seq)),
                Ok(Followed::Hole { .. }) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Storage, "{context}");
                    assert!(error.to_string().contains(".log at offset"), "{context}: {error}");
                    damaged += 1;
                }
            }
        }
    }
    // Six of the sequences are values of the bucket, six the zone's.
    let missing = (usize::try_from(told.last).unwrap() - 12).checked_sub(sound.len());
    let missing =
        missing.unwrap_or_else(|| panic!("{context}: {} up to {}: {report:?}", sound.len(), told.last));
    assert!(missing <= 3, "{context}: one bit took {missing} messages: more than a commit");
    let told_of = damaged > 0 || !report.damaged.is_empty();
    assert!(missing == 0 || told_of, "{context}: {missing} missing and nobody told");
    let seq = bus.append(&rooms[0], Bytes::from("1001/0/1/")).await.unwrap();
    assert!(seq > told.last, "{context}: the sequence space is intact");
}

/// A full disk refuses, nothing is lost, and it goes on once there is room.
#[tokio::test]
async fn a_full_disk() {
    let disk = Disk::new();
    let (backend, bus) = open(&disk).unwrap();
    let mut told = Told::default();
    for room_left in [0, 10, 100, 300, 3_000] {
        for commit in 0..5 {
            let commit = commit + room_left * 10;
            told.tried.insert(commit);
            let done = bus.commit(batch(&bus, commit, 2, 200), Vec::new()).await.unwrap();
            told.acknowledged.insert(commit, done.last);
        }
        disk.set_room(Some(disk.used() + room_left));
        let mut refused = 0;
        for commit in 100_000 + room_left..100_000 + room_left + 20 {
            told.tried.insert(commit);
            match bus.commit(batch(&bus, commit, 2, 200), Vec::new()).await {
                Ok(done) => drop(told.acknowledged.insert(commit, done.last)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Storage);
                    assert!(error.is_retryable());
                    told.tried.remove(&commit);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0);
        check(&bus, &told, "full").await;
        disk.set_room(None);
    }
    let after = bus.append(&room(&bus, 0), Bytes::from("5/0/1/")).await;
    told.tried.insert(5);
    assert!(after.is_ok());
    drop((bus, backend));
    let disk = disk.after(Loss::All, 1);
    let (backend, bus) = open(&disk).unwrap();
    assert!(backend.recovery().damaged.is_empty(), "{:?}", backend.recovery());
    check(&bus, &told, "after a full disk").await;
}

/// A sync that fails refuses its commits, and they do not come back.
#[tokio::test]
async fn a_failed_sync() {
    let disk = Disk::new();
    let (backend, bus) = open(&disk).unwrap();
    let mut told = Told::default();
    for commit in 0..10 {
        if commit % 3 == 2 {
            disk.fail_syncs(1);
        }
        match bus.commit(batch(&bus, commit, 2, 50), Vec::new()).await {
            Ok(done) => {
                told.tried.insert(commit);
                told.acknowledged.insert(commit, done.last);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Storage),
        }
    }
    check(&bus, &told, "failed syncs").await;
    drop((bus, backend));
    for loss in [Loss::All, Loss::None] {
        let (_backend, bus) = open(&disk.after(loss, 1)).unwrap();
        check(&bus, &told, "failed syncs, opened again").await;
    }
}

/// A log restored from an older copy gives out no number twice under the same epoch.
#[tokio::test]
async fn a_log_that_is_behind() {
    let disk = Disk::new();
    let (epoch, last) = {
        let (_backend, bus) = open(&disk).unwrap();
        let mut last = 0;
        for commit in 0..5 {
            last = bus.commit(batch(&bus, commit, 1, 10), Vec::new()).await.unwrap().last;
        }
        (bus.epoch(), last)
    };
    {
        let (_backend, bus) = open(&disk.after(Loss::None, 0)).unwrap();
        assert_eq!(bus.epoch(), epoch, "the epoch stays over a restart");
    }
    let disk = disk.after(Loss::None, 0);
    let end = disk.len("00000001.log");
    disk.flip("00000001.log", end - 3, 1);
    let (backend, bus) = open(&disk).unwrap();
    let told = backend.recovery();
    assert!(told.behind || !told.damaged.is_empty(), "{told:?}");
    assert!(!told.behind || bus.epoch() != epoch);
    assert!(bus.append(&room(&bus, 0), Bytes::new()).await.unwrap() > last);
}

/// What is trimmed, expired or overwritten leaves the disk, and stays gone.
#[tokio::test]
async fn the_disk_is_bounded() {
    let disk = Disk::new();
    let (backend, bus) = open(&disk).unwrap();
    let zone = bus.registry().subject("zone", &["z"]).unwrap();
    let owner = bus.registry().subject("owner", &["z"]).unwrap();
    let kv = bus.kv("kept").unwrap();
    let mine = bus.append(&owner, Bytes::from("me")).await.unwrap();
    kv.put("old", Bytes::from("stays"), None).await.unwrap();
    kv.put("gone", Bytes::from("goes"), None).await.unwrap();
    kv.delete("gone").await.unwrap();
    let mut most = 0;
    for round in 0..400 {
        let fence = Fence { subject: owner.clone(), seq: mine };
        let append = Append { subject: zone.clone(), payload: Bytes::from(vec![b'x'; 500]) };
        let last = bus.commit(vec![append], vec![fence]).await.unwrap().last;
        kv.put("busy", Bytes::from(round.to_string()), None).await.unwrap();
        if round % 20 == 19 {
            bus.trim(&zone, last - 1).await.unwrap();
        }
        if round % 100 == 99 {
            // Maintenance runs each second; its thread hands over to the writer.
            tokio::time::sleep(Duration::from_millis(1_300)).await;
            bus.append(&owner, Bytes::new()).await.ok();
            bus.trim(&owner, 0).await.unwrap();
            most = most.max(disk.used());
        }
        if round % 100 == 99 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(disk.used() < 30_000, "{} bytes of {:?}", disk.used(), disk.names());
    let state = (
        bus.last(&zone).await.unwrap().map(|last| last.seq),
        bus.last(&owner).await.unwrap().map(|last| last.seq),
    );
    drop((bus, backend));
    for loss in [Loss::All, Loss::None] {
        let (backend, bus) = open(&disk.after(loss, 3)).unwrap();
        assert!(backend.recovery().damaged.is_empty());
        let found = (
            bus.last(&zone).await.unwrap().map(|last| last.seq),
            bus.last(&owner).await.unwrap().map(|last| last.seq),
        );
        assert_eq!(found, state);
        let kv = bus.kv("kept").unwrap();
        assert_eq!(kv.keys().await.unwrap(), ["busy", "old"]);
        assert_eq!(bus.read(std::slice::from_ref(&zone), 0, 100).await.unwrap().len(), 1);
        let mut set = bus.follow(&zone, From::After(1));
        assert!(matches!(set.next().await.unwrap(), Followed::Hole { .. }));
    }
}

/// A compaction that has ended while the writer was busy is put in place before the next one begins: both write to one
/// name, and the second would take away what the first has kept.
#[tokio::test]
async fn one_compaction_begins_after_the_other() {
    let disk = Disk::new();
    let (backend, bus) = open(&disk).unwrap();
    let zone = bus.registry().subject("zone", &["z"]).unwrap();
    let kv = bus.kv("kept").unwrap();
    kv.put("old", Bytes::from("stays"), None).await.unwrap();
    // Longer than maintenance is apart, and most of a compaction.
    disk.set_sync_takes(Duration::from_millis(3));
    for _ in 0..60 {
        let last = bus.append(&zone, Bytes::from(vec![b'x'; 1_500])).await.unwrap();
        bus.trim(&zone, last).await.unwrap();
    }
    assert!(disk.compactions() > 5, "{}", disk.compactions());
    assert_eq!(disk.overlaps(), 0);
    drop((kv, bus, backend));
    let (_backend, bus) = open(&disk.after(Loss::All, 3)).unwrap();
    let kept = bus.kv("kept").unwrap().get("old").await.unwrap();
    assert_eq!(kept.map(|kept| kept.value), Some(Bytes::from("stays")));
}

/// Work, its attempts and its dead letters outlive the process.
#[tokio::test]
async fn work_outlives_the_process() {
    let disk = Disk::new();
    let settings = WorkConfig { deliveries_max: 2, ..WorkConfig::default() };
    let names = |bus: &Bus| {
        (bus.registry().subject("work", &["q"]).unwrap(), bus.registry().subject("dlq", &["q"]).unwrap())
    };
    let held;
    let disk = {
        let (_backend, bus) = open(&disk).unwrap();
        let (queue, dead) = names(&bus);
        let work = bus.work(&queue, &dead, settings.clone()).unwrap();
        for job in ["done", "poison", "later"] {
            work.enqueue(Bytes::from(job), vec![("h".to_owned(), job.to_owned())]).await.unwrap();
        }
        work.next().await.unwrap().double_ack().await.unwrap();
        let poison = work.next().await.unwrap();
        assert_eq!(&poison.payload[..], b"poison");
        // Another commit after it: the attempt is stored when this is.
        bus.append(&room(&bus, 0), Bytes::new()).await.unwrap();
        // The process ends while a worker has it: it is neither acknowledged nor let go.
        held = Some((poison, _backend));
        disk.after(Loss::All, 0)
    };
    let (_backend, bus) = open(&disk).unwrap();
    let (queue, dead) = names(&bus);
    let work = bus.work(&queue, &dead, settings).unwrap();
    let poison = work.next().await.unwrap();
    assert_eq!((&poison.payload[..], poison.delivery), (&b"poison"[..], 2), "the first attempt counts");
    poison.nak(Duration::ZERO, "again").await.unwrap();
    let later = work.next().await.unwrap();
    assert_eq!((&later.payload[..], later.delivery), (&b"later"[..], 1));
    later.double_ack().await.unwrap();
    let letter = bus.last(&dead).await.unwrap().unwrap();
    let letter = tidings_bus::DeadLetter::decode(&letter.payload).unwrap();
    assert_eq!(&letter.payload[..], b"poison");
    assert_eq!(letter.attempts.len(), 2);
    assert_eq!(work.depth().await.unwrap(), 0);
    drop(held);
}
