//! The accept loop of one shard, and the life of one HTTP connection.
//!
//! A connection ends by itself, when it has to give way, at its deadline, or when the shard stops: each way drops
//! its place in `pending`. One that becomes a WebSocket is handed over with whatever was read of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::{ConnInfo, Http};

/// Connections accepted before those accepted get a turn: what they have sent is read before one gives way.
const ACCEPT_BATCH: u32 = 64;
/// First pause after the system has no descriptor or memory left for a connection; doubles to the second.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
/// Longest such pause: who closes a connection lets the next one in a second later at most.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// What is being answered when the shard stops has this long.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Whoever takes connections that have become WebSockets.
pub trait Adopt: Clone + 'static {
    /// Takes one. `leftover` was read from the socket after the handshake. Called on the shard's own thread.
    fn adopt(&self, stream: TcpStream, leftover: Bytes, info: ConnInfo);
}

/// Accepts and serves until `cancel`; then no more is accepted and what is being answered is finished. Runs on a
/// `LocalSet`.
pub async fn serve<A: Adopt>(listener: TcpListener, http: Arc<Http>, shard: A, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut back_off = BACK_OFF_MIN;
    let mut accepted = 0u32;
    loop {
        let accept = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report_panic(&ended);
                continue;
            }
            accept = listener.accept() => accept,
        };
        match accept {
            Ok((stream, peer)) => {
                back_off = BACK_OFF_MIN;
                start(&mut connections, stream, peer, &http, &shard, &cancel);
                accepted = accepted.wrapping_add(1);
                if accepted.is_multiple_of(ACCEPT_BATCH) {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                counter!("tidings_edge_accept_errors_total").increment(1);
                tracing::warn!(%error, pause_ms = back_off.as_millis(), "no connection can be accepted");
                http.pending.shed_one();
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = tokio::time::sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_DEADLINE, finish).await.is_err() {
        connections.shutdown().await;
    }
}

/// A connection that panicked ended alone; that it did is nobody's fault but ours.
fn report_panic(ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        counter!("tidings_edge_http_panics_total", "route" => "connection").increment(1);
        tracing::error!("an HTTP connection panicked");
    }
}

/// Whether the error is about the connection that would have come next, and not about accepting.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn start<A: Adopt>(
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    peer: SocketAddr,
    http: &Arc<Http>,
    shard: &A,
    cancel: &CancellationToken,
) {
    let peer = peer.ip().to_canonical();
    let Some(entry) = http.pending.enter(counted_address(http, peer), Instant::now()) else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let connection =
        Connection { http: Arc::clone(http), peer, entry: Rc::new(entry), cancel: cancel.clone() };
    connections.spawn_local(connection.run(stream, shard.clone()));
}

/// A trusted proxy brings many people: it is not counted as one.
fn counted_address(http: &Http, peer: IpAddr) -> Option<IpAddr> {
    let trusted = http.config.trusted_proxies.iter().any(|proxy| proxy.contains(peer));
    (!trusted).then_some(peer)
}
