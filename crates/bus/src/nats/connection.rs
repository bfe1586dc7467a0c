//! One connection to the cluster: made with its checks, watched, asked, and closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind};
use crate::nats::config::NatsConfig;
use crate::nats::inbox::{Inbox, Place};
use crate::nats::line::{Line, Link};
use crate::nats::pings::client_pings;
use crate::nats::security::Secured;
use crate::resilience::{Guard, Move};

/// The oldest server with atomic batches.
const SERVER_MIN: (u32, u32) = (2, 12);
/// When to try again while the connection is made anew: a first attempt takes that long at most.
const RECONNECT_SOON: Duration = Duration::from_millis(100);
/// Messages the client keeps for a subscription whose reader is late. Readers here move them on at once; beyond
/// it they are dropped, and the drop is counted and repaired where the messages are stored.
const CLIENT_QUEUE: usize = 65_536;
/// What inboxes begin with: clients' own, and those the servers make between accounts and clusters.
const INBOXES: [&str; 3] = ["_INBOX", "_R_", "_GR_"];
/// How long what was sent may take to be on its way.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) line: Arc<Line>,
    pub(crate) guard: Arc<Guard>,
    /// How long one try may take of what may arrive twice.
    pub(crate) try_wait: Duration,
    inboxes: String,
    inbox: Arc<Inbox>,
    link: watch::Receiver<Link>,
    closed: AtomicBool,
}

/// Draws a delay between nothing and `most`.
pub(crate) fn jitter(most: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or(u32::MAX / 2);
    most.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// A random name of 16 hex digits.
pub(crate) fn random_name() -> Result<String, Error> {
    let number = getrandom::u64().map_err(|error| {
        Error::new(ErrorKind::Connection, "the system gives no random numbers").because(error)
    })?;
    Ok(format!("{number:016x}"))
}

fn check_version(version: &str) -> Result<(), Error> {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= SERVER_MIN {
        return Ok(());
    }
    let (major, minor) = SERVER_MIN;
    Err(Error::new(
        ErrorKind::Connection,
        format!("the NATS server is {version}: {major}.{minor} or later is needed, for its atomic batches"),
    ))
}

impl Connection {
    pub(crate) async fn open(config: &NatsConfig) -> Result<Arc<Self>, Error> {
        let bus = &config.bus;
        let guard = Arc::new(Guard::new(bus.retry.clone(), bus.breaker.clone()));
        let line = Line::new(bus, guard.clone());
        let (told, tried) = (line.clone(), line.clone());
        let secured = Secured::load(config)?;
        let options = secured
            .options()?
            .name(&config.name)
            .connection_timeout(bus.connect_wait)
            .ping_interval(client_pings(&bus.health))
            .subscription_capacity(CLIENT_QUEUE)
            .max_reconnects(None)
            .reconnect_delay_callback(move |number| tried.attempt(number))
            .event_callback(move |event| {
                told.note(&event);
                std::future::ready(())
            });
        line.states.try_make(Move::Connect);
        let connecting = options.connect(config.servers.clone());
        let client = match tokio::time::timeout(bus.connect_wait, connecting).await {
            Ok(Ok(client)) => client,
            outcome => {
                line.states.try_make(Move::Failed);
                return Err(match outcome {
                    Ok(Err(error)) => secured.explain(&error),
                    _ => secured.silent(bus.connect_wait),
                });
            }
        };
        line.states.try_make(Move::Established);
        check_version(&client.server_info().version)?;
        let inboxes = config.inbox.clone();
        let inbox = Inbox::new(format!("{inboxes}.{}", random_name()?));
        let answers = client
            .subscribe(inbox.pattern())
            .await
            .map_err(|error| Error::new(ErrorKind::Subscribe, "the inbox").because(error))?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(inbox.clone().run(answers, stop.clone()));
        tasks.spawn(secured.watch(client.clone(), stop.clone()));
        let (link, closed, try_wait) = (line.link(), AtomicBool::new(false), bus.try_wait);
        Ok(Arc::new(Self { client, tasks, stop, line, guard, try_wait, inboxes, inbox, link, closed }))
    }

    /// A subject that this process may hear what it asks for at, with a name that nobody else has.
    pub(crate) fn own_inbox(&self, name: &str) -> String {
        format!("{}.{name}", self.inboxes)
    }

    /// Whether an answer may go there. Who asks says where to, and what this process may send the asker may not: an
    /// answer must not be a line of a log or an order to JetStream.
    pub(crate) fn is_inbox(&self, to: &str) -> bool {
        let first = to.split('.').next().unwrap_or_default();
        INBOXES.contains(&first) || self.inboxes.split('.').next() == Some(first)
    }

    /// Watches the connection.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Takes nothing new.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.line.states.try_make(Move::Drain);
    }

    /// Its tasks end, and nothing is sent any more.
    pub(crate) fn end(&self) {
        self.shut();
        self.stop.cancel();
        self.line.states.try_make(Move::Close);
    }

    /// As `check_up`, for calls that do not wait for a connection: `CircuitOpen` while attempts to connect keep failing.
    pub(crate) fn check_ready(&self) -> Result<(), Error> {
        self.check_up().or_else(|down| self.line.check_circuit().and(Err(down)))
    }

    /// Refuses only while attempts to connect keep failing.
    pub(crate) fn check_circuit(&self) -> Result<(), Error> {
        if self.link.borrow().up { Ok(()) } else { self.line.check_circuit() }
    }

    /// Whether there is a connection: the client itself would take a message into its queue and say nothing.
    pub(crate) fn check_up(&self) -> Result<(), Error> {
        if self.stop.is_cancelled() {
            return Err(Error::closed());
        }
        if self.link.borrow().up {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Connection, "not connected to NATS").after(RECONNECT_SOON))
    }

    /// Waits for a connection until the deadline.
    pub(crate) async fn wait_up(&self, until: Instant) -> Result<(), Error> {
        let mut link = self.link.clone();
        let up = async { link.wait_for(|link| link.up).await.map(drop) };
        tokio::select! {
            () = self.stop.cancelled() => Err(Error::closed()),
            waited = tokio::time::timeout_at(until, up) => match waited {
                Ok(Ok(())) => Ok(()),
                _ => self.check_up(),
            },
        }
    }

    /// Sends a message, waiting only where the client's queue is full.
    pub(crate) async fn send(
        &self,
        subject: String,
        reply: Option<String>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), Error> {
        let sent = match (reply, headers) {
            (None, None) => self.client.publish(subject, payload).await,
            (None, Some(headers)) => self.client.publish_with_headers(subject, headers, payload).await,
            (Some(reply), None) => self.client.publish_with_reply(subject, reply, payload).await,
            (Some(reply), Some(headers)) => {
                self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
        };
        sent.map_err(|error| Error::new(ErrorKind::Publish, "NATS did not take a message").because(error))
    }

    /// Sends a message from where nothing can wait.
    pub(crate) fn send_soon(self: &Arc<Self>, subject: String, headers: Option<HeaderMap>, payload: Bytes) {
        let connection = self.clone();
        let (again, more) = (subject.clone(), headers.clone());
        if self.send(subject, None, headers, payload.clone()).now_or_never().is_none() {
            self.tasks.spawn(async move { drop(connection.send(again, None, more, payload).await) });
        }
    }

    /// One question, one answer.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Message, Error> {
        self.check_up()?;
        let (place, answered) = self.inbox.one();
        self.send(subject.to_owned(), Some(place.reply()), headers, payload).await?;
        self.answer(subject, answered, wait).await
    }

    /// A place for an answer to what is sent otherwise.
    pub(crate) fn place(&self) -> (Place, tokio::sync::oneshot::Receiver<Message>) {
        self.inbox.one()
    }

    /// Waits for an answer.
    pub(crate) async fn answer(
        &self,
        subject: &str,
        answered: tokio::sync::oneshot::Receiver<Message>,
        wait: Duration,
    ) -> Result<Message, Error> {
        let waited = tokio::select! {
            () = self.stop.cancelled() => return Err(Error::closed()),
            waited = tokio::time::timeout(wait, answered) => waited,
        };
        match waited {
            Ok(Ok(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(Error::new(ErrorKind::NoResponders, format!("nobody serves '{subject}'")))
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Error::closed()),
            Err(_) => {
                Err(Error::new(ErrorKind::Timeout, format!("no answer from '{subject}' within {wait:?}")))
            }
        }
    }

    /// One question, many answers.
    pub(crate) async fn ask_many(
        &self,
        subject: &str,
        payload: Bytes,
        capacity: usize,
    ) -> Result<(Place, mpsc::Receiver<Message>), Error> {
        self.check_up()?;
        let (place, answers) = self.inbox.many(capacity);
        self.send(subject.to_owned(), Some(place.reply()), None, payload).await?;
        Ok((place, answers))
    }

    /// Waits until the server has what was sent: a message of our own, there and back. The client's own flush ends when
    /// everything is with the system, and waits for that as long as it takes.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.check_up()?;
        let (place, answered) = self.place();
        let there_and_back = async {
            self.send(place.reply(), None, None, Bytes::new()).await?;
            answered.await.map(drop).map_err(|_| Error::closed())
        };
        tokio::time::timeout(FLUSH_WAIT, there_and_back).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, format!("NATS did not answer in {FLUSH_WAIT:?}")))
        })
    }

    /// Ends every task, then the connection.
    pub(crate) async fn close(&self, wait: Duration) {
        self.end();
        self.tasks.close();
        let _ = tokio::time::timeout(wait, self.tasks.wait()).await;
        let _ = tokio::time::timeout(wait, self.client.drain()).await;
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
