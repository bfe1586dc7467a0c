//! A small disk of its own that can be filled and freed: a tmpfs in a mount namespace that a process holds open.
//!
//! It needs a right that root has, and others on most systems: to make a namespace. Where there is none, `make` says so.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// What is written to it at once.
const CHUNK: usize = 64 * 1024;

/// A disk; gone with everything on it when it is dropped.
pub struct SmallDisk {
    holder: Child,
    folder: TempDir,
}

impl SmallDisk {
    /// A disk of so many bytes; `None` where this system does not let us make one.
    pub fn make(bytes: u64) -> Result<Option<Self>> {
        let folder = tempfile::tempdir().context("a place for a disk")?;
        let script = "mount -t tmpfs -o size=\"$0\" none \"$1\" && echo ready && exec cat";
        let spawned = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", script, &bytes.to_string()])
            .arg(folder.path())
            // It ends when this process does: nobody holds its input then.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut holder) = spawned else { return Ok(None) };
        let mut ready = [0; 5];
        let told = holder.stdout.take().context("its output")?.read_exact(&mut ready);
        let disk = Self { holder, folder };
        Ok(told.is_ok().then_some(disk))
    }

    /// Where it is for a program that runs in it.
    pub fn within(&self) -> &Path {
        self.folder.path()
    }

    /// Where it is for this process.
    pub fn seen(&self) -> PathBuf {
        let below = self.folder.path().strip_prefix("/").unwrap_or(self.folder.path());
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(below)
    }

    /// A program that runs in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--user", "--mount"]);
        command.arg("--preserve-credentials").arg(program);
        command
    }

    fn ballast(&self) -> PathBuf {
        self.seen().join("ballast")
    }

    /// Takes all the room there is.
    pub fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::options().create(true).append(true).open(self.ballast())?;
        for size in [CHUNK, 1] {
            loop {
                match file.write_all(&[0_u8; CHUNK][..size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling a disk"),
                }
            }
        }
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> Result<()> {
        std::fs::remove_file(self.ballast()).context("freeing a disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
