//! One connection of the pool: made with its checks, asked, and made again when its client has given up.
//!
//! A member has its own client and its own inbox; the inbox and who waits in it outlive a client.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::client::{PublishError, PublishErrorKind};
use async_nats::message::OutboundMessage;
use async_nats::{Client, HeaderMap, Message, ServerAddr, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::future::lazy;
use futures_util::{FutureExt, SinkExt};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Outcome;
use crate::error::{Error, ErrorKind};
use crate::nats::config::NatsConfig;
use crate::nats::connection::RECONNECT_SOON;
use crate::nats::inbox::{Inbox, Place};
use crate::nats::line::Line;
use crate::nats::pings::client_pings;
use crate::nats::security::Secured;
use crate::nats::tries::Limit;
use crate::resilience::Move;
use crate::resilience::health::Health;
use crate::under_way::UnderWay;

/// The oldest server with atomic batches.
const SERVER_MIN: (u32, u32) = (2, 12);
/// How long the client may take to learn of its other servers.
const POOL_WAIT: Duration = Duration::from_secs(1);

/// An address that gave no connection, and why.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) address: String,
    pub(crate) error: Error,
}

pub(crate) struct Member {
    pub(crate) number: usize,
    pub(crate) line: Arc<Line>,
    pub(crate) health: Mutex<Health>,
    client: RwLock<Option<Arc<Client>>>,
    /// The same client as a sink, where messages go out: one that finds room is sent without anything made for it.
    outlet: Mutex<Option<Client>>,
    waiting: Arc<AtomicUsize>,
    inbox: Arc<Inbox>,
    /// Messages that its clients of before had sent.
    sent_before: AtomicU64,
    /// What the last attempt to connect met.
    troubles: Mutex<Vec<(String, String)>>,
    /// A call was left without an answer: for whoever pings.
    pub(crate) doubt: Doubt,
}

/// Whether a call was left without an answer since the last look.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    raised: AtomicBool,
    woken: Notify,
}

impl Doubt {
    pub(crate) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.woken.notify_one();
        }
    }

    /// Whether there is any; there is none after this.
    pub(crate) fn take(&self) -> bool {
        self.raised.swap(false, Ordering::AcqRel)
    }

    /// Waits for some.
    pub(crate) async fn rises(&self) {
        while !self.take() {
            self.woken.notified().await;
        }
    }
}

/// What came of waiting.
pub(crate) type Waited = Result<Result<Message, oneshot::error::RecvError>, tokio::time::error::Elapsed>;

/// What a client is made of: the same for every member.
pub(crate) struct Making {
    pub(crate) config: NatsConfig,
    pub(crate) secured: Arc<Secured>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn check_version(version: &str) -> Result<(), Error> {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= SERVER_MIN {
        return Ok(());
    }
    let (major, minor) = SERVER_MIN;
    Err(Error::new(
        ErrorKind::Config,
        format!("the NATS server is {version}: {major}.{minor} or later is needed, for its atomic batches"),
    ))
}

impl Member {
    pub(crate) fn new(number: usize, line: Arc<Line>, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self {
            number,
            line,
            health: Mutex::default(),
            client: RwLock::default(),
            outlet: Mutex::default(),
            waiting: Arc::default(),
            inbox,
            sent_before: AtomicU64::new(0),
            troubles: Mutex::default(),
            doubt: Doubt::default(),
        })
    }

    /// Makes its client: by each address once, beginning with its own, so that the members spread over the servers.
    /// Answers what the addresses met; it is connected if the last of them is missing there.
    pub(crate) async fn connect(&self, making: &Making) -> Result<(), Vec<Trouble>> {
        self.line.make(Move::Connect);
        self.line.making(true);
        let mut troubles = Vec::new();
        let servers = &making.config.servers;
        let mut made = None;
        for place in 0..servers.len() {
            let address = &servers[(self.number + place) % servers.len()];
            match self.connect_to(address, making).await {
                Ok(client) => {
                    made = Some(client);
                    break;
                }
                Err(error) => troubles.push(Trouble { address: address.clone(), error }),
            }
        }
        *self.troubles.lock() =
            troubles.iter().map(|one| (one.address.clone(), one.error.to_string())).collect();
        let Some(client) = made else {
            self.line.making(false);
            self.line.make(Move::Failed);
            return Err(troubles);
        };
        for trouble in &troubles {
            self.tell(trouble);
        }
        *self.outlet.lock() = Some(client.clone());
        *self.client.write() = Some(Arc::new(client));
        self.line.joined();
        self.line.making(false);
        Ok(())
    }

    /// Reports an address that gave no connection.
    pub(crate) fn tell(&self, trouble: &Trouble) {
        metrics::counter!("tidings_bus_pool_failures_total").increment(1);
        let Trouble { address, error } = trouble;
        tracing::warn!(member = self.number, address, %error, "a connection to NATS could not be made");
    }

    async fn connect_to(&self, address: &str, making: &Making) -> Result<Client, Error> {
        let (config, secured) = (&making.config, &making.secured);
        let bus = &config.bus;
        let (told, tried) = (self.line.clone(), self.line.clone());
        // Alone it tries for ever. One of several gives up after a round: what its client still holds is dropped then, so
        // that its audiences can go by another member without an old message coming late.
        let rounds = (config.pool > 1).then_some(config.servers.len());
        let options = secured
            .options()?
            .name(&config.name)
            .connection_timeout(bus.connect_wait)
            .ping_interval(client_pings(&bus.health))
            .subscription_capacity(config.client_queue)
            // The registry has checked every subject.
            .skip_subject_validation(true)
            .max_reconnects(rounds)
            .reconnect_delay_callback(move |number| tried.attempt(number))
            .event_callback(move |event| {
                told.note(&event);
                std::future::ready(())
            });
        let client = match tokio::time::timeout(bus.connect_wait, options.connect(address)).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(secured.explain(&error, address)),
            Err(_) => return Err(secured.silent(bus.connect_wait, address)),
        };
        check_version(&client.server_info().version)?;
        let answers = client
            .subscribe(self.inbox.pattern())
            .await
            .map_err(|error| Error::new(ErrorKind::Subscribe, "the inbox").because(error))?;
        making.tasks.spawn(self.inbox.clone().run(answers, making.stop.clone()));
        if config.servers.len() > 1 {
            know_all(&client, &config.servers).await;
        }
        Ok(client)
    }

    /// Its client, while it has one.
    pub(crate) fn client(&self) -> Option<Arc<Client>> {
        self.client.read().clone()
    }

    /// The client has given up.
    pub(crate) fn forget_client(&self) {
        *self.outlet.lock() = None;
        if let Some(client) = self.client.write().take() {
            self.sent_before.fetch_add(sent(&client), Ordering::Relaxed);
        }
    }

    /// Messages it has sent, as its clients count them.
    pub(crate) fn sent(&self) -> u64 {
        self.sent_before.load(Ordering::Relaxed) + self.client().map_or(0, |client| sent(&client))
    }

    /// Bytes that its client has read: what stands still while a ping is awaited is a connection that brings nothing.
    pub(crate) fn heard(&self) -> Option<u64> {
        Some(self.client()?.statistics().in_bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn is_up(&self) -> bool {
        self.line.is_up()
    }

    /// What the last attempt to connect met, by address.
    pub(crate) fn troubles(&self) -> Vec<(String, String)> {
        self.troubles.lock().clone()
    }

    fn connected(&self) -> Result<Arc<Client>, Error> {
        self.client().ok_or_else(no_client)
    }

    /// Sends a message, waiting where the client's queue is full, and where others are to have their turn.
    #[inline]
    pub(crate) fn send(&self, message: OutboundMessage) -> Outcome<'static, ()> {
        let mut outlet = self.outlet.lock();
        let Some(client) = outlet.as_mut() else { return Outcome::Ready(Err(no_client())) };
        match client.poll_ready_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => {
                let sent = ready.and_then(|()| client.start_send_unpin(message));
                if sent.is_err() {
                    // What was refused leaves its place taken.
                    let fresh = client.clone();
                    *client = fresh;
                }
                Outcome::Ready(sent.map_err(not_taken))
            }
            Poll::Pending => {
                // This one is with who waits from now on.
                let fresh = client.clone();
                let full = std::mem::replace(client, fresh);
                drop(outlet);
                let waiting = UnderWay::count(Arc::clone(&self.waiting));
                Outcome::Later(Box::pin(send_where_room(full, message, waiting)))
            }
        }
    }

    /// Messages that wait for room in the client's queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// The same, for who cannot wait: `Later` says that the queue is full, and never that others are to have their turn.
    pub(crate) fn send_unyielding(&self, message: OutboundMessage) -> Outcome<'static, ()> {
        unconstrained(lazy(|_| self.send(message))).now_or_never().expect("it is ready when it is asked")
    }

    /// As `send`, until then at most: what found no room in time was not sent.
    pub(crate) async fn send_by(&self, until: Instant, message: OutboundMessage) -> Result<(), Error> {
        sent_by(until, self.send(message)).await
    }

    /// A place for an answer.
    pub(crate) fn place(&self) -> (Place, oneshot::Receiver<Message>) {
        self.inbox.one()
    }

    /// The same, of what is asked at a subject: it ends where the server refuses that.
    pub(crate) fn place_of(&self, subject: &str) -> (Place, oneshot::Receiver<Message>) {
        self.inbox.one_of(self.line.refusals.mark(subject))
    }

    /// A place for many answers of the same.
    pub(crate) fn many_of(&self, subject: &str, capacity: usize) -> (Place, mpsc::Receiver<Message>) {
        self.inbox.many_of(self.line.refusals.mark(subject), capacity)
    }

    /// Nobody is answered any more.
    pub(crate) fn close_inbox(&self) {
        self.inbox.close();
    }

    /// Waits for an answer.
    pub(crate) async fn answer(
        &self,
        subject: &str,
        answered: oneshot::Receiver<Message>,
        limit: Limit,
    ) -> Result<Message, Error> {
        let waited = tokio::time::timeout_at(limit.until, answered).await;
        self.told(subject, waited, limit)
    }

    /// What came of waiting for an answer.
    pub(crate) fn told(&self, subject: &str, waited: Waited, limit: Limit) -> Result<Message, Error> {
        if !matches!(waited, Ok(Ok(_)))
            && let Some(refused) = self.line.refusals.why(subject, limit.begun)
        {
            return Err(refused);
        }
        match waited {
            Ok(Ok(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(Error::new(ErrorKind::NoResponders, format!("nobody serves '{subject}'")))
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Error::closed()),
            Err(_) => {
                self.doubt.raise();
                let wait = limit.until - limit.begun;
                Err(Error::new(ErrorKind::Timeout, format!("no answer from '{subject}' within {wait:?}")))
            }
        }
    }

    /// A message to its own inbox and back: the server has dealt with everything that was sent before it. How long that
    /// took; `None`: it did not come back in time.
    pub(crate) async fn round_trip(&self, wait: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let (place, answered) = self.place();
        let there_and_back = async {
            self.send(outbound(place.reply(), None, Bytes::new())).done().await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(wait, there_and_back).await.ok()??;
        Some(begun.elapsed())
    }

    /// Hears a subject. `None`: as one of nobody's group.
    pub(crate) async fn hear(&self, subject: &str, group: Option<&str>) -> Result<Subscriber, Error> {
        let client = self.connected()?;
        let heard = match group {
            Some(group) => client.queue_subscribe(subject.to_owned(), group.to_owned()).await,
            None => client.subscribe(subject.to_owned()).await,
        };
        heard.map_err(|error| {
            Error::new(ErrorKind::Subscribe, format!("no subscription of '{subject}'")).because(error)
        })
    }
}

/// What is being sent, until then at most.
pub(crate) async fn sent_by(until: Instant, sent: Outcome<'static, ()>) -> Result<(), Error> {
    let later = match sent {
        Outcome::Ready(sent) => return sent,
        Outcome::Later(later) => later,
    };
    tokio::time::timeout_at(until, later).await.unwrap_or_else(|_| {
        let what = "the connection to NATS took nothing more until the deadline";
        Err(Error::new(ErrorKind::Connection, what).after(RECONNECT_SOON))
    })
}

/// A message that asks for no answer.
pub(crate) fn outbound(subject: Subject, headers: Option<HeaderMap>, payload: Bytes) -> OutboundMessage {
    OutboundMessage { subject, reply: None, payload, headers }
}

async fn send_where_room(
    mut full: Client,
    message: OutboundMessage,
    _waiting: UnderWay<Arc<AtomicUsize>>,
) -> Result<(), Error> {
    let ready = poll_fn(|context| full.poll_ready_unpin(context)).await;
    ready.and_then(|()| full.start_send_unpin(message)).map_err(not_taken)
}

fn no_client() -> Error {
    Error::new(ErrorKind::Connection, "not connected to NATS")
}

fn not_taken(error: PublishError) -> Error {
    let (kind, passing) = match error.kind() {
        // Of the message, not of the way: it will not be taken later either.
        PublishErrorKind::MaxPayloadExceeded => (ErrorKind::Schema, false),
        // The client has ended, and another is made: it was not sent.
        PublishErrorKind::Send => (ErrorKind::Connection, true),
        _ => (ErrorKind::Publish, false),
    };
    let told = Error::new(kind, "NATS did not take a message").because(error);
    if passing { told.after(RECONNECT_SOON) } else { told }
}

fn sent(client: &Client) -> u64 {
    client.statistics().out_messages.load(Ordering::Relaxed)
}

/// Tells the client of the servers beside the one it is connected to, and those that this one named.
async fn know_all(client: &Client, servers: &[String]) {
    let learning = async {
        let named = client.server_pool().await.ok()?.into_iter().map(|server| server.addr);
        let mut all: Vec<ServerAddr> = servers.iter().filter_map(|server| server.parse().ok()).collect();
        for one in named {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        client.set_server_pool(all).await.ok()
    };
    if tokio::time::timeout(POOL_WAIT, learning).await.is_err() {
        tracing::debug!("the client has not taken its other servers yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_refused() {
        for (version, taken) in [
            ("2.11.11", false),
            ("2.9.10", false),
            ("1.99.0", false),
            ("", false),
            ("2.12.0", true),
            ("2.12.8-RC.1", true),
            ("2.15.1", true),
            ("3.0.0", true),
        ] {
            assert_eq!(check_version(version).is_ok(), taken, "{version}");
        }
        let told = check_version("2.11.11").expect_err("it is too old").to_string();
        assert!(told.contains("2.11.11") && told.contains("2.12"), "{told}");
    }
}
