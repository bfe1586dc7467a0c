//! One HTTP connection: hyper's state machine under deadlines, and the hand-over of the socket after an upgrade.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::pending::Entry;
use super::routes::{Call, handle};
use super::serve::Adopt;
use super::{ConnInfo, Http};

/// A request's head has to be there this long after the connection was made or the last answer given: also how
/// long a connection is kept alive without one.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes: cookies and tokens fit ten times.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most headers of a request: browsers send thirty.
const HEADERS_MAX: usize = 100;
/// A connection that is not a WebSocket is ended after this long, so that one who does not read its answers does
/// not hold it for ever.
const LIFE_MAX: Duration = Duration::from_secs(120);
/// What is being answered when a connection is told to end has this long.
const END_DEADLINE: Duration = Duration::from_secs(3);

/// Where a request leaves its upgrade for the connection to take up.
pub type UpgradeSlot = Rc<RefCell<Option<(OnUpgrade, ConnInfo)>>>;

/// A connection before it runs.
pub struct Connection {
    pub http: Arc<Http>,
    pub peer: IpAddr,
    pub entry: Rc<Entry>,
    pub cancel: CancellationToken,
}

impl Connection {
    /// Answers requests until the connection ends or becomes a WebSocket.
    pub async fn run<A: Adopt>(self, stream: TcpStream, shard: A) {
        let slot = UpgradeSlot::default();
        self.answer(stream, &slot).await;
        let upgrade = slot.borrow_mut().take();
        let Some((upgrade, info)) = upgrade else { return };
        match upgrade.await.map(|upgraded| upgraded.downcast::<TokioIo<TcpStream>>()) {
            Ok(Ok(parts)) => shard.adopt(parts.io.into_inner(), parts.read_buf, info),
            Ok(Err(_)) => unreachable!("the socket is the one that was given to hyper"),
            Err(error) => tracing::debug!(%error, "a connection was gone before it was a WebSocket"),
        }
    }

    async fn answer(&self, stream: TcpStream, slot: &UpgradeSlot) {
        let service = service_fn(|request| {
            self.entry.busy();
            let call = Call::new(Arc::clone(&self.http), self.peer, request, Rc::clone(slot));
            let entry = Rc::clone(&self.entry);
            async move {
                let response = handle(call).await;
                entry.silent();
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            ended = &mut connection => return ended.unwrap_or_else(|error| report(&error)),
            () = self.entry.gives_way().cancelled() => return,
            () = self.cancel.cancelled() => {}
            () = tokio::time::sleep(LIFE_MAX) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(END_DEADLINE, connection).await;
    }
}

fn report(error: &hyper::Error) {
    let kind = if error.is_timeout() {
        "timeout"
    } else if error.is_parse() {
        "malformed"
    } else if error.is_incomplete_message() {
        "cut_off"
    } else {
        "broken"
    };
    metrics::counter!("tidings_edge_http_connection_errors_total", "kind" => kind).increment(1);
    tracing::debug!(%error, kind, "a connection ended");
}
