//! A measured process: pinned to a core, its address read from its output, its memory and time from /proc.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a start may take.
const START_WAIT: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to the line with its address.
    pub started_in: Duration,
}

impl Process {
    /// Starts a program on one core and waits for `http://ADDRESS` in its output.
    pub fn start(program: &Path, args: &[String], core: usize) -> Result<Self> {
        let begun = Instant::now();
        let mut child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {} (with taskset, of util-linux)", program.display()))?;
        let stdout = child.stdout.take().expect("asked for a pipe");
        let (found, wait) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let address = line.split("http://").nth(1).and_then(|rest| {
                    rest.split(|c: char| c.is_whitespace() || c == '/').next()?.parse::<SocketAddr>().ok()
                });
                if let Some(address) = address {
                    let _ = found.try_send(address);
                }
            }
        });
        let address = wait.recv_timeout(START_WAIT);
        let started_in = begun.elapsed();
        match address {
            Ok(address) => Ok(Self { child, address, started_in }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).with_context(|| format!("{} printed no address", program.display()))
            }
        }
    }

    /// Ends it without warning.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("waiting for the server's end")?;
        Ok(())
    }

    /// Its resident memory, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// The processor time it has used.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program built beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's path")?;
    let found = own.with_file_name(name);
    anyhow::ensure!(found.exists(), "{} is not built: cargo build --release --workspace", found.display());
    Ok(found)
}

/// Pins this process to one core, so that load and server do not share one.
pub fn pin_to(core: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).context("pinning to a core")
}

/// Lets this process, and those it starts, have as many connections as the system allows.
pub fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the first connection too many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The processor time this process has used.
pub fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(')').next().context("stat")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10)) // 100 ticks a second, as Linux reports to programs
}
