//! Somebody in Tidings' world: entering by token, ticket or resume secret, walking, and what frames say.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidings_client::SignedIn;

use super::room::Connection;

/// How the first view of the world begins.
const STATE: &[u8] = br#"{"type":"state""#;
/// How a line that somebody said begins.
const SAID: &[u8] = br#"{"type":"event","kind":"chat.say""#;

/// Opens a socket and enters with the access token, up to the first state.
pub async fn enter_by_token(address: SocketAddr, session: &SignedIn) -> Result<Connection> {
    let hello = format!(r#"{{"type":"hello","token":"{}"}}"#, session.access_token);
    enter(Connection::open(address).await?, &hello).await
}

/// The same, on a socket that was opened before.
pub async fn enter_on(connection: Connection, session: &SignedIn) -> Result<Connection> {
    enter(connection, &format!(r#"{{"type":"hello","token":"{}"}}"#, session.access_token)).await
}

/// Opens a socket and enters with a ticket, as a page does, up to the first state.
pub async fn enter_by_ticket(address: SocketAddr, session: &SignedIn, ticket: &str) -> Result<Connection> {
    let csrf = &session.csrf_token;
    let hello = format!(r#"{{"type":"hello","ticket":"{ticket}","csrf":"{csrf}"}}"#);
    enter(Connection::open(address).await?, &hello).await
}

async fn enter(connection: Connection, hello: &str) -> Result<Connection> {
    connection.send(hello).await?;
    connection.until(|payload| payload.starts_with(STATE)).await?;
    Ok(connection)
}

/// Walks these ways.
pub async fn walk(connection: &Connection, ways: &[&str]) -> Result<()> {
    for (step, direction) in ways.iter().enumerate() {
        connection.send(&format!(r#"{{"type":"command","id":"w{step}","text":"{direction}"}}"#)).await?;
        connection.until(|payload| payload.starts_with(STATE)).await?;
    }
    Ok(())
}

/// Leaves the world on purpose; where one stood is kept.
pub async fn leave(connection: &Connection) -> Result<()> {
    connection.send(r#"{"type":"command","id":"q","text":"quit"}"#).await?;
    connection.until(|payload| payload.starts_with(br#"{"type":"bye""#)).await.map(drop)
}

/// The frame that says a line.
pub fn say(id: u64, line: &str) -> String {
    format!(r#"{{"type":"command","id":"s{id}","text":"say {line}"}}"#)
}

/// Whether a frame is a line of somebody else.
pub fn is_said(payload: &[u8]) -> bool {
    payload.starts_with(SAID)
}

/// How far a session has been told, and how it comes back.
#[derive(Debug, Clone)]
pub struct ComeBack {
    /// The secret of the last welcome.
    pub secret: String,
    /// The position of the last frame that had one, as it came.
    pub position: Value,
}

impl ComeBack {
    /// From a welcome.
    pub fn from_welcome(welcome: &[u8]) -> Result<Self> {
        let welcome: Value = serde_json::from_slice(welcome).context("a welcome")?;
        let secret = welcome["resume"].as_str().context("a welcome without a resume secret")?.to_owned();
        Ok(Self { secret, position: welcome["position"].clone() })
    }

    /// Takes the position of a later frame, if it has one.
    pub fn told(&mut self, frame: &[u8]) -> Result<()> {
        let frame: Value = serde_json::from_slice(frame).context("a frame")?;
        if !frame["position"].is_null() {
            self.position = frame["position"].clone();
        }
        Ok(())
    }

    /// The hello that resumes.
    pub fn hello(&self) -> String {
        format!(r#"{{"type":"hello","resume":{{"secret":"{}","position":{}}}}}"#, self.secret, self.position)
    }

    /// Reads the answer to that hello: what was missed will come.
    pub async fn resumed(connection: &Connection) -> Result<Self> {
        let first = connection.until(|_| true).await?;
        ensure!(
            first.starts_with(br#"{"type":"welcome""#),
            "the answer to a resume was {}",
            String::from_utf8_lossy(&first)
        );
        let welcome: Value = serde_json::from_slice(&first)?;
        ensure!(welcome["recovered"] == true, "not recovered: {}", welcome["reason"]);
        Self::from_welcome(&first)
    }
}
