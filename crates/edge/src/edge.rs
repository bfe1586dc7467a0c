//! The edge of a process: its threads, and the order in which they start and stop.
//!
//! One thread dispatches; each shard is a thread with its own accept loop, so that a socket stays where it was
//! accepted. Stopping: not ready, no new sockets, everyone sent away over a while, then the threads end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use socket2::SockRef;
use tidings_bus::Bus;
use tidings_protocol::text::Catalogue;
use tidings_service::{Caller, Dependency, Health};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::config::EdgeConfig;
use crate::control;
use crate::fanout::{BATCHES_MAX, COMMANDS_MAX, Counts, Dispatcher, Encoder, Reader, ToDispatcher, ToShard};
use crate::http::{Http, HttpConfig, serve};
use crate::limits::{Clock, Limits, Rates};
use crate::service;
use crate::session::{RecentMutes, Sessions, give_up_lease, renew};
use crate::shard::{Adopter, Shard};
use crate::shared::{Shared, limits_shown};

/// How long sockets that were told to go may take to close.
const CLOSING_MAX: Duration = Duration::from_secs(3);
/// How often a drain looks whether everyone has gone.
const DRAIN_BEAT: Duration = Duration::from_millis(20);

/// Connections that the system holds until they are accepted: five thousand clients come back at once after a
/// restart, and one that finds no place waits a second before it tries again.
const BACKLOG_MAX: i32 = 4096;

/// Why an edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The listener or a thread.
    #[error("the edge cannot listen")]
    Io(#[from] std::io::Error),
    /// The bus.
    #[error("the edge cannot hear the bus")]
    Bus(#[from] tidings_bus::Error),
}

/// What an edge is built of.
pub struct EdgeParts {
    /// How sessions and the fan-out are set up.
    pub config: EdgeConfig,
    /// How HTTP is.
    pub http: HttpConfig,
    /// The rates in force.
    pub rates: Rates,
    /// The messaging.
    pub bus: Bus,
    /// The server's voice.
    pub catalogue: Catalogue,
    /// What `/ready` shows.
    pub health: Health,
    /// What `/metrics` shows.
    pub metrics: Option<PrometheusHandle>,
}

/// A running edge. Dropping it stops it without a word to anyone: `drain` first.
pub struct EdgeHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    http: Arc<Http>,
    accepting: CancellationToken,
    stop: CancellationToken,
    stop_wanted: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

/// Starts edges.
pub struct Edge;

impl Edge {
    /// Starts the threads of an edge on a listener.
    pub fn start(parts: EdgeParts, listener: TcpListener) -> Result<EdgeHandle, EdgeError> {
        let EdgeParts { config, http, rates, bus, catalogue, health, metrics } = parts;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        // A second `listen` changes nothing but the length of the queue, which the standard library keeps short.
        SockRef::from(&listener).listen(BACKLOG_MAX)?;
        let count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let limits = Arc::new(Limits::new(&rates, Clock::system()));
        let caller = Caller::new(bus.clone());
        let encoder = Arc::new(Encoder::new(bus.epoch(), config.locale.clone(), catalogue, Arc::default()));
        let (dispatcher, commands) = mpsc::channel(COMMANDS_MAX);
        let (shards, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(BATCHES_MAX)).unzip();
        let shared = Arc::new(Shared {
            limits_shown: limits_shown(&config, &rates),
            reader: Reader::new(bus.clone(), Arc::clone(&encoder)),
            caller: caller.clone(),
            limits: Arc::clone(&limits),
            encoder,
            dispatcher,
            sessions: Sessions::default(),
            recent_mutes: RecentMutes::default(),
            shards,
            head: Arc::new(AtomicU64::new(0)),
            config,
            bus,
        });
        let lease = health.dependency("sessions");
        let http = Arc::new(Http::new(http, limits, caller, health, metrics));
        let mut handle = EdgeHandle {
            address,
            shared,
            http,
            accepting: CancellationToken::new(),
            stop: CancellationToken::new(),
            stop_wanted: CancellationToken::new(),
            threads: Vec::with_capacity(count + 1),
        };
        handle.start_dispatcher(commands, lease)?;
        for (index, inbox) in inboxes.into_iter().enumerate() {
            handle.start_shard(index, inbox, listener.try_clone()?)?;
        }
        Ok(handle)
    }
}

impl EdgeHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What there is in all shards together.
    pub async fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for shard in self.shared.shards() {
            let (answer, counts) = oneshot::channel();
            let _ = shard.send(ToShard::Count(answer)).await;
            all += counts.await.unwrap_or_default();
        }
        all
    }

    /// Its limits, and who went over them.
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.shared.limits)
    }

    /// Cancelled when the edge is asked to go: the world does.
    pub fn stop_wanted(&self) -> CancellationToken {
        self.stop_wanted.clone()
    }

    /// The sessions that are open here.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.len()
    }

    /// The audiences that are known here: for tests that count what is left behind.
    pub fn audiences(&self) -> usize {
        self.shared.encoder.interner.len()
    }

    /// Sends everyone away, spread over a while, and stops. What is not done at the deadline is cut.
    pub async fn drain(mut self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.http.drain();
        self.accepting.cancel();
        for shard in self.shared.shards() {
            let _ = tokio::time::timeout_at(until.into(), shard.send(ToShard::Drain)).await;
        }
        while !self.shared.sessions.is_empty() && Instant::now() < until {
            tokio::time::sleep(DRAIN_BEAT).await;
        }
        // Those who were told read it and close: cut earlier, they would lose the word of when to come back.
        let closing = until.min(Instant::now() + CLOSING_MAX);
        while self.counts().await.connections > 0 && Instant::now() < closing {
            tokio::time::sleep(DRAIN_BEAT).await;
        }
        self.stop.cancel();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the edge had panicked");
                }
            }
        });
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        if tokio::time::timeout(left, joined).await.is_err() {
            tracing::warn!("the edge's threads did not end in time");
        }
        give_up_lease(&self.shared).await;
    }

    fn start_dispatcher(
        &mut self,
        commands: mpsc::Receiver<ToDispatcher>,
        lease: Dependency,
    ) -> Result<(), EdgeError> {
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let stop_wanted = self.stop_wanted.clone();
        self.spawn("edge-dispatch", move || async move {
            let dispatcher = Dispatcher::new(
                shared.bus.clone(),
                Arc::clone(&shared.encoder),
                shared.shards().to_vec(),
                Arc::clone(&shared.head),
            );
            tokio::join!(
                dispatcher.run(commands, stop.clone()),
                control::run(Arc::clone(&shared), stop.clone()),
                service::serve(Arc::clone(&shared), stop_wanted, stop.clone()),
                renew(shared, lease, stop)
            );
        })
    }

    fn start_shard(
        &mut self,
        index: usize,
        inbox: mpsc::Receiver<ToShard>,
        listener: TcpListener,
    ) -> Result<(), EdgeError> {
        let (shared, stop, accepting) = (Arc::clone(&self.shared), self.stop.clone(), self.accepting.clone());
        let http = Arc::clone(&self.http);
        self.spawn(&format!("edge-{index}"), move || async move {
            let shard = Shard::new(index, shared, stop);
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "a shard cannot listen"),
            };
            let accept =
                tokio::task::spawn_local(serve(listener, http, Adopter(shard.clone()), accepting.clone()));
            shard.run(inbox).await;
            accepting.cancel();
            let _ = accept.await;
        })
    }

    fn spawn<F, Fut>(&mut self, name: &str, work: F) -> Result<(), EdgeError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => LocalSet::new().block_on(&runtime, async { work().await }),
                Err(error) => tracing::error!(%error, "a thread of the edge has no runtime"),
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for EdgeHandle {
    fn drop(&mut self) {
        self.accepting.cancel();
        self.stop.cancel();
    }
}
