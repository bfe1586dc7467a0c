//! A NATS server, a process that keeps the world, and edges.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tidings_client::frames::{Bye, ServerFrame};
use tidings_client::{Api, Connection};
use tidings_protocol::Position;
use tidings_test_support::{NatsServer, Player, Server, ServerBuilder, newest_nats};

/// A world in processes.
pub struct Cluster {
    pub nats: NatsServer,
    /// The one that has the storage.
    pub world: Server,
    pub edges: Vec<Server>,
    /// Who asked for an edge so far.
    asked: AtomicUsize,
}

/// How the processes are started.
pub struct Setup(fn(ServerBuilder) -> ServerBuilder);

/// Processes with limits out of the way.
pub fn server() -> Setup {
    Setup(ServerBuilder::without_limits)
}

/// Processes with the limits that players meet.
pub fn server_with_limits() -> Setup {
    Setup(|builder| builder)
}

/// Where one who was at this address comes back: at another edge.
pub fn elsewhere(cluster: &Cluster, address: SocketAddr) -> SocketAddr {
    let other = cluster.edges.iter().map(Server::address).find(|other| *other != address);
    other.expect("there are two edges")
}

/// A process on this server, with the tests' world.
pub fn process(nats: &NatsServer, roles: &str) -> ServerBuilder {
    process_at(&nats.url(), roles)
}

/// The same on these servers.
pub fn process_at(servers: &str, roles: &str) -> ServerBuilder {
    let world = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/world");
    let builder = ServerBuilder::new(env!("CARGO_BIN_EXE_tidings")).set("world", world.display());
    builder.set("nats.servers", servers).set("roles", roles).set("log.level", "warn")
}

impl Setup {
    /// One process for zones and services, and two edges.
    pub fn start(self) -> Result<Cluster> {
        let nats = NatsServer::start(newest_nats())?;
        let start = |roles| (self.0)(process(&nats, roles)).start();
        let (world, edges) = (start("zone,services")?, vec![start("edge")?, start("edge")?]);
        Ok(Cluster { nats, world, edges, asked: AtomicUsize::new(0) })
    }
}

impl Cluster {
    /// Without limits.
    pub fn start() -> Result<Self> {
        server().start()
    }

    /// The HTTP of the next edge in turn.
    pub fn api(&self) -> Api {
        self.edges[self.asked.fetch_add(1, Ordering::Relaxed) % self.edges.len()].api()
    }

    /// Kills the process that keeps the world.
    pub fn kill(&mut self) -> Result<()> {
        self.world.kill()
    }

    /// Starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.world.restart()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.world.data()
    }

    /// A player of this name, at this edge.
    pub async fn player(&self, edge: usize, name: &str) -> Result<Player> {
        Player::new(&self.edges[edge].api(), name).await
    }

    /// Runs the command line where the storage is.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        let output = command.args(args).arg("--data").arg(self.data()).output()?;
        ensure!(output.status.success(), "{args:?}: {output:?}");
        Ok(output)
    }
}

/// Sends a process a signal.
pub fn signal(server: &Server, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(server.pid().try_into()?).context("a process")?;
    Ok(kill_process(pid, signal)?)
}

/// Who left its socket without a word, and where it was.
pub struct Away {
    player: Player,
    point: (SocketAddr, String, Position),
}

impl Away {
    /// Keeps what is needed to come back; the socket is whatever became of it.
    pub fn of(player: Player) -> Self {
        let point = player.connection.resume_point();
        Self { player, point }
    }

    /// Comes back at an edge, and has missed nothing.
    pub async fn back(self, edge: &Server) -> Result<Player> {
        let (_, secret, position) = self.point;
        let connection = Connection::resume(edge.address(), &secret, Some(position)).await?;
        ensure!(connection.welcome().recovered, "{:?}", connection.welcome().reason);
        Ok(Player { connection, ..self.player })
    }
}

/// The `bye` that a player is sent away with, which has to come within a second.
pub async fn sent_away(player: &mut Player, since: Instant) -> Result<Bye> {
    let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(_));
    let ServerFrame::Bye(bye) = player.connection.find(bye, Duration::from_secs(5)).await? else {
        bail!("not a bye")
    };
    ensure!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    Ok(bye)
}

/// The lines that somebody said, of what has come until it is silent.
pub async fn said(player: &mut Player, who: &str) -> Vec<String> {
    let says = format!("{who} says: ");
    let lines = player.lines().await.into_iter();
    lines.filter_map(|line| line.strip_prefix(&says).map(str::to_owned)).collect()
}
