//! One connection of the load: a socket, what is left of the last read, and what it counts.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpSocket, TcpStream};

use super::frames;

/// Bytes read at once; shared by nobody, kept small between reads.
const READ_BYTES: usize = 64 * 1024;
/// How long one expected frame may take.
const WAIT: Duration = Duration::from_secs(20);
/// Where Tidings and the references take WebSockets.
const WEBSOCKET_PATH: &str = "/ws";

/// A connection. Everything takes `&self`: who sends and who reads share it on one thread.
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    pending: RefCell<Vec<u8>>,
}

impl Connection {
    /// Connects and upgrades.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        Self::open_at(address, WEBSOCKET_PATH, None).await
    }

    /// Connects and upgrades at this path; with so small a buffer for what it does not read.
    pub async fn open_at(address: SocketAddr, path: &str, receive_buffer: Option<u32>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let connection = Self { stream, pending: RefCell::default() };
        connection.write(frames::handshake(address, path).as_bytes()).await?;
        loop {
            connection.fill().await?;
            let mut pending = connection.pending.borrow_mut();
            if let Some(end) = frames::answered(&pending)? {
                pending.drain(..end);
                break;
            }
        }
        Ok(connection)
    }

    /// Sends one text frame.
    pub async fn send(&self, text: &str) -> Result<()> {
        let mut out = Vec::with_capacity(text.len() + 14);
        frames::write_text(&mut out, text.as_bytes());
        self.write(&out).await
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(())
    }

    async fn fill(&self) -> Result<()> {
        loop {
            self.stream.readable().await?;
            let mut buffer = [0; 4096];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => {
                    self.pending.borrow_mut().extend_from_slice(&buffer[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("reading"),
            }
        }
    }

    /// The next whole frame that was read already.
    fn take_frame(&self) -> Option<(u8, Vec<u8>)> {
        let mut pending = self.pending.borrow_mut();
        let (opcode, start, end) = frames::frame(&pending)?;
        let payload = pending[start..end].to_vec();
        pending.drain(..end);
        Some((opcode, payload))
    }

    /// Reads frames until one satisfies `wanted`, and gives its payload.
    pub async fn until(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let search = async {
            loop {
                while let Some((opcode, payload)) = self.take_frame() {
                    if opcode == 8 {
                        bail!("the server closed: {}", String::from_utf8_lossy(&payload));
                    }
                    if opcode == 1 && wanted(&payload) {
                        return Ok(payload);
                    }
                }
                self.fill().await?;
            }
        };
        tokio::time::timeout(WAIT, search).await.context("a frame that was expected did not come")?
    }

    /// Waits for bytes and hands each whole text frame to `take`. Uses `scratch`, shared by all connections.
    pub async fn pump(&self, scratch: &RefCell<Vec<u8>>, mut take: impl FnMut(&[u8])) -> Result<()> {
        self.stream.readable().await?;
        let mut scratch = scratch.borrow_mut();
        let mut pending = self.pending.borrow_mut();
        let kept = pending.len();
        scratch.resize(READ_BYTES.max(2 * kept) + READ_BYTES, 0);
        scratch[..kept].copy_from_slice(&pending);
        pending.clear();
        let read = match self.stream.try_read(&mut scratch[kept..]) {
            Ok(0) => bail!("the server closed a connection under load"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).context("reading under load"),
        };
        let bytes = &scratch[..kept + read];
        let mut at = 0;
        while let Some((opcode, start, end)) = frames::frame(&bytes[at..]) {
            match opcode {
                1 => take(&bytes[at + start..at + end]),
                8 => bail!("the server closed: {}", String::from_utf8_lossy(&bytes[at + start..at + end])),
                _ => {}
            }
            at += end;
        }
        pending.extend_from_slice(&bytes[at..]);
        Ok(())
    }
}
