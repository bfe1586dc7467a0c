//! The little of Socket.IO that loads a room: Engine.IO 4 over a WebSocket from the start, events without acknowledgement.
//!
//! Heartbeats are not answered: a server asks first after 25 seconds and waits 20 more, a run is over before.

use anyhow::Result;

use super::room::Connection;

/// The address of a Socket.IO server's WebSocket.
const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
/// A message of the default namespace that is an event with the name `line`.
const LINE: &[u8] = br#"42["line",""#;

/// Connects, opens the default namespace and joins a room.
pub async fn join(address: std::net::SocketAddr, room: usize) -> Result<Connection> {
    let connection = Connection::open_at(address, PATH, None).await?;
    connection.until(|payload| payload.starts_with(b"0{")).await?;
    connection.send("40").await?;
    connection.until(|payload| payload.starts_with(b"40")).await?;
    connection.send(&format!(r#"42["join","{room}"]"#)).await?;
    connection.until(|payload| payload.starts_with(br#"42["joined""#)).await?;
    Ok(connection)
}

/// The frame that says a line.
pub fn say(line: &str) -> String {
    format!(r#"42["say","{line}"]"#)
}

/// What was said, where a frame holds a line.
pub fn line(payload: &[u8]) -> Option<&[u8]> {
    payload.strip_prefix(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_are_lines() {
        assert_eq!(line(br#"42["line","7 ~t00"]"#), Some(&br#"7 ~t00"]"#[..]));
        assert_eq!(line(br#"42["joined"]"#), None);
        assert_eq!(line(b"2"), None);
    }
}
