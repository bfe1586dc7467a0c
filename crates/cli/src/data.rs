//! The data folder: where what lies, and the lock that one process at a time holds on it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

/// How often a held lock is tried again.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// Bytes of the lock file that are read: a process id.
const PID_BYTES_MAX: u64 = 20;

/// The file that says who kept a world of a cluster from here last.
const KEEPER: &str = "keeper";
/// Bytes of it that are read: a process's name.
const NAME_BYTES_MAX: u64 = 100;

/// A data folder that this process holds. The lock ends with it, however the process ends.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// What came of trying to hold a folder.
#[derive(Debug)]
pub enum Held {
    /// It is this process's.
    Ours(DataFolder),
    /// Another process has it: its id, where it says so.
    Theirs(Option<u32>),
}

impl DataFolder {
    /// Makes the folder where it is missing, readable by its owner alone, and locks it; a held lock is tried again
    /// until `patience` ends.
    pub fn hold(path: &Path, patience: Duration) -> anyhow::Result<Held> {
        let shown = || format!("the data folder {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(shown)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(path.join("lock")).with_context(shown)?;
        let until = Instant::now() + patience;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(TRY_EVERY),
                Err(TryLockError::WouldBlock) => return Ok(Held::Theirs(pid(&mut lock))),
                Err(TryLockError::Error(error)) => return Err(error).with_context(shown),
            }
        }
        lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).with_context(shown)?;
        Ok(Held::Ours(Self { path: path.to_owned(), _lock: lock }))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database of accounts, characters and history.
    pub fn database(&self) -> PathBuf {
        self.path.join("tidings.db")
    }

    /// The name of the process that kept a world of a cluster from here last.
    pub fn keeper(&self) -> Option<String> {
        let mut name = String::new();
        File::open(self.path.join(KEEPER)).ok()?.take(NAME_BYTES_MAX).read_to_string(&mut name).ok()?;
        Some(name).filter(|name| !name.is_empty())
    }

    /// From now on it is this one.
    pub fn keep_keeper(&self, name: &str) -> anyhow::Result<()> {
        let file = self.path.join(KEEPER);
        std::fs::write(&file, name).with_context(|| format!("{}", file.display()))
    }

    /// The log that everything said is in.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

fn pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b");
        let Held::Ours(first) = DataFolder::hold(&path, Duration::ZERO).expect("a folder") else {
            panic!("nobody else has it")
        };
        match DataFolder::hold(&path, Duration::ZERO).expect("a folder") {
            Held::Theirs(pid) => assert_eq!(pid, Some(std::process::id())),
            Held::Ours(_) => panic!("it is held"),
        }
        drop(first);
        assert!(matches!(DataFolder::hold(&path, Duration::ZERO), Ok(Held::Ours(_))));
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("the folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
