//! `/health`, `/ready` and `/metrics` of a process that serves no people, on a thread of their own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::serve::{Adopt, serve};
use super::{ConnInfo, Http};

/// What operators ask of a process, served until this is dropped.
pub struct Operation {
    address: SocketAddr,
    http: Arc<Http>,
    stop: CancellationToken,
}

/// No route of it becomes a WebSocket.
#[derive(Clone)]
struct Nobody;

impl Adopt for Nobody {
    fn adopt(&self, _: TcpStream, _: Bytes, _: ConnInfo) {}
}

impl Operation {
    /// Serves on a listener what operators ask, and nothing else of `http`.
    pub fn start(http: Http, listener: TcpListener) -> io::Result<Self> {
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        listener.set_nonblocking(true)?;
        let http = Arc::new(http.operation_only());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (serving, until) = (Arc::clone(&http), stop.clone());
        std::thread::Builder::new().name("operation".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, serving, Nobody, until).await,
                    Err(error) => tracing::error!(%error, "health and figures are not served"),
                }
            });
        })?;
        Ok(Self { address, http, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the process is not ready.
    pub fn drain(&self) {
        self.http.drain();
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // The thread ends within the deadline of what is being answered; nobody has to wait for that.
        self.stop.cancel();
    }
}
