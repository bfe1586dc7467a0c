//! What is loaded: Tidings with everything on, one of the references, or a peer.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tidings_client::{Api, Method, SignedIn};
use tidings_test_support::{NatsServer, newest_nats};

use super::room::Connection;
use super::{member, peers, world};
use crate::disk::{self, Medium};
use crate::process::{Process, beside};

/// The core the server is pinned to; the load takes the other.
pub const SERVER_CORE: usize = 0;
/// The core of the load.
pub const LOAD_CORE: usize = 1;
/// Settings that are above any load.
const LIMITS_OFF: [&str; 5] = [
    "commands_per_minute",
    "say_per_minute",
    "connects_per_minute_per_address",
    "sign_ins_per_minute_per_address",
    "accounts_per_minute_per_address",
];
/// The load's world has ways that its checker wonders about.
const QUIET: &str = "log.level=warn,tidings::commands::world=error";
/// Names the folder with the peers' programs; `cargo xtask bench peers` sets it. Not `TIDINGS_...`: those are settings.
pub const PEERS_FOLDER: &str = "BENCH_PEERS";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tidings with sign-in, mutes, limits and rules, and its log on this.
    Tidings(Medium),
    /// Tidings on a NATS server, which shares its core.
    OnNats,
    /// Room fan-out written directly on tokio-tungstenite.
    Bare,
    /// Hand-written frames, encoded once, gathered writes, nothing else.
    Limit,
    /// Socket.IO on Node.
    SocketIo,
    /// Socket.IO in Rust.
    Socketioxide,
    /// The package `ws` on Node.
    Ws,
}

impl Kind {
    /// Tidings as it is run: what is confirmed is on disk.
    pub const DURABLE: Self = Self::Tidings(Medium::Disk);
    /// Tidings with its log in memory alone.
    pub const UNSTORED: Self = Self::Tidings(Medium::Memory);

    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tidings(Medium::Disk) => "tidings, durable",
            Self::Tidings(Medium::Memory) => "tidings, nothing stored",
            Self::OnNats => "tidings, on NATS",
            Self::Bare => "bare",
            Self::Limit => "limit",
            Self::SocketIo => "socket.io",
            Self::Socketioxide => "socketioxide",
            Self::Ws => "ws",
        }
    }
}

/// A running server that is loaded.
pub struct Target {
    /// Which.
    pub kind: Kind,
    /// Its process.
    pub process: Process,
    settings: Vec<String>,
    data: TempDir,
    /// Ended after those who use it.
    nats: Option<NatsServer>,
}

/// What a frame means to the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A line of somebody else.
    Line,
    /// The own line's copy or confirmation: the next may be sent.
    Own,
    /// What was said was refused: the load is not what it should be.
    Refused,
    /// Something else.
    Other,
}

impl Target {
    /// Starts one, with `settings` for Tidings (`key=value`).
    pub fn start(kind: Kind, settings: &[String]) -> Result<Self> {
        let medium = if let Kind::Tidings(medium) = kind { medium } else { Medium::Disk };
        let data = disk::folder(medium)?;
        let nats = if kind == Kind::OnNats { Some(nats_on(SERVER_CORE)?) } else { None };
        let process = match kind {
            Kind::Bare => Process::start(&beside("bare")?, &[], SERVER_CORE)?,
            Kind::Limit => Process::start(&beside("limit")?, &[], SERVER_CORE)?,
            Kind::SocketIo => node("socketio.mjs")?,
            Kind::Ws => node("ws.mjs")?,
            Kind::Socketioxide => Process::start(&peer("socketioxide")?, &[], SERVER_CORE)?,
            Kind::Tidings(_) | Kind::OnNats => {
                world::write(&data.path().join("world"))?;
                let url = nats.as_ref().map(NatsServer::url);
                tidings(data.path(), "127.0.0.1:0", url.as_deref(), settings)?
            }
        };
        Ok(Self { kind, process, settings: settings.to_vec(), data, nats })
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    /// Starts Tidings again after a kill, with the same data and at the same address.
    pub fn restart(&mut self) -> Result<()> {
        let address = self.process.address.to_string();
        let url = self.nats.as_ref().map(NatsServer::url);
        self.process = tidings(self.data.path(), &address, url.as_deref(), &self.settings)?;
        Ok(())
    }

    /// A guest, who is not in the world yet.
    pub async fn guest(&self) -> Result<SignedIn> {
        Api::new(self.process.address).guest().await.context("a guest")
    }

    /// Lines that the history of Tidings has stored since it started; `None`: it has none.
    pub async fn kept(&self) -> Result<Option<u64>> {
        if !matches!(self.kind, Kind::Tidings(_) | Kind::OnNats) {
            return Ok(None);
        }
        let answer = Api::new(self.process.address).send(Method::GET, "/metrics", &[], None).await?;
        let text = answer.body.as_str().context("the metrics are a text")?;
        let line = text.lines().find_map(|line| line.strip_prefix("tidings_chat_lines_total "));
        let kept = line.and_then(|number| number.trim().parse().ok());
        kept.map(Some).context("the metrics have the history's lines")
    }

    /// A ticket for somebody signed in.
    pub async fn ticket(&self, session: &SignedIn) -> Result<String> {
        Api::new(self.process.address).ticket(session).await.context("a ticket")
    }

    /// A connection in a room: of Tidings a guest's, who walked there.
    pub async fn join(&self, number: usize, room: usize, rooms: usize) -> Result<Connection> {
        let address = self.process.address;
        match self.kind {
            Kind::Tidings(_) | Kind::OnNats => {
                let connection = member::enter_by_token(address, &self.guest().await?).await?;
                member::walk(&connection, &world::way(room, rooms)).await?;
                Ok(connection)
            }
            Kind::Bare | Kind::Limit | Kind::Ws => {
                let connection = Connection::open(address).await?;
                connection.send(&format!("J{room} {number}")).await?;
                connection.until(|payload| payload.starts_with(b"joined")).await?;
                Ok(connection)
            }
            Kind::SocketIo | Kind::Socketioxide => peers::join(address, room).await,
        }
    }

    /// The frame that says a line: `number` is the speaker, `id` the command's.
    pub fn say(&self, number: usize, id: u64, line: &str) -> String {
        match self.kind {
            Kind::Tidings(_) | Kind::OnNats => member::say(id, line),
            Kind::Bare | Kind::Limit | Kind::Ws => format!("{number} {line}"),
            Kind::SocketIo | Kind::Socketioxide => peers::say(&format!("{number} {line}")),
        }
    }

    /// What a frame means to the connection with this number.
    pub fn hear(&self, number: usize, payload: &[u8]) -> Heard {
        match self.kind {
            Kind::Tidings(_) | Kind::OnNats => tidings_frame(payload),
            Kind::Bare | Kind::Limit | Kind::Ws => numbered(payload, number),
            Kind::SocketIo | Kind::Socketioxide => {
                peers::line(payload).map_or(Heard::Other, |line| numbered(line, number))
            }
        }
    }
}

fn tidings_frame(payload: &[u8]) -> Heard {
    if member::is_said(payload) {
        Heard::Line
    } else if payload.starts_with(br#"{"type":"reply""#) {
        // The id goes before it, and is short.
        let head = &payload[..payload.len().min(64)];
        let done = head.windows(9).any(|nine| nine == br#""ok":true"#);
        if done { Heard::Own } else { Heard::Refused }
    } else if payload.starts_with(br#"{"type":"error""#) {
        Heard::Refused
    } else {
        Heard::Other
    }
}

/// A line that its speaker's number goes before.
fn numbered(line: &[u8], number: usize) -> Heard {
    let author = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let author = std::str::from_utf8(author).ok().and_then(|text| text.parse::<usize>().ok());
    if author == Some(number) { Heard::Own } else { Heard::Line }
}

fn peer(name: &str) -> Result<PathBuf> {
    let folder =
        std::env::var_os(PEERS_FOLDER).context("peers are built and run by `cargo xtask bench peers`")?;
    let program = Path::new(&folder).join(name);
    ensure!(program.exists(), "{} is missing", program.display());
    Ok(program)
}

fn node(script: &str) -> Result<Process> {
    let script = peer(script)?.display().to_string();
    Process::start(Path::new("node"), &[script], SERVER_CORE)
}

/// A NATS server as it comes: one replica, what is stored synced every two minutes.
fn nats_on(core: usize) -> Result<NatsServer> {
    let nats = NatsServer::start(newest_nats())?;
    let pinned =
        Command::new("taskset").args(["-acp", &core.to_string(), &nats.id().to_string()]).output()?;
    ensure!(pinned.status.success(), "pinning nats-server: {}", String::from_utf8_lossy(&pinned.stderr));
    Ok(nats)
}

fn tidings(data: &Path, listen: &str, nats: Option<&str>, settings: &[String]) -> Result<Process> {
    let mut args = vec!["serve".to_owned(), "--listen".to_owned(), listen.to_owned()];
    args.extend(nats.into_iter().flat_map(|url| ["--nats".to_owned(), url.to_owned()]));
    args.extend(["--data".to_owned(), data.join("data").display().to_string()]);
    args.extend(["--world".to_owned(), data.join("world").display().to_string()]);
    args.extend(["--set".to_owned(), QUIET.to_owned()]);
    for key in LIMITS_OFF {
        args.extend(["--set".to_owned(), format!("limits.{key}=1000000000")]);
    }
    for setting in settings {
        args.extend(["--set".to_owned(), setting.clone()]);
    }
    Process::start(&beside("tidings")?, &args, SERVER_CORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_tidings_are_told_apart() {
        for (frame, heard) in [
            (r#"{"type":"event","kind":"chat.say","audience":"room"}"#, Heard::Line),
            (r#"{"type":"event","kind":"event.entered","audience":"room"}"#, Heard::Other),
            (r#"{"type":"reply","id":"s17","ok":true,"text":"You say: hello"}"#, Heard::Own),
            (r#"{"type":"reply","id":"s17","ok":false,"text":"You are muted."}"#, Heard::Refused),
            (r#"{"type":"error","id":"s17","code":"rate_limited"}"#, Heard::Refused),
            (r#"{"type":"pong"}"#, Heard::Other),
        ] {
            assert_eq!(tidings_frame(frame.as_bytes()), heard, "{frame}");
        }
        assert_eq!(numbered(b"7 ~t", 7), Heard::Own);
        assert_eq!(numbered(b"77 ~t", 7), Heard::Line);
    }
}
