//! What is loaded: Tidings with everything on, or one of the references.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use tidings_client::{Api, SignedIn};

use super::room::Connection;
use super::world;
use crate::process::{Process, beside};

/// The core the server is pinned to; the load takes the other.
pub const SERVER_CORE: usize = 0;
/// The core of the load.
pub const LOAD_CORE: usize = 1;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tidings: sign-in, mutes, limits, rules and a durable log.
    Tidings,
    /// Room fan-out written directly on tokio-tungstenite.
    Bare,
    /// Hand-written frames, encoded once, gathered writes, nothing else.
    Limit,
}

impl Kind {
    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tidings => "tidings",
            Self::Bare => "bare",
            Self::Limit => "limit",
        }
    }
}

/// A running server that is loaded.
pub struct Target {
    /// Which.
    pub kind: Kind,
    /// Its process.
    pub process: Process,
    _data: tempfile::TempDir,
}

/// What a frame means to the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A line of somebody else.
    Line,
    /// The own line's copy or confirmation: the next may be sent.
    Own,
    /// Something else.
    Other,
}

impl Target {
    /// Starts one, with `settings` for Tidings (`key=value`).
    pub fn start(kind: Kind, settings: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir().context("a folder for the server's data")?;
        let process = match kind {
            Kind::Bare => Process::start(&beside("bare")?, &[], SERVER_CORE)?,
            Kind::Limit => Process::start(&beside("limit")?, &[], SERVER_CORE)?,
            Kind::Tidings => {
                let folder = data.path().join("world");
                world::write(&folder)?;
                Process::start(&beside("tidings")?, &arguments(data.path(), &folder, settings), SERVER_CORE)?
            }
        };
        Ok(Self { kind, process, _data: data })
    }

    /// Opens connections, `members` a room, in `rooms` rooms; the n-th connection is in room n % rooms.
    pub async fn join(&self, rooms: usize, members: usize) -> Result<Vec<Rc<Connection>>> {
        let mut connections = Vec::with_capacity(rooms * members);
        for number in 0..rooms * members {
            let connection = self.join_one(number, number % rooms, rooms).await;
            connections.push(Rc::new(connection.with_context(|| format!("connection {number}"))?));
        }
        Ok(connections)
    }

    async fn join_one(&self, number: usize, room: usize, rooms: usize) -> Result<Connection> {
        if self.kind != Kind::Tidings {
            let connection = Connection::open(self.process.address).await?;
            connection.send(&format!("J{room} {number}")).await?;
            connection.until(|payload| payload.starts_with(b"joined")).await?;
            return Ok(connection);
        }
        let (session, ticket) = self.ticket().await?;
        let connection = self.enter(&session, &ticket).await?;
        for (step, direction) in world::way(room, rooms).into_iter().enumerate() {
            connection.send(&format!(r#"{{"type":"command","id":"w{step}","text":"{direction}"}}"#)).await?;
            connection.until(|payload| payload.starts_with(br#"{"type":"state""#)).await?;
        }
        Ok(connection)
    }

    /// A guest with a ticket.
    pub async fn ticket(&self) -> Result<(SignedIn, String)> {
        let api = Api::new(self.process.address);
        let session = api.guest().await.context("a guest")?;
        let ticket = api.ticket(&session).await.context("a ticket")?;
        Ok((session, ticket))
    }

    /// Opens a socket with a ticket, up to the first state.
    pub async fn enter(&self, session: &SignedIn, ticket: &str) -> Result<Connection> {
        let connection = Connection::open(self.process.address).await?;
        let csrf = &session.csrf_token;
        connection.send(&format!(r#"{{"type":"hello","ticket":"{ticket}","csrf":"{csrf}"}}"#)).await?;
        connection.until(|payload| payload.starts_with(br#"{"type":"state""#)).await?;
        Ok(connection)
    }

    /// The frame that says a line: `number` is the speaker, `id` the command's.
    pub fn say(&self, number: usize, id: u64, line: &str) -> String {
        match self.kind {
            Kind::Tidings => format!(r#"{{"type":"command","id":"s{id}","text":"say {line}"}}"#),
            Kind::Bare | Kind::Limit => format!("{number} {line}"),
        }
    }

    /// What a frame means to the connection with this number.
    pub fn hear(&self, number: usize, payload: &[u8]) -> Heard {
        match self.kind {
            Kind::Tidings if payload.starts_with(br#"{"type":"event""#) => Heard::Line,
            Kind::Tidings if payload.starts_with(br#"{"type":"reply""#) => Heard::Own,
            Kind::Tidings => Heard::Other,
            Kind::Bare | Kind::Limit => {
                let author = payload.split(|byte| *byte == b' ').next().unwrap_or_default();
                let author = std::str::from_utf8(author).ok().and_then(|text| text.parse::<usize>().ok());
                if author == Some(number) { Heard::Own } else { Heard::Line }
            }
        }
    }
}

fn arguments(data: &Path, world: &Path, settings: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = ["serve", "--listen", "127.0.0.1:0", "--data"].map(str::to_owned).to_vec();
    args.push(data.join("data").display().to_string());
    args.push("--world".to_owned());
    args.push(world.display().to_string());
    let off = [
        "commands_per_minute",
        "say_per_minute",
        "connects_per_minute_per_address",
        "sign_ins_per_minute_per_address",
        "accounts_per_minute_per_address",
    ];
    for key in off {
        args.extend(["--set".to_owned(), format!("limits.{key}=1000000000")]);
    }
    for setting in settings {
        args.extend(["--set".to_owned(), (*setting).to_owned()]);
    }
    args
}
