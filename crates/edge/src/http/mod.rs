//! HTTP: the accept loop, one table of routes, the page, and the way to a WebSocket.
//!
//! On hyper directly: it gives the header deadline and the raw socket back after an upgrade, and runs on a shard's
//! own thread without `Send`. Start reading at [`serve`]; then `routes`. What the edge knows of accounts it asks
//! the service `account` for, call by call; nothing is cached here, so a revoked sign-in is refused at once.

mod accounts;
mod body;
mod client_address;
mod connection;
mod cookie;
mod dead_letters;
mod identity;
mod openapi;
mod operation;
mod origin;
mod page;
mod pending;
mod problem;
mod query;
mod response;
mod routes;
mod serve;
mod standalone;
mod subjects;
mod websocket;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use metrics_exporter_prometheus::PrometheusHandle;
use tidings_service::{Caller, Health};

use crate::limits::{Limits, Network};
use page::Page;
use pending::Pending;

pub use openapi::document as openapi;
pub use pending::PendingLimits;
pub use problem::Problem;
pub use serve::{Adopt, serve};
pub use standalone::Operation;

/// How HTTP is served.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Origins whose pages may use this server beside its own, for example `https://play.example`.
    pub origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed. Nobody else's is.
    pub trusted_proxies: Vec<Network>,
    /// Who beside loopback may read `/metrics`.
    pub metrics_allowed: Vec<Network>,
    /// Whether cookies are `Secure`: true wherever people come by HTTPS.
    pub secure_cookies: bool,
    /// Whether guests may enter.
    pub guests: bool,
    /// Whether permessage-deflate is agreed on where a client offers it.
    pub compression: bool,
    /// A folder to serve the page from instead of the one in the binary: for those who work on it.
    pub web_dir: Option<PathBuf>,
    /// Bounds on connections that are not WebSockets yet.
    pub pending: PendingLimits,
}

impl Default for HttpConfig {
    /// For one machine and plain HTTP: own pages alone, no proxy, no guests, compression where it is offered.
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics_allowed: Vec::new(),
            secure_cookies: false,
            guests: false,
            compression: true,
            web_dir: None,
            pending: PendingLimits::default(),
        }
    }
}

/// What HTTP needs of the process. One for all shards.
pub struct Http {
    config: HttpConfig,
    limits: Arc<Limits>,
    caller: Caller,
    health: Health,
    metrics: Option<PrometheusHandle>,
    page: Page,
    pending: Arc<Pending>,
    operation_only: bool,
    draining: AtomicBool,
    undeclared_proxy: Once,
}

impl Http {
    /// HTTP over these parts. Without a `metrics` handle `/metrics` answers `unimplemented`.
    pub fn new(
        config: HttpConfig,
        limits: Arc<Limits>,
        caller: Caller,
        health: Health,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        let page = Page::new(config.web_dir.clone());
        let pending = Arc::new(Pending::new(config.pending));
        Self {
            config,
            limits,
            caller,
            health,
            metrics,
            page,
            pending,
            operation_only: false,
            draining: AtomicBool::new(false),
            undeclared_proxy: Once::new(),
        }
    }

    /// Nothing but what operators and their tools ask: of a process that serves no people.
    #[must_use]
    pub fn operation_only(self) -> Self {
        Self { operation_only: true, ..self }
    }

    /// From now on `/ready` fails, no WebSocket is taken and no connection is kept alive.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Limits by address count everybody behind such a proxy as one: its operator has to know.
    fn tell_of_undeclared_proxy(&self, peer: IpAddr) {
        metrics::counter!("tidings_edge_undeclared_proxy_requests_total").increment(1);
        self.undeclared_proxy.call_once(|| {
            tracing::warn!(
                %peer,
                "requests come through a proxy that is not named in 'proxy.trusted': all its clients share one address \
                 and its limits"
            );
        });
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// What is known of a connection when it becomes a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnInfo {
    /// The client's address: of the socket, or as a trusted proxy says.
    pub address: IpAddr,
    /// Whether the handshake carried an `Origin` (an allowed one, then). Without one a `hello` needs a bearer token.
    pub origin_present: bool,
    /// Whether permessage-deflate was agreed on: `ws::Parser::new` has to know, and long frames may go compressed.
    pub deflate: bool,
}
