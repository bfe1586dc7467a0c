//! Real NATS servers as processes on loopback ports, each with a store folder of its own; ended when dropped.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tempfile::TempDir;

use crate::disk::SmallDisk;

/// What the tests run against, a version a line; `cargo xtask test` fetches them.
const VERSIONS: &str = include_str!("../nats-versions");
/// How long a start may take.
const START_WAIT: Duration = Duration::from_secs(20);
/// Its configuration in its folder, where it has one.
const CONFIGURATION: &str = "nats.conf";
/// How long a server may take to stop.
const STOP_WAIT: Duration = Duration::from_millis(500);
/// How often a start is tried, and the pause between two.
pub(crate) const START_TRIES: usize = 4;
const START_AGAIN: Duration = Duration::from_millis(250);
/// How often a starting server is looked at.
const START_LOOK: Duration = Duration::from_millis(10);

/// The newest patch of the oldest server line that is supported.
pub fn oldest_nats() -> &'static str {
    VERSIONS.lines().next().expect("the file has a line")
}

/// The newest server.
pub fn newest_nats() -> &'static str {
    VERSIONS.lines().last().expect("the file has a line")
}

/// Where a version's program is, below the project's `.tools`.
pub fn nats_program(version: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("TIDINGS_TOOLS").map_or_else(|| root.join(".tools"), PathBuf::from);
    tools.join(format!("nats-server-{version}/bin/nats-server"))
}

/// A running server.
pub struct NatsServer {
    version: String,
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    cluster: Option<Peers>,
    environment: Vec<(String, String)>,
    /// What it stores on, where that is not its folder.
    disk: Option<SmallDisk>,
}

/// A server's place in a cluster.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) name: String,
    /// Where the others find it.
    pub(crate) listen: u16,
    /// Where it finds the others.
    pub(crate) routes: Vec<SocketAddr>,
    /// Where it says that it is to be found, by the others and by clients.
    pub(crate) advertise: Option<(String, String)>,
}

impl NatsServer {
    /// Starts one with JetStream.
    pub fn start(version: &str) -> Result<Self> {
        Self::start_in(version, None, "")
    }

    /// Starts one with JetStream and this configuration (TLS, users) beside what every test's server has; `environment`
    /// is what its variables stand for.
    pub fn start_with(version: &str, configuration: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the NATS server")?;
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        std::fs::write(folder.path().join(CONFIGURATION), configuration)?;
        let (child, address) = spawn(version, folder.path(), "127.0.0.1:-1", None, &environment, None)?;
        Ok(Self {
            version: version.to_owned(),
            child,
            address,
            folder,
            cluster: None,
            environment,
            disk: None,
        })
    }

    /// Starts one with JetStream that stores on this disk.
    pub fn start_on(version: &str, disk: SmallDisk) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the NATS server")?;
        let (child, address) = spawn(version, folder.path(), "127.0.0.1:-1", None, &[], Some(&disk))?;
        let (cluster, environment) = (None, Vec::new());
        let disk = Some(disk);
        Ok(Self { version: version.to_owned(), child, address, folder, cluster, environment, disk })
    }

    /// The disk it stores on, where it has one of its own.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// Gives one that was started with a configuration another one, while it runs.
    pub fn reconfigure(&self, configuration: &str) -> Result<()> {
        std::fs::write(self.folder.path().join(CONFIGURATION), configuration)?;
        rustix::process::kill_process(self.pid(), Signal::HUP).context("reloading the NATS server")
    }

    /// Starts `count` of them as one cluster, and waits until it has a leader.
    pub fn cluster(version: &str, count: usize) -> Result<Vec<Self>> {
        Self::cluster_with(version, count, "")
    }

    /// The same, each with this configuration.
    pub fn cluster_with(version: &str, count: usize, configuration: &str) -> Result<Vec<Self>> {
        // The ports are chosen before they are taken: somebody else may have come between.
        let mut started = Self::cluster_once(version, count, configuration);
        for _ in 1..START_TRIES {
            if started.is_ok() {
                break;
            }
            started = Self::cluster_once(version, count, configuration);
        }
        started
    }

    fn cluster_once(version: &str, count: usize, configuration: &str) -> Result<Vec<Self>> {
        let ports = free_ports(count)?;
        let routes: Vec<SocketAddr> =
            ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let servers: Vec<Self> = (0..count)
            .map(|place| {
                let (name, listen) = (format!("n{place}"), ports[place]);
                let peers = Peers { name, listen, routes: routes.clone(), advertise: None };
                Self::start_in(version, Some(peers), configuration)
            })
            .collect::<Result<_>>()?;
        Ok(servers)
    }

    /// Starts one of a cluster at this address, with this configuration.
    pub(crate) fn start_at(
        version: &str,
        address: SocketAddr,
        peers: Peers,
        configuration: &str,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the NATS server")?;
        std::fs::write(folder.path().join(CONFIGURATION), configuration)?;
        let (child, address) = spawn(version, folder.path(), &address.to_string(), Some(&peers), &[], None)?;
        let environment = Vec::new();
        let cluster = Some(peers);
        Ok(Self { version: version.to_owned(), child, address, folder, cluster, environment, disk: None })
    }

    fn start_in(version: &str, cluster: Option<Peers>, configuration: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the NATS server")?;
        if !configuration.is_empty() {
            std::fs::write(folder.path().join(CONFIGURATION), configuration)?;
        }
        let (child, address) = spawn(version, folder.path(), "127.0.0.1:-1", cluster.as_ref(), &[], None)?;
        let environment = Vec::new();
        Ok(Self { version: version.to_owned(), child, address, folder, cluster, environment, disk: None })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The same, by TLS.
    pub fn tls_url(&self) -> String {
        format!("tls://{}", self.address)
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| &cluster.name)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it without warning.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the NATS server")?;
        self.child.wait().context("waiting for the NATS server's end")?;
        Ok(())
    }

    /// Keeps a copy of what it stored, for `go_back`; it has to be killed before.
    pub fn keep_copy(&self) -> Result<()> {
        let folder = self.folder.path();
        copy_folder(&folder.join("store"), &folder.join("copy")).context("a copy of the NATS server's store")
    }

    /// Stores again what it had stored when the copy was taken; it has to be killed before.
    pub fn go_back(&self) -> Result<()> {
        self.wipe()?;
        let folder = self.folder.path();
        copy_folder(&folder.join("copy"), &folder.join("store"))
            .context("the copy of the NATS server's store")
    }

    /// Forgets what it stored; it has to be killed before.
    pub fn wipe(&self) -> Result<()> {
        std::fs::remove_dir_all(self.folder.path().join("store")).context("the NATS server's store")
    }

    /// Starts it again, at the same address, with what it stored.
    pub fn restart(&mut self) -> Result<()> {
        let listen = self.address.to_string();
        let (cluster, disk) = (self.cluster.as_ref(), self.disk.as_ref());
        let start = || spawn(&self.version, self.folder.path(), &listen, cluster, &self.environment, disk);
        let mut started = start();
        // Somebody may have taken its port for a moment: it is one of those that the system gives out.
        for _ in 1..START_TRIES {
            if started.is_ok() {
                break;
            }
            std::thread::sleep(START_AGAIN);
            started = start();
        }
        self.child = started?.0;
        Ok(())
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops its process without ending it: sockets stay open, nothing is answered. It is stopped when this returns: a
    /// signal takes a moment, and the threads of the server one after the other.
    pub fn freeze(&self) -> Result<()> {
        rustix::process::kill_process(self.pid(), Signal::STOP).context("stopping the NATS server")?;
        let begun = Instant::now();
        // Of one that was stopped already nothing is told.
        while begun.elapsed() < STOP_WAIT {
            let told = waitid(WaitId::Pid(self.pid()), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
            if told.context("the NATS server's state")?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Tells it to go: it hands over what it leads, lets its clients go, and ends.
    pub fn lame_duck(&self) -> Result<()> {
        rustix::process::kill_process(self.pid(), Signal::USR2).context("the NATS server's lame-duck mode")
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it holds in memory, in bytes; `None` where the system does not say.
    pub fn memory(&self) -> Option<u64> {
        crate::memory::of(&self.child.id().to_string())
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        rustix::process::kill_process(self.pid(), Signal::CONT).context("continuing the NATS server")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Ports that were free a moment ago: a cluster's members have to know each other's before they start.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn spawn(
    version: &str,
    folder: &Path,
    listen: &str,
    cluster: Option<&Peers>,
    environment: &[(String, String)],
    disk: Option<&SmallDisk>,
) -> Result<(Child, SocketAddr)> {
    let program = nats_program(version);
    if !program.is_file() {
        bail!("{} is missing: `cargo xtask test` fetches it", program.display());
    }
    let ports = folder.join("ports");
    let _ = std::fs::remove_dir_all(&ports);
    std::fs::create_dir_all(&ports)?;
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    let mut command = disk.map_or_else(|| Command::new(&program), |disk| disk.command(&program));
    let (host, port) = listen.rsplit_once(':').context("an address has a port")?;
    command.args(["--jetstream", "--addr", host, "--port", port, "--ports_file_dir"]).arg(&ports);
    command.arg("--store_dir").arg(disk.map_or(folder, SmallDisk::within).join("store"));
    if folder.join(CONFIGURATION).is_file() {
        command.arg("--config").arg(folder.join(CONFIGURATION));
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    if let Some(Peers { name, listen, routes, advertise }) = cluster {
        let routes: Vec<String> = routes.iter().map(|address| format!("nats://{address}")).collect();
        command.args(["--server_name", name, "--cluster_name", "tidings"]);
        command.args(["--cluster", &format!("nats://127.0.0.1:{listen}"), "--routes", &routes.join(",")]);
        if let Some((to_peers, to_clients)) = advertise {
            command.args(["--cluster_advertise", to_peers, "--client_advertise", to_clients]);
        }
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    match wait_for_address(&mut child, &ports) {
        Ok(address) => Ok((child, address)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            Err(error.context(log))
        }
    }
}

/// The server writes its ports to a file once it listens.
fn wait_for_address(child: &mut Child, ports: &Path) -> Result<SocketAddr> {
    let until = Instant::now() + START_WAIT;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            bail!("the NATS server ended with {status}");
        }
        for file in std::fs::read_dir(ports)?.flatten() {
            let Ok(text) = std::fs::read_to_string(file.path()) else { continue };
            let Ok(told) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
            // By TLS, too, the scheme is no matter here.
            let address = told["nats"][0].as_str().and_then(|url| url.split_once("://")?.1.parse().ok());
            if let Some(address) = address {
                return Ok(address);
            }
        }
        std::thread::sleep(START_LOOK);
    }
    bail!("the NATS server did not say where it listens within {START_WAIT:?}")
}
