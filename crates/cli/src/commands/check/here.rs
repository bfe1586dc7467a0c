//! What is looked at on this machine: the data folder and its disk, the port, the limit of descriptors.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::Config;
use crate::control::Access;
use crate::process::DESCRIPTORS_WANTED;

/// Syncs that are timed: enough for a median.
const SYNCS: usize = 21;
/// Bytes of each: a block.
const SYNC_BYTES: usize = 4_096;
/// No disk that keeps what it says syncs faster.
const SYNC_SHORTEST: Duration = Duration::from_micros(30);
/// Commits wait for a sync: slower than this people notice.
const SYNC_LONG: Duration = Duration::from_millis(25);
/// A file system in memory.
const TMPFS: i64 = 0x0102_1994;
/// Free bytes below which the disk is soon full: an hour of a busy world's log, with room to compact.
const FREE_WANTED: u64 = 1 << 30;

/// Looks at this machine.
pub fn findings(config: &Config) -> Result<Vec<Finding>> {
    let data = config.data();
    let running = data.is_dir() && Access::server(&data)?.is_some();
    let mut findings = Vec::new();
    if config.roles().keeps_storage() {
        findings.extend(folder(&data, running));
    }
    findings.push(port(config, running));
    findings.push(descriptors());
    Ok(findings)
}

/// The folder, or the nearest there is above it.
fn standing(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = whole.ancestors().find(|one| one.is_dir()).map(Path::to_owned);
    found.unwrap_or(whole)
}

fn folder(data: &Path, running: bool) -> Vec<Finding> {
    let (shown, at) = (data.display(), standing(data));
    let probe = at.join(format!(".tidings-check-{}", std::process::id()));
    let timed = time_syncs(&probe);
    let _ = std::fs::remove_file(&probe);
    let median = match timed {
        Ok(median) => median,
        Err(error) => {
            let found = format!("nothing can be written in {}: {error}", at.display());
            return vec![Finding::fail(
                "data folder",
                found,
                "choose another with --data, or let this user write there",
            )];
        }
    };
    let state = match (running, data.is_dir()) {
        (true, _) => "a server runs on it",
        (false, true) => "it can be written",
        (false, false) => "it is made at the first start",
    };
    vec![Finding::ok("data folder", format!("{shown}: {state}")), disk(&at, median), space(&at)]
}

fn time_syncs(probe: &Path) -> std::io::Result<Duration> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(probe)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0; SYNC_BYTES])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times[SYNCS / 2])
}

fn disk(at: &Path, median: Duration) -> Finding {
    let found = format!("a sync takes {:.2} ms", median.as_secs_f64() * 1_000.0);
    let in_memory = rustix::fs::statfs(at).is_ok_and(|fs| fs.f_type == TMPFS);
    if in_memory {
        let advice = "what is stored there is gone with the machine: choose a folder on a disk with --data";
        return Finding::warn("disk sync", format!("{found}, in memory"), advice);
    }
    if median < SYNC_SHORTEST {
        let advice = "no disk is that fast: something below says 'stored' before it is. Turn that off, or trust its battery";
        return Finding::warn("disk sync", found, advice);
    }
    if median > SYNC_LONG {
        let advice = "everything said waits for it: choose a faster disk with --data";
        return Finding::warn("disk sync", found, advice);
    }
    Finding::ok("disk sync", found)
}

fn space(at: &Path) -> Finding {
    match rustix::fs::statvfs(at) {
        Ok(fs) => {
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            let found = format!("{} MiB free", free >> 20);
            if free >= FREE_WANTED {
                Finding::ok("disk space", found)
            } else {
                Finding::warn(
                    "disk space",
                    found,
                    "a full disk refuses what is said until there is room again",
                )
            }
        }
        Err(error) => Finding::warn("disk space", format!("not known: {error}"), ""),
    }
}

fn port(config: &Config, running: bool) -> Finding {
    let listen = config.listen();
    if running {
        return Finding::ok("port", format!("{listen}: left to the server that runs"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("port", format!("{listen} is free")),
        Err(error) => Finding::fail("port", format!("{listen}: {error}"), "choose another with --listen"),
    }
}

fn descriptors() -> Finding {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let found = format!("at most {most} files and sockets");
    if most >= DESCRIPTORS_WANTED {
        Finding::ok("descriptors", found)
    } else {
        let advice = format!("each player takes one: allow {DESCRIPTORS_WANTED} or more (ulimit -Hn)");
        Finding::warn("descriptors", found, advice)
    }
}
