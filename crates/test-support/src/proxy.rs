//! A network that can be broken: a TCP proxy on loopback that cuts, stalls, delays or half-closes what goes through it.
//!
//! It needs no rights, so that the tests run for everybody, and it stands between a client and a server as well as
//! between two servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What is taken off a socket at once.
const CHUNK: usize = 16 * 1024;

/// How it is between the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Everything goes through.
    Through,
    /// Everything goes through, this much later.
    Late(Duration),
    /// Sockets stay open, nothing goes through, nothing is lost: what was sent arrives when it goes on.
    Stalled,
    /// The near end is told that the far one says no more, and can go on talking.
    HalfClosed,
    /// Sockets are closed, and new ones at once.
    Cut,
}

/// A proxy; what goes through it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    listening: AbortHandle,
}

impl Proxy {
    /// Listens on a free port; what connects there is connected with `to`.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for a proxy")?;
        let address = listener.local_addr()?;
        let wire = watch::Sender::new(Wire::Through);
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(listen(listener, to, wire.subscribe(), accepted.clone(), open.clone()));
        Ok(Self { address, wire, accepted, open, listening: task.abort_handle() })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as an address of NATS.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// How it is from now on.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// How often somebody has connected.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

/// A connection that is open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // What it has open goes with it: the task owns them.
        self.listening.abort();
    }
}

async fn listen(
    listener: TcpListener,
    to: SocketAddr,
    wire: watch::Receiver<Wire>,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
) {
    let mut joined = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let Ok((near, _)) = taken else { return };
                accepted.fetch_add(1, Ordering::AcqRel);
                joined.spawn(join(near, to, wire.clone(), Open::count(&open)));
            }
            Some(_) = joined.join_next() => {}
        }
    }
}

/// One connection, until it is cut or both ends are done.
async fn join(near: TcpStream, to: SocketAddr, wire: watch::Receiver<Wire>, _open: Open) {
    let mut cut = wire.clone();
    let both = async {
        let mut ready = wire.clone();
        ready.wait_for(|wire| *wire != Wire::Stalled).await.ok()?;
        let far = TcpStream::connect(to).await.ok()?;
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::join!(hand_on(near_in, far_out, wire.clone(), false), hand_on(far_in, near_out, wire, true));
        Some(())
    };
    tokio::select! {
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
        _ = both => {}
    }
}

/// One direction; `back` is that from the far end.
async fn hand_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
    back: bool,
) {
    let mut chunk = vec![0; CHUNK];
    let mut closed = wire.clone();
    let half_closed = async move {
        if closed.wait_for(|wire| back && *wire == Wire::HalfClosed).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let through = async {
        loop {
            let length = from.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
            let now = *wire.wait_for(|wire| *wire != Wire::Stalled).await.ok()?;
            if let Wire::Late(delay) = now {
                tokio::time::sleep(delay).await;
            }
            to.write_all(&chunk[..length]).await.ok()?;
        }
    };
    let _: Option<()> = tokio::select! {
        () = half_closed => None,
        ended = through => ended,
    };
    let _ = to.shutdown().await;
}
