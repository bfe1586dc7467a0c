//! The real server as a process on a loopback port, with a data folder of its own; ended when dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tidings_client::Api;

/// How long a start may take: a loaded machine, a debug build, a log to replay.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long a drain may take.
const STOP_WAIT: Duration = Duration::from_secs(30);
/// How often an end is looked for.
const END_LOOK: Duration = Duration::from_millis(20);

/// How a server is started.
pub struct ServerBuilder {
    binary: PathBuf,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running server.
pub struct Server {
    child: Child,
    address: SocketAddr,
    builder: ServerBuilder,
    data: PathBuf,
    _folder: TempDir,
}

impl ServerBuilder {
    /// A server of this binary: tests of the `tidings` package give `env!("CARGO_BIN_EXE_tidings")`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), settings: Vec::new(), environment: Vec::new() }
    }

    /// Sets a configuration key.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.settings.push(format!("{key}={value}"));
        self
    }

    /// Limits so high that a test does not meet them by accident.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        for key in [
            "limits.commands_per_minute",
            "limits.say_per_minute",
            "limits.local_per_minute",
            "limits.global_per_minute",
            "limits.party_per_minute",
            "limits.whispers_per_minute",
            "limits.whispers_per_person_per_minute",
            "limits.connects_per_minute_per_address",
            "limits.sign_ins_per_minute_per_address",
            "limits.accounts_per_minute_per_address",
        ] {
            self = self.set(key, 0);
        }
        self
    }

    /// Starts it and waits until it prints its address.
    pub fn start(self) -> Result<Server> {
        let folder = tempfile::tempdir().context("a folder for the server's data")?;
        let data = folder.path().join("data");
        let (child, address) = self.spawn(&data, "127.0.0.1:0")?;
        Ok(Server { child, address, builder: self, data, _folder: folder })
    }

    fn spawn(&self, data: &Path, listen: &str) -> Result<(Child, SocketAddr)> {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", listen, "--data"]).arg(data);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let stdout = child.stdout.take().expect("asked for a pipe");
        match printed_address(stdout) {
            Ok(address) => Ok((child, address)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

/// Reads the output until it holds `http://ADDRESS`; the rest is read away by a thread that ends with the pipe.
fn printed_address(stdout: impl Read + Send + 'static) -> Result<SocketAddr> {
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
    wait.recv_timeout(START_WAIT).context("the server did not print its address")
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its HTTP interface.
    pub fn api(&self) -> Api {
        Api::new(self.address)
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without warning.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("waiting for the server's end")?;
        Ok(())
    }

    /// Asks it to drain and stop, and waits for its end.
    pub fn stop(&mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("stopping the server")?;
        let status = self.ended(STOP_WAIT)?;
        if status.success() { Ok(()) } else { bail!("the server ended with {status}") }
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self, wait: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                bail!("the server did not end within {wait:?}");
            }
            std::thread::sleep(END_LOOK);
        }
    }

    /// Starts it again, at the same address, with the same data.
    pub fn restart(&mut self) -> Result<()> {
        let (child, address) = self.builder.spawn(&self.data, &self.address.to_string())?;
        self.child = child;
        self.address = address;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
