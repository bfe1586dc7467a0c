//! The limit: hand-written frames, encoded once, a queue a connection, gathered writes, and nothing else.
//!
//! Speaks just enough to be loaded: `J<room> <number>` joins, any other line goes to the room.
#![allow(clippy::print_stdout)]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Buffers in one gathered write.
const GATHER_MAX: usize = 64;

struct Member {
    stream: TcpStream,
    outbox: RefCell<VecDeque<Bytes>>,
    wake: Notify,
}

type Rooms = Rc<RefCell<HashMap<String, Vec<Rc<Member>>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("limit listens on http://{}", listener.local_addr()?);
    let rooms = Rooms::default();
    tokio::task::LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(serve(stream, rooms.clone()));
            }
        })
        .await
}

async fn serve(stream: TcpStream, rooms: Rooms) -> Result<()> {
    let mut stream = stream;
    let mut pending = vec![0; 4096];
    let mut filled = 0;
    loop {
        filled += read(&stream, &mut pending[filled..]).await?;
        if pending[..filled].ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8_lossy(&pending[..filled]).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).context("no key")?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.trim().as_bytes())
    );
    stream.write_all(answer.as_bytes()).await?;
    let member = Rc::new(Member { stream, outbox: RefCell::default(), wake: Notify::new() });
    let writer = tokio::task::spawn_local(write(member.clone()));
    let ended = listen(&member, &rooms, pending).await;
    writer.abort();
    for room in rooms.borrow_mut().values_mut() {
        room.retain(|other| !Rc::ptr_eq(other, &member));
    }
    ended
}

async fn listen(member: &Rc<Member>, rooms: &Rooms, mut pending: Vec<u8>) -> Result<()> {
    let mut filled = 0;
    let mut room = String::new();
    loop {
        filled += read(&member.stream, &mut pending[filled..]).await?;
        let mut at = 0;
        while let Some((payload, end)) = client_frame(&pending[at..filled]) {
            at += end;
            if let Some(join) = payload.strip_prefix(b"J") {
                room = String::from_utf8_lossy(join).split(' ').next().unwrap_or_default().to_owned();
                rooms.borrow_mut().entry(room.clone()).or_default().push(member.clone());
                push(member, frame(b"joined"));
            } else {
                let line = frame(&payload);
                for other in rooms.borrow().get(&room).into_iter().flatten() {
                    push(other, line.clone());
                }
            }
        }
        pending.copy_within(at..filled, 0);
        filled -= at;
    }
}

fn push(member: &Member, frame: Bytes) {
    member.outbox.borrow_mut().push_back(frame);
    member.wake.notify_one();
}

async fn write(member: Rc<Member>) {
    loop {
        member.wake.notified().await;
        while !member.outbox.borrow().is_empty() {
            let written = {
                let outbox = member.outbox.borrow();
                let slices: Vec<IoSlice<'_>> =
                    outbox.iter().take(GATHER_MAX).map(|b| IoSlice::new(b)).collect();
                member.stream.try_write_vectored(&slices)
            };
            match written {
                Ok(written) => advance(&mut member.outbox.borrow_mut(), written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let _ = member.stream.writable().await;
                }
                Err(_) => return,
            }
        }
    }
}

fn advance(outbox: &mut VecDeque<Bytes>, mut written: usize) {
    while written > 0 {
        let Some(first) = outbox.front_mut() else { return };
        if first.len() > written {
            *first = first.slice(written..);
            return;
        }
        written -= first.len();
        outbox.pop_front();
    }
}

async fn read(stream: &TcpStream, into: &mut [u8]) -> Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(into) {
            Ok(0) => bail!("closed"),
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn client_frame(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let short = usize::from(bytes.get(1)? & 0x7f);
    let (length, start) = match short {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => return None,
        short => (short, 2),
    };
    let mask: [u8; 4] = bytes.get(start..start + 4)?.try_into().ok()?;
    let end = start + 4 + length;
    let payload = bytes.get(start + 4..end)?.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]).collect();
    Some((payload, end))
}

fn frame(payload: &[u8]) -> Bytes {
    let mut frame = vec![0x81];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame.into()
}
