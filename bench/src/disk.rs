//! The disk below a measured server: where its data lies, and how long an fdatasync takes there.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Linux's number for a file system that is in memory alone.
const TMPFS: u64 = 0x0102_1994;
/// Where Linux has such a file system.
const IN_MEMORY: &str = "/dev/shm";
/// Syncs of a sample: some tens of milliseconds, each round has several samples.
const SYNCS: usize = 40;
/// Bytes written before each sync, as a small group of lines.
const SYNC_BYTES: usize = 4096;

/// Where a server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// On a disk: what is confirmed was fsynced.
    Disk,
    /// On a file system in memory: nothing is stored, and a sync costs nothing.
    Memory,
}

/// A folder for one server's data, gone when dropped. Data on disk lies beside this program, which was built there.
pub fn folder(medium: Medium) -> Result<TempDir> {
    let parent = match medium {
        Medium::Disk => std::env::current_exe()?.parent().context("this program's folder")?.to_owned(),
        Medium::Memory => PathBuf::from(IN_MEMORY),
    };
    let kind = rustix::fs::statfs(&parent).with_context(|| parent.display().to_string())?.f_type;
    let in_memory = u64::try_from(kind).is_ok_and(|kind| kind == TMPFS);
    ensure!(
        in_memory == (medium == Medium::Memory),
        "{} is {} file system in memory",
        parent.display(),
        if in_memory { "a" } else { "no" }
    );
    tempfile::Builder::new().prefix("tidings-bench-").tempdir_in(parent).context("a folder for the data")
}

/// Microseconds of single appends with an fdatasync each, in a file of this folder.
pub fn fdatasyncs(folder: &Path) -> Result<Vec<f64>> {
    let path = folder.join("probe");
    let mut file = File::create(&path)?;
    let bytes = [b'x'; SYNC_BYTES];
    let mut micros = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&bytes)?;
        let begun = Instant::now();
        file.sync_data()?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(path)?;
    Ok(micros)
}
