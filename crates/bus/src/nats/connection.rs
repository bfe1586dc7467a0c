//! The way to the cluster that everything else uses: a pool of connections, made, asked, repaired, and closed as one.
//!
//! Start reading at `pool`: which member a subject goes by. A single connection is a pool of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Outcome;
use crate::error::{Error, ErrorKind};
use crate::nats::config::NatsConfig;
use crate::nats::inbox::{Inbox, Place};
use crate::nats::line::{Line, Link};
use crate::nats::member::{Making, Member, Trouble, outbound, sent_by};
use crate::nats::pool::Routes;
use crate::nats::security::Secured;
use crate::nats::soon::Soon;
use crate::nats::together::Together;
use crate::nats::tries::Limit;
use crate::resilience::{Guard, Move};
use crate::subject::text_hash;

/// When to try again while the connection is made anew: a first attempt takes that long at most.
pub(crate) const RECONNECT_SOON: Duration = Duration::from_millis(100);
/// What inboxes begin with: clients' own, and those the servers make between accounts and clusters.
const INBOXES: [&str; 3] = ["_INBOX", "_R_", "_GR_"];
/// How long what was sent may take to be on its way.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Connection {
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) routes: Routes,
    pub(crate) together: Arc<Together>,
    pub(crate) tasks: TaskTracker,
    pub(crate) soon: Soon,
    pub(crate) stop: CancellationToken,
    pub(crate) guard: Arc<Guard>,
    pub(crate) making: Making,
    /// How long one try may take of what may arrive twice.
    pub(crate) try_wait: Duration,
    inboxes: String,
    /// Where its tasks run, whoever begins them: an answer may be let go on any thread.
    runtime: Handle,
    closed: AtomicBool,
    ended: AtomicBool,
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

impl Connection {
    /// Makes every member that can be made; an error if none can. Those that cannot are reported, and repaired meanwhile.
    pub(crate) async fn open(config: &NatsConfig) -> Result<Arc<Self>, Error> {
        config.check_connection()?;
        let bus = &config.bus;
        let guard = Arc::new(Guard::new(bus.retry.clone(), bus.breaker.clone()));
        let together = Arc::new(Together::new(config.pool));
        let secured = Secured::load(config)?;
        let inboxes = config.inbox.clone();
        let mut members = Vec::with_capacity(config.pool);
        for number in 0..config.pool {
            let line = Line::new(bus, guard.clone(), number, together.clone());
            let inbox = Inbox::new(format!("{inboxes}.{}", random_name()?));
            line.refusals.end_calls_of(inbox.clone());
            members.push(Member::new(number, line, inbox));
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let making = Making { config: config.clone(), secured, tasks: tasks.clone(), stop: stop.clone() };
        let runtime = Handle::current();
        let connection = Arc::new(Self {
            routes: Routes::new(members.len()),
            members,
            together,
            soon: Soon::new(tasks.clone(), runtime.clone()),
            tasks,
            stop,
            guard,
            making,
            try_wait: bus.try_wait,
            inboxes,
            runtime,
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        connection.begin().await?;
        Ok(connection)
    }

    async fn begin(self: &Arc<Self>) -> Result<(), Error> {
        let made =
            futures_util::future::join_all(self.members.iter().map(|member| member.connect(&self.making)));
        let made = made.await;
        // A client that is connected may be refused all the same: for its server's version.
        if made.iter().all(Result::is_err) || !self.together.is_up() {
            let troubles: Vec<Trouble> = made.into_iter().filter_map(Result::err).flatten().collect();
            self.stop.cancel();
            return Err(all_failed(troubles));
        }
        for (member, outcome) in self.members.iter().zip(made) {
            if let Err(troubles) = outcome {
                troubles.iter().for_each(|trouble| member.tell(trouble));
                self.leave(member);
                member.line.given_up.notify_one();
            }
            self.tasks.spawn(self.clone().keep(member.clone()));
        }
        let secured = self.making.secured.clone();
        self.tasks.spawn(secured.watch(self.members.clone(), self.stop.clone()));
        Ok(())
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
        self.together.link()
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Takes nothing new.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.members.iter().for_each(|member| member.line.make(Move::Drain));
        self.together.states.try_make(Move::Drain);
    }

    /// Its tasks end, and nothing is sent any more.
    pub(crate) fn end(&self) {
        self.shut();
        self.ended.store(true, Ordering::Release);
        self.stop.cancel();
        self.members.iter().for_each(|member| {
            member.close_inbox();
            member.line.make(Move::Close);
        });
        self.together.states.try_make(Move::Close);
    }

    pub(crate) fn check_ended(&self) -> Result<(), Error> {
        if self.ended.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Refuses only while attempts to connect keep failing.
    pub(crate) fn check_circuit(&self) -> Result<(), Error> {
        if self.together.is_up() {
            return Ok(());
        }
        self.members.iter().try_for_each(|member| member.line.check_circuit())
    }

    /// Whether there is a connection: the client itself would take a message into its queue and say nothing.
    pub(crate) fn check_up(&self) -> Result<(), Error> {
        self.check_ended()?;
        if self.together.is_up() { Ok(()) } else { Err(not_connected()) }
    }

    /// Waits for a connection until the deadline.
    pub(crate) async fn wait_up(&self, until: Instant) -> Result<(), Error> {
        let mut link = self.link();
        let up = async { link.wait_for(|link| link.up).await.map(drop) };
        tokio::select! {
            () = self.stop.cancelled() => Err(Error::closed()),
            waited = tokio::time::timeout_at(until, up) => match waited {
                Ok(Ok(())) => Ok(()),
                _ => self.check_up(),
            },
        }
    }

    /// The member for a subject whose messages need no order: its own, or where that has no connection another.
    pub(crate) fn any(&self, subject: &str) -> Result<&Arc<Member>, Error> {
        self.check_ended()?;
        let own = match self.members.len() {
            1 => 0,
            _ => self.routes.own(text_hash(subject)),
        };
        let mut members = self.members[own..].iter().chain(&self.members[..own]);
        members.find(|member| member.is_up()).ok_or_else(not_connected)
    }

    /// Sends a message that needs no order, waiting only where the client's queue is full.
    pub(crate) fn send(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Outcome<'static, ()> {
        match self.any(&subject) {
            Ok(member) => member.send_unyielding(outbound(subject, headers, payload)),
            Err(error) => Outcome::Ready(Err(error)),
        }
    }

    /// A task of its own, wherever it is begun.
    pub(crate) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// One question, one answer. It is sent when this is called: what waits for the answer is small, since every commit
    /// and every request does.
    pub(crate) fn ask(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        limit: Limit,
    ) -> impl Future<Output = Result<Message, Error>> {
        let asked = self.any(&subject).map(|member| {
            let (place, answered) = member.place_of(&subject);
            let reply = Some(limit.left.map_or_else(|| place.reply(), |left| place.reply_within(left)));
            let message = OutboundMessage { subject: subject.clone(), reply, payload, headers };
            (member, place, answered, member.send(message))
        });
        async move {
            let (member, _place, answered, sent) = asked?;
            sent_by(limit.until, sent).await?;
            // As `Member::answer`, whose arguments would be kept twice.
            let waited = tokio::time::timeout_at(limit.until, answered).await;
            member.told(&subject, waited, limit)
        }
    }

    /// One question, many answers.
    pub(crate) async fn ask_many(
        &self,
        subject: &str,
        payload: Bytes,
        capacity: usize,
    ) -> Result<(Place, mpsc::Receiver<Message>), Error> {
        let member = self.any(subject)?;
        let (place, answers) = member.many_of(subject, capacity);
        let until = Instant::now() + self.try_wait;
        let (subject, reply) = (subject.into(), Some(place.reply()));
        member.send_by(until, OutboundMessage { subject, reply, payload, headers: None }).await?;
        Ok((place, answers))
    }

    /// Why what was asked there since then had no answer, where a right was missing.
    pub(crate) fn refused(&self, subject: &str, since: Instant) -> Option<Error> {
        self.members.iter().find_map(|member| member.line.refusals.why(subject, since))
    }

    /// Waits until the servers have what was sent: a message of our own to each, there and back. The client's own flush
    /// ends when everything is with the system, and waits for that as long as it takes.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.check_up()?;
        if self.members.iter().any(|member| !member.is_up() && member.client().is_some()) {
            // It may hold something that was sent by it.
            return Err(not_connected());
        }
        let trips =
            self.members.iter().filter(|member| member.is_up()).map(|member| member.round_trip(FLUSH_WAIT));
        if futures_util::future::join_all(trips).await.iter().all(Option::is_some) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Timeout, format!("NATS did not answer in {FLUSH_WAIT:?}")))
    }

    /// The same for the last time; answers how many connections did not say that they have it.
    pub(crate) async fn settle(&self) -> usize {
        let opened = self.members.iter().filter(|member| member.client().is_some());
        let trips =
            opened.map(|member| async { member.is_up() && member.round_trip(FLUSH_WAIT).await.is_some() });
        futures_util::future::join_all(trips).await.into_iter().filter(|arrived| !arrived).count()
    }

    /// How many connections have a client, which may hold something.
    pub(crate) fn opened(&self) -> usize {
        self.members.iter().filter(|member| member.client().is_some()).count()
    }

    /// What the server says of itself by which the first member that has one is connected.
    pub(crate) fn server_info(&self) -> async_nats::ServerInfo {
        let up = self.members.iter().filter(|member| member.is_up()).find_map(|member| member.client());
        let client = up.or_else(|| self.members.iter().find_map(|member| member.client()));
        client.map(|client| client.server_info()).unwrap_or_default()
    }

    /// Whether the server is one of several.
    pub(crate) fn is_clustered(&self) -> bool {
        self.server_info().cluster.is_some_and(|name| !name.is_empty())
    }

    /// Ends every task, then the connections.
    pub(crate) async fn close(&self, wait: Duration) {
        self.end();
        self.tasks.close();
        let _ = tokio::time::timeout(wait, self.tasks.wait()).await;
        self.soon.end();
        let clients = self.members.iter().filter_map(|member| member.client());
        let draining = clients.map(|client| async move { client.drain().await });
        let _ = tokio::time::timeout(wait, futures_util::future::join_all(draining)).await;
    }
}

pub(crate) fn not_connected() -> Error {
    Error::new(ErrorKind::Connection, "not connected to NATS").after(RECONNECT_SOON)
}

/// None at all. What is wrong with settings or certificates says more than that somebody is away.
fn all_failed(mut troubles: Vec<Trouble>) -> Error {
    troubles.sort_by_key(|trouble| trouble.error.kind() == ErrorKind::Connection);
    let mut told: Vec<String> = Vec::new();
    for trouble in &troubles {
        let text = trouble.error.to_string();
        if !told.contains(&text) {
            told.push(text);
        }
    }
    match troubles.into_iter().next() {
        Some(first) if told.len() == 1 => first.error,
        Some(first) => Error::new(first.error.kind(), told.join("; ")),
        None => Error::new(ErrorKind::Config, "'nats.servers' names no server"),
    }
}
