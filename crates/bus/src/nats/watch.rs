//! Watchers of a bucket: an ephemeral consumer that begins with the last message of each key.
//!
//! A consumer that is lost, by a reconnect, a gap or silence, is made anew after a pause: one made anew in a tight loop
//! leaks consumers on the server. Its watcher then begins anew too, because marks of deletions go after a while. A
//! reader that is slow holds the server back (flow control), where the changes of a key collapse into the last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::kv::{KvEntry, KvEvent, KvWatchBackend};
use crate::nats::ack::Delivery;
use crate::nats::connection::{Connection, jitter, random_name};
use crate::nats::ear::Ear;
use crate::nats::headers;
use crate::nats::line::Link;
use crate::nats::read::Reader;
use crate::nats::stream::KEY_MARK;

/// Events that wait for the watcher; beyond it the server is held back.
const WATCH_QUEUE: usize = 256;
/// How often the server says that it has nothing.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so long without a word the consumer is taken for lost.
const SILENCE: Duration = Duration::from_secs(16);
/// The first pause before a lost consumer is made anew; it doubles.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// The longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// How long the server keeps a consumer that nobody listens to.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// A consumer of a bucket's keys.
struct Feed {
    connection: Arc<Connection>,
    messages: Ear,
    name: String,
    stream: String,
    /// The last delivery's number.
    number: u64,
    /// Messages there were when it was made.
    pending: u64,
}

/// What a feed says.
enum Heard {
    Message(Box<Message>, Delivery),
    /// It is lost, for this reason.
    Lost(&'static str),
}

impl Feed {
    async fn open(
        connection: &Arc<Connection>,
        stream: &str,
        filter: &str,
        headers_only: bool,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let name = format!("watch-{}", random_name()?);
        let to = connection.own_inbox(&name);
        let messages = Ear::open(connection, to.clone(), None).await?;
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let question = json!({"stream_name": stream, "config": {
            "name": name, "deliver_subject": to, "deliver_policy": "last_per_subject", "ack_policy": "none",
            "filter_subject": filter, "flow_control": true, "idle_heartbeat": nanoseconds(HEARTBEAT),
            "inactive_threshold": nanoseconds(FORGOTTEN_AFTER), "mem_storage": true, "num_replicas": 1,
            "headers_only": headers_only,
        }});
        let made =
            connection.demand(&format!("CONSUMER.CREATE.{stream}.{name}"), &question, deadline).await?;
        Ok(Self {
            connection: connection.clone(),
            messages,
            name,
            stream: stream.to_owned(),
            number: 0,
            pending: made["num_pending"].as_u64().unwrap_or(0),
        })
    }

    async fn next(&mut self) -> Heard {
        loop {
            let message = match tokio::time::timeout(SILENCE, self.messages.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Heard::Lost("the connection is closed"),
                Err(_) => return Heard::Lost("silence"),
            };
            if message.status.is_some() {
                if let Some(why) = self.status(&message) {
                    return Heard::Lost(why);
                }
                continue;
            }
            let Some(delivery) = message.reply.as_ref().and_then(|reply| Delivery::parse(reply)) else {
                continue;
            };
            if delivery.number != self.number + 1 {
                return Heard::Lost("a gap");
            }
            self.number = delivery.number;
            return Heard::Message(Box::new(message), delivery);
        }
    }

    /// A word of the server between messages: says why the feed is lost, where it is.
    fn status(&self, message: &Message) -> Option<&'static str> {
        if message.status.map(|status| status.as_u16()) != Some(100) {
            return Some("the consumer is gone");
        }
        let map = message.headers.as_ref();
        if let Some(reply) = &message.reply {
            self.connection.send_soon(reply.clone(), None, Bytes::new());
        } else if let Some(stalled) = headers::text(map, "Nats-Consumer-Stalled") {
            self.connection.send_soon(stalled.into(), None, Bytes::new());
        }
        let sent = headers::number(map, "Nats-Last-Consumer")?;
        (sent != self.number).then_some("a gap")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, self.name);
        self.connection.send_soon(subject.into(), None, Bytes::new());
    }
}

fn is_gone(message: &Message) -> bool {
    let map = message.headers.as_ref();
    matches!(headers::text(map, headers::OPERATION), Some("DEL" | "PURGE"))
        || headers::text(map, headers::MARKER).is_some()
}

/// Every key of a bucket, in order.
pub(crate) async fn all_keys(
    connection: &Arc<Connection>,
    stream: &str,
    keys: &str,
    deadline: Duration,
) -> Result<Vec<String>, Error> {
    let mut feed = Feed::open(connection, stream, &format!("{keys}>"), true, deadline).await?;
    let mut found = Vec::new();
    let mut pending = feed.pending;
    let until = Instant::now() + deadline;
    while pending > 0 {
        match tokio::time::timeout_at(until, feed.next()).await {
            Ok(Heard::Message(message, delivery)) => {
                pending = delivery.pending;
                if let (Some(key), false) = (message.subject.strip_prefix(keys), is_gone(&message)) {
                    found.push(key.to_owned());
                }
            }
            Ok(Heard::Lost(why)) => {
                return Err(Error::new(ErrorKind::Connection, format!("the keys of '{stream}': {why}")));
            }
            Err(_) => {
                let what = format!("the keys of '{stream}' did not come within {deadline:?}");
                return Err(Error::new(ErrorKind::Timeout, what));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A watcher's end for its reader.
pub(crate) struct NatsWatch {
    events: mpsc::Receiver<KvEvent>,
    stop: CancellationToken,
}

impl NatsWatch {
    pub(crate) fn start(reader: &Arc<Reader>, stream: &str, keys: &str, prefix: &str) -> Self {
        let (to, events) = mpsc::channel(WATCH_QUEUE);
        let stop = reader.connection.stop.child_token();
        // Whole tokens of a prefix are the server's to filter, the rest is done here.
        let whole = prefix.rfind('.').map_or("", |dot| &prefix[..=dot]);
        let watcher = Watcher {
            connection: reader.connection.clone(),
            deadline: reader.deadline,
            stream: stream.to_owned(),
            filter: format!("{keys}{whole}>"),
            keys: keys.to_owned(),
            prefix: prefix.to_owned(),
            known: HashMap::new(),
            to,
        };
        let stopped = stop.clone();
        reader.connection.tasks.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = watcher.run() => {}
            }
        });
        Self { events, stop }
    }
}

impl KvWatchBackend for NatsWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<KvEvent, Error>> {
        Box::pin(async move { self.events.recv().await.ok_or_else(Error::closed) })
    }
}

impl Drop for NatsWatch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Watcher {
    connection: Arc<Connection>,
    deadline: Duration,
    stream: String,
    filter: String,
    keys: String,
    prefix: String,
    /// What the reader was told, to tell it what is gone.
    known: HashMap<String, u64>,
    to: mpsc::Sender<KvEvent>,
}

impl Watcher {
    async fn run(mut self) {
        let mut pause = AGAIN_FIRST;
        let mut first = true;
        loop {
            let mut link = self.connection.link();
            let gaps = link.borrow_and_update().gaps;
            let feed = Feed::open(&self.connection, &self.stream, &self.filter, false, self.deadline).await;
            match feed {
                Ok(mut feed) => {
                    if !first && !self.tell(KvEvent::Resync).await {
                        return;
                    }
                    first = false;
                    self.known.clear();
                    let lost = |link: &Link| link.up && link.gaps != gaps;
                    let (why, current) = tokio::select! {
                        told = self.feed(&mut feed) => told,
                        _ = link.wait_for(lost) => ("connected anew", true),
                    };
                    if self.to.is_closed() {
                        return;
                    }
                    if current {
                        pause = AGAIN_FIRST;
                    }
                    tracing::debug!(stream = self.stream, why, "a watcher begins anew");
                }
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => tracing::warn!(%error, "a watcher could not begin"),
            }
            metrics::counter!("tidings_bus_watch_restarts_total").increment(1);
            tokio::time::sleep(AGAIN_FIRST + jitter(pause)).await;
            pause = (pause * 2).min(AGAIN_MAX - AGAIN_FIRST);
        }
    }

    /// Tells the reader what the feed says until that is lost; answers why, and whether it had told everything there
    /// was at first.
    async fn feed(&mut self, feed: &mut Feed) -> (&'static str, bool) {
        let mut current = feed.pending == 0;
        if current && !self.tell(KvEvent::Current).await {
            return ("the reader is gone", true);
        }
        loop {
            let (message, delivery) = match feed.next().await {
                Heard::Message(message, delivery) => (message, delivery),
                Heard::Lost(why) => return (why, current),
            };
            let since = Instant::now();
            let mut told = true;
            if let Some(event) = self.event(&message, &delivery) {
                told = self.tell(event).await;
            }
            if told && !current && delivery.pending == 0 {
                current = true;
                told = self.tell(KvEvent::Current).await;
            }
            if !told {
                return ("the reader is gone", current);
            }
            // Marks of deletions may have gone meanwhile.
            if since.elapsed() > KEY_MARK / 2 {
                return ("the reader was too slow", current);
            }
        }
    }

    async fn tell(&self, event: KvEvent) -> bool {
        self.to.send(event).await.is_ok()
    }

    fn event(&mut self, message: &Message, delivery: &Delivery) -> Option<KvEvent> {
        let key = message.subject.strip_prefix(self.keys.as_str())?.to_owned();
        if !key.starts_with(&self.prefix) {
            return None;
        }
        if is_gone(message) {
            let revision = self.known.remove(&key)?;
            return Some(KvEvent::Delete { key, revision });
        }
        self.known.insert(key.clone(), delivery.seq);
        Some(KvEvent::Put(KvEntry { key, value: message.payload.clone(), revision: delivery.seq }))
    }
}
