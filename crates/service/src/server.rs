//! The serving side: methods by name under one queue group, a bound on what runs at once, deadlines applied,
//! panics contained, and a drain that stops taking before it waits.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use prost::Message;
use tidings_bus::{Bus, Headers, Subscription};
use tidings_protocol::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::CallError;
use crate::health::{Dependency, Health};
use crate::lease::Lease;
use crate::subjects::Subjects;
use crate::wire;

/// Calls that run at once where nothing else is said: handlers wait for storage, not for the processor.
pub const CONCURRENCY_DEFAULT: usize = 64;
/// Calls that wait for a turn: about a second's worth for a method that takes 50 ms. Beyond it, callers are told
/// `resource_exhausted`.
pub const WAITING_MAX: usize = 1024;

/// What a handler knows of the call beside its request.
#[derive(Debug, Clone)]
pub struct CallContext {
    deadline: Instant,
    headers: Headers,
}

impl CallContext {
    /// When the caller stops waiting. The handler is ended then.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the caller still waits: the deadline of calls made on its behalf.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A header of the request.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Handler = Arc<dyn Fn(CallContext, Bytes) -> BoxFuture<'static, Result<Bytes, CallError>> + Send + Sync>;

/// A service that is being put together.
pub struct Server {
    bus: Bus,
    service: String,
    methods: HashMap<String, Handler>,
    concurrency: usize,
    health: Option<Health>,
    lease: Option<Lease>,
}

impl Server {
    /// A service called `service`, with no method yet.
    pub fn new(bus: Bus, service: impl Into<String>) -> Self {
        let service = service.into();
        Self {
            bus,
            service,
            methods: HashMap::new(),
            concurrency: CONCURRENCY_DEFAULT,
            health: None,
            lease: None,
        }
    }

    /// Adds a method. A request that cannot be decoded is answered `invalid_argument` before the handler.
    #[must_use]
    pub fn method<Req, Rep, F, Fut>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        Req: Message + Default + 'static,
        Rep: Message + 'static,
        F: Fn(CallContext, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Rep, CallError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |context, payload| match Req::decode(payload) {
            Ok(request) => handler(context, request).map(|answer| Ok(wire::encode_answer(&answer?))).boxed(),
            Err(_) => {
                let message = "The request does not have the form of this method.";
                std::future::ready(Err(CallError::new(ErrorCode::InvalidArgument, message))).boxed()
            }
        });
        self.methods.insert(name.into(), handler);
        self
    }

    /// How many calls run at once, 64 unless it is said; others wait, 1,024 at most.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// Reports as the dependency `service.<name>`.
    #[must_use]
    pub fn health(mut self, health: &Health) -> Self {
        self.health = Some(health.clone());
        self
    }

    /// Answers only while this lease is held, by the process's own clock: a call that comes later, or is not done by then,
    /// is `unavailable`, and another process's to answer.
    #[must_use]
    pub fn while_held(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Serves from now on, on the runtime this is called on, until the handle is drained or dropped. What this process itself
    /// calls comes here, and is not spread over the processes that serve the same, while there is room.
    pub async fn start(self) -> Result<ServerHandle, tidings_bus::Error> {
        let pattern = Subjects(self.bus.registry()).service_methods(&self.service)?;
        let calls = self.bus.queue_subscribe_near(&pattern, &self.service, WAITING_MAX).await?;
        let dependency = self.health.map(|health| health.dependency(format!("service.{}", self.service)));
        let methods = self.methods.into_iter().map(|(name, handler)| {
            let method = Method::new(&self.service, &name, handler);
            (name, Arc::new(method))
        });
        let (stop, kill, tracker) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let serving = Serving {
            unknown: Arc::new(Method::new(
                &self.service,
                "unknown",
                Arc::new(|_, _| unknown_method().boxed()),
            )),
            methods: methods.collect(),
            permits: Arc::new(Semaphore::new(self.concurrency)),
            tracker: tracker.clone(),
            kill: kill.clone(),
            lease: self.lease,
            lapsed: counter!("tidings_service_lapsed_total", "service" => self.service.clone()),
        };
        if let Some(dependency) = &dependency {
            dependency.ready();
        }
        tracker.spawn(serving.run(calls, stop.clone(), dependency));
        tracker.close();
        Ok(ServerHandle { service: self.service, stop, kill, tracker })
    }
}

async fn unknown_method() -> Result<Bytes, CallError> {
    Err(CallError::new(ErrorCode::Unimplemented, "The service has no such method."))
}

/// A method with its figures, looked up once.
struct Method {
    handler: Handler,
    calls: Counter,
    panics: Counter,
    in_flight: Gauge,
    seconds: Histogram,
    service: String,
    name: String,
}

impl Method {
    fn new(service: &str, name: &str, handler: Handler) -> Self {
        let labels = [("service", service.to_owned()), ("method", name.to_owned())];
        Self {
            handler,
            calls: counter!("tidings_service_calls_total", &labels),
            panics: counter!("tidings_service_panics_total", &labels),
            in_flight: gauge!("tidings_service_in_flight", &labels),
            seconds: histogram!("tidings_service_call_seconds", &labels),
            service: service.to_owned(),
            name: name.to_owned(),
        }
    }

    /// One call, from its deadline to its answer.
    async fn answer(&self, left: Duration, headers: Headers, payload: Bytes) -> Bytes {
        let started = Instant::now();
        self.calls.increment(1);
        self.in_flight.increment(1.0);
        let outcome = self.run(started, left, headers, payload).await;
        self.in_flight.decrement(1.0);
        self.seconds.record(started.elapsed().as_secs_f64());
        outcome.unwrap_or_else(|error| {
            let labels = [
                ("service", self.service.clone()),
                ("method", self.name.clone()),
                ("code", error.code.as_str().to_owned()),
            ];
            counter!("tidings_service_errors_total", &labels).increment(1);
            wire::encode_error(error)
        })
    }

    async fn run(
        &self,
        started: Instant,
        left: Duration,
        headers: Headers,
        payload: Bytes,
    ) -> Result<Bytes, CallError> {
        let remaining = left.min(DEADLINE_MAX);
        if remaining.is_zero() {
            return Err(too_late());
        }
        let context = CallContext { deadline: started + remaining, headers };
        // The handler itself may panic before its first await: it is called inside.
        let call = AssertUnwindSafe(async { (self.handler)(context, payload).await }).catch_unwind();
        match tokio::time::timeout(remaining, call).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => {
                self.panics.increment(1);
                tracing::error!(service = self.service, method = self.name, "a handler panicked");
                Err(CallError::internal("A fault of the server."))
            }
            Err(_elapsed) => Err(too_late()),
        }
    }
}

fn too_late() -> CallError {
    CallError::new(ErrorCode::DeadlineExceeded, "The call took longer than its deadline.")
}

/// Longest deadline that is honoured: nobody waits longer, and a clock is not overflowed.
const DEADLINE_MAX: Duration = Duration::from_secs(300);

struct Serving {
    methods: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
    permits: Arc<Semaphore>,
    tracker: TaskTracker,
    kill: CancellationToken,
    lease: Option<Lease>,
    lapsed: Counter,
}

/// What a call is told whose answer is another process's to give.
fn not_ours() -> Bytes {
    wire::encode_error(CallError::unavailable("Another process may serve this by now."))
}

impl Serving {
    async fn run(self, mut calls: Subscription, stop: CancellationToken, dependency: Option<Dependency>) {
        let reason = loop {
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => break "draining",
                permit = Arc::clone(&self.permits).acquire_owned() => permit.expect("never closed"),
            };
            let call = tokio::select! {
                biased;
                () = stop.cancelled() => break "draining",
                call = calls.next() => call,
            };
            match call {
                Some(call) => self.spawn(call, permit),
                None => break "the bus is closed",
            }
        };
        if let Some(dependency) = dependency {
            dependency.failed(reason);
        }
        self.finish_queue(calls).await;
    }

    /// What was taken before the drain is answered too.
    async fn finish_queue(&self, mut calls: Subscription) {
        for _ in 0..WAITING_MAX {
            let Some(call) = calls.try_next() else { break };
            let permit = tokio::select! {
                () = self.kill.cancelled() => return,
                permit = Arc::clone(&self.permits).acquire_owned() => permit.expect("never closed"),
            };
            self.spawn(call, permit);
        }
    }

    fn spawn(&self, mut call: tidings_bus::Message, permit: OwnedSemaphorePermit) {
        let name = call.subject.as_str().rsplit('.').next().unwrap_or_default();
        let method = Arc::clone(self.methods.get(name).unwrap_or(&self.unknown));
        let (kill, lease, lapsed) = (self.kill.clone(), self.lease.clone(), self.lapsed.clone());
        let held = move || lease.as_ref().is_none_or(Lease::is_held);
        self.tracker.spawn(async move {
            if !held() {
                lapsed.increment(1);
                drop(permit);
                return drop(call.respond(not_ours()));
            }
            // What wants no answer is waited for by nobody.
            let left = call.time_left().unwrap_or_default();
            let (headers, payload) = (std::mem::take(&mut call.headers), std::mem::take(&mut call.payload));
            let answer = tokio::select! {
                () = kill.cancelled() => wire::encode_error(CallError::unavailable("The service is stopping.")),
                answer = method.answer(left, headers, payload) => answer,
            };
            drop(permit);
            // It was frozen meanwhile: what it did to its storage, whoever took over has not.
            let answer = if held() {
                answer
            } else {
                lapsed.increment(1);
                not_ours()
            };
            // A caller that has stopped waiting is no fault of the service.
            drop(call.respond(answer));
        });
    }
}

/// A service that is served; ends when this is dropped.
pub struct ServerHandle {
    service: String,
    stop: CancellationToken,
    kill: CancellationToken,
    tracker: TaskTracker,
}

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were given up when the deadline came; 0: everything was answered.
    pub abandoned: usize,
}

impl ServerHandle {
    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Stops taking calls, waits for those in flight until the deadline, then ends them with `unavailable`.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.stop.cancel();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok() {
            return Drained { abandoned: 0 };
        }
        let abandoned = self.tracker.len();
        tracing::warn!(service = self.service, abandoned, "the drain's deadline passed with calls in flight");
        self.kill.cancel();
        self.tracker.wait().await;
        Drained { abandoned }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop.cancel();
        self.kill.cancel();
    }
}
