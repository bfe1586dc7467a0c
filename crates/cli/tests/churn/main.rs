//! Ten thousand connections, opened and ended in every way: all counts return to what they were. A binary of its
//! own, since it counts the process's file descriptors.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "../edge/embedded.rs"]
mod backend;
#[path = "../edge/between.rs"]
mod between;
#[path = "../edge/harness.rs"]
mod harness;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{House, Setup};
use tidings_client::Connection;
use tidings_client::frames::ServerFrame;
use tidings_edge::{Counts, EdgeConfig};
use tidings_test_support::Player;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 10_000;
/// Of them in the world, each with a way to end.
const PLAYERS: usize = 40;
const ENDS_A_PLAYER: usize = 30;
const AT_ONCE: usize = 20;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A WebSocket without a library, so that it can be ended as no library would.
async fn raw(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A masked frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    out.extend_from_slice(payload);
    out
}

/// Ends a connection that is not in the world, in one of the ways.
async fn end_outside(address: SocketAddr, way: usize) {
    let mut stream = raw(address).await;
    let bytes = match way % 10 {
        0 => return,
        1 => frame(0x88, &1000u16.to_be_bytes()),
        2 => frame(0x88, b"\x00"),
        3 => b"\x81\x05hello".to_vec(),
        4 => frame(0x82, b"binary"),
        5 => frame(0x81, b"{"),
        6 => frame(0x81, br#"{"type":"hello","token":"forged"}"#),
        7 => b"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff".to_vec(),
        8 => frame(0x81, br#"{"type":"command","id":"a","text":"look"}"#),
        _ => b"\x01".to_vec(),
    };
    stream.write_all(&bytes).await.unwrap();
    if way % 10 == 9 {
        socket_reset(&stream);
        return;
    }
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
}

/// Closing sends a reset.
fn socket_reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// Ends a session's connection in one of the ways; answers one that lives.
async fn end_inside(player: Player, way: usize) -> Player {
    let Player { name, session, mut connection, state } = player;
    let (address, secret, position) = connection.resume_point();
    match way % 6 {
        // Without a word.
        0 => drop(connection),
        // A taken-over socket gets its bye and is closed by the server.
        1 => {
            let taken = Connection::resume(address, &secret, Some(position)).await.unwrap();
            until_bye(&mut connection, 4001).await;
            return Player { name, session, connection: taken, state };
        }
        // What the protocol does not allow, until it is sent away.
        2 => {
            for _ in 0..40 {
                let _ = connection.send_raw("[]").await;
            }
            until_bye(&mut connection, 4007).await;
        }
        3 => {
            let _ = connection.send_raw(&"x".repeat(20_000)).await;
            while connection.next().await.is_ok() {}
        }
        // In the middle of a command.
        4 => {
            let _ = connection.start("look").await;
            drop(connection);
        }
        // In the middle of joining.
        _ => {
            drop(connection);
            let half = raw(address).await;
            drop(half);
        }
    }
    let connection = Connection::resume(address, &secret, Some(position)).await.unwrap();
    Player { name, session, connection, state }
}

async fn until_bye(connection: &mut Connection, code: u16) {
    loop {
        match connection.next().await.unwrap() {
            ServerFrame::Bye(bye) => return assert_eq!(bye.code, code),
            _ => continue,
        }
    }
}

async fn leave(mut player: Player) {
    player.connection.start("quit").await.unwrap();
    while player.connection.next().await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_leave_nothing_behind() {
    let mut config = EdgeConfig { shards: 2, ..EdgeConfig::default() };
    config.session.hello = Duration::from_secs(5);
    let house = House::with(Setup { config, ..Setup::default() }).await;
    let mut players = Vec::new();
    for number in 0..PLAYERS {
        // Names that do not look alike.
        let (high, low) = (["an", "bo", "ce", "du"][number / 10], number % 10);
        let name = format!("Player{high}{}", &"abcdefghkm"[low..=low]);
        players.push(house.player(&name).await);
    }
    let address = house.api.address();
    let outside = CONNECTIONS - PLAYERS * (ENDS_A_PLAYER + 1);
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..AT_ONCE {
        tasks.spawn(async move {
            for way in (part..outside).step_by(AT_ONCE) {
                end_outside(address, way).await;
            }
        });
    }
    for (number, mut player) in players.into_iter().enumerate() {
        tasks.spawn(async move {
            for way in 0..ENDS_A_PLAYER {
                player = end_inside(player, number + way).await;
            }
            leave(player).await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let counts = house.counts().await;
        if counts == Counts::default() && house.sessions() == 0 {
            break;
        }
        assert!(Instant::now() < until, "left behind: {counts:?}, {} sessions", house.sessions());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = descriptors();
    for way in 0..200 {
        end_outside(address, way).await;
    }
    let until = Instant::now() + Duration::from_secs(10);
    while descriptors() > before {
        assert!(Instant::now() < until, "{} descriptors, {before} before", descriptors());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
