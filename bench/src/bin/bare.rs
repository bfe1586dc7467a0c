//! The reference: room fan-out written directly on tokio-tungstenite with 4 KiB buffers: join, publish, broadcast.
//! No sign-in, no rules, no log.
//!
//! `J<room> <number>` joins, any other line goes to the room.
#![allow(clippy::print_stdout)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

/// Frames that may wait for one connection.
const OUTBOX_MAX: usize = 16 * 1024;
/// Frames taken from the queue at once.
const TAKE_MAX: usize = 64;

type Rooms = Rc<RefCell<HashMap<String, Vec<mpsc::Sender<Utf8Bytes>>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("bare listens on http://{}", listener.local_addr()?);
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
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(4096);
    let (mut sink, mut source) = accept_async_with_config(stream, Some(config)).await?.split();
    let (outbox, mut queue) = mpsc::channel::<Utf8Bytes>(OUTBOX_MAX);
    let writer = tokio::task::spawn_local(async move {
        let mut lines = Vec::with_capacity(TAKE_MAX);
        while queue.recv_many(&mut lines, TAKE_MAX).await > 0 {
            for line in lines.drain(..) {
                sink.feed(Message::Text(line)).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    let mut room = String::new();
    while let Some(Ok(message)) = source.next().await {
        let Message::Text(text) = message else { continue };
        if let Some(join) = text.strip_prefix('J') {
            room = join.split(' ').next().context("no room")?.to_owned();
            rooms.borrow_mut().entry(room.clone()).or_default().push(outbox.clone());
            outbox.try_send("joined".into()).context("a full queue")?;
        } else {
            for member in rooms.borrow().get(&room).into_iter().flatten() {
                let _ = member.try_send(text.clone());
            }
        }
    }
    for members in rooms.borrow_mut().values_mut() {
        members.retain(|member| !member.same_channel(&outbox));
    }
    drop(outbox);
    writer.abort();
    Ok(())
}
