//! Looking at a cluster without changing anything: what a registry and a configuration declare beside what stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::error::{Error, ErrorKind};
use crate::nats::config::NatsConfig;
use crate::nats::connection::Connection;
use crate::nats::names::Names;
use crate::nats::read::parse_time;
use crate::nats::{CLOSE_WAIT, Nats, sizes, stream};
use crate::registry::Registry;

/// How long an answer may take: who looks wants to know that there is none.
const LOOK_WAIT: Duration = Duration::from_secs(3);
/// Consumers of a stream that are told.
const CONSUMERS_MAX: usize = 100;

/// What is there.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The server that was asked.
    pub server: ServerView,
    /// The streams that are declared, then those that stand and are not.
    pub streams: Vec<StreamView>,
    /// What this user may not ask, so that a part of the picture is missing; a sentence each.
    pub refused: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, Serialize)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Largest message it takes, in bytes.
    pub max_payload: usize,
    /// Why its messages cannot be as large as is declared; `None`: they can.
    pub too_small: Option<String>,
    /// How long a message takes there and back, in microseconds.
    pub round_trip_us: u64,
    /// Where the other servers of its cluster are, as it tells them.
    pub others: Vec<String>,
    /// Why JetStream does not answer; `None`: it does.
    pub jetstream_error: Option<String>,
    /// How far its clock is before ours, in milliseconds, where a stream tells it.
    pub clock_ahead_ms: Option<i64>,
    /// The certificates that it showed, each as DER, its own first; none without TLS.
    #[serde(skip)]
    pub certificates: Vec<Bytes>,
}

/// A stream as it is declared and as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct StreamView {
    /// Its name.
    pub name: String,
    /// What it is for: logs, notes, bucket, work queue; or nothing that is declared.
    pub what: &'static str,
    /// What stands; `None`: it is not there.
    pub found: Option<StreamFound>,
    /// Where it is another than declared; it is not changed.
    pub differences: Vec<String>,
    /// Why it could not be looked at.
    pub error: Option<String>,
}

/// A stream that stands.
#[derive(Debug, Clone, Serialize)]
pub struct StreamFound {
    /// Messages it holds.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first one's sequence.
    pub first_seq: u64,
    /// The last one's sequence.
    pub last_seq: u64,
    /// Copies it is kept in.
    pub replicas: u64,
    /// The server that leads it, where there are several.
    pub leader: Option<String>,
    /// Servers whose copy is behind or away.
    pub behind: Vec<String>,
    /// Its consumers.
    pub consumers: Vec<ConsumerView>,
    #[serde(skip)]
    peers: usize,
    #[serde(skip)]
    pub(super) config: Value,
    #[serde(skip)]
    clock_ahead_ms: Option<i64>,
}

impl StreamFound {
    /// Whether every copy is there and has everything.
    pub fn is_whole(&self) -> bool {
        let led = self.replicas == 1 || self.leader.is_some();
        led && self.behind.is_empty() && self.peers as u64 + 1 == self.replicas.max(1)
    }
}

#[cfg(test)]
impl StreamFound {
    /// One that holds so much.
    pub(super) fn holding(messages: u64, bytes: u64, config: Value) -> Self {
        Self {
            messages,
            bytes,
            config,
            first_seq: 1,
            last_seq: messages,
            replicas: 1,
            leader: None,
            behind: Vec::new(),
            peers: 0,
            consumers: Vec::new(),
            clock_ahead_ms: None,
        }
    }
}

/// A consumer.
#[derive(Debug, Clone, Serialize)]
pub struct ConsumerView {
    /// Its name.
    pub name: String,
    /// Messages it has not delivered yet.
    pub pending: u64,
    /// Messages delivered and not acknowledged.
    pub unacknowledged: u64,
    /// Messages that were delivered again.
    pub redelivered: u64,
}

impl Nats {
    /// Looks at what stands. Nothing is made and nothing changed.
    pub async fn inspect(config: NatsConfig, registry: Arc<Registry>) -> Result<Inspection, Error> {
        let names = Names::new(&registry)?;
        let connection = Connection::open(&config).await?;
        let look = Look::new(&connection, &names);
        let inspected = look.all(&config, &registry).await;
        connection.close(CLOSE_WAIT).await;
        inspected
    }
}

/// Questions to what stands.
pub(super) struct Look<'a> {
    connection: &'a Connection,
    names: &'a Names,
    refused: Mutex<Vec<String>>,
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl<'a> Look<'a> {
    pub(super) fn new(connection: &'a Connection, names: &'a Names) -> Self {
        Self { connection, names, refused: Mutex::default() }
    }

    async fn all(&self, config: &NatsConfig, registry: &Registry) -> Result<Inspection, Error> {
        let begun = Instant::now();
        self.connection.flush().await?;
        let round_trip_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let info = self.connection.server_info();
        let mut server = ServerView {
            name: info.server_name,
            version: info.version,
            max_payload: info.max_payload,
            too_small: sizes::check(registry, self.connection).err().map(|error| error.to_string()),
            round_trip_us,
            others: info.connect_urls,
            jetstream_error: None,
            clock_ahead_ms: None,
            certificates: self.connection.making.secured.shown(),
        };
        // Whoever may not ask how JetStream does may see its streams all the same.
        if let Err(error) = self.allowed(self.ask("INFO", &json!({})).await) {
            server.jetstream_error = Some(error.to_string());
            return Ok(Inspection { server, streams: Vec::new(), refused: Vec::new() });
        }
        let mut streams = Vec::new();
        for (what, declared) in self.declared(config, registry) {
            streams.push(self.one(what, &declared).await);
        }
        let known: Vec<_> = streams.iter().map(|one| one.name.clone()).collect();
        for name in self.others(&known).await? {
            let what = if self.names.is_work(&name) { "work queue" } else { "not declared" };
            streams.push(self.one(what, &json!({ "name": name })).await);
        }
        let ahead = |one: &StreamView| one.found.as_ref()?.clock_ahead_ms;
        server.clock_ahead_ms = streams.iter().find_map(ahead);
        Ok(Inspection { server, streams, refused: self.refused() })
    }

    /// What this user may not ask.
    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }

    /// An answer; none where this user may not ask, which is noted.
    fn allowed(&self, answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
        match answer {
            Err(error) if error.kind() == ErrorKind::Permission => {
                let (mut refused, text) = (self.refused.lock(), error.to_string());
                if !refused.contains(&text) {
                    refused.push(text);
                }
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// What each stream is for, and its form.
    pub(super) fn declared(&self, config: &NatsConfig, registry: &Registry) -> Vec<(&'static str, Value)> {
        let (names, replicas) = (self.names, config.replicas);
        let mut declared = vec![
            ("logs", stream::events(names, registry, replicas, config.follow)),
            ("notes", stream::notes(names, replicas)),
        ];
        let bucket = |bucket| ("bucket", stream::bucket(names, bucket, replicas));
        declared.extend(config.buckets.iter().map(bucket));
        declared
    }

    async fn ask(&self, subject: &str, question: &Value) -> Result<Value, Error> {
        let answer = self.connection.call_once(subject, Bytes::from(question.to_string()), LOOK_WAIT).await?;
        answer.map_err(|error| error.to_error(subject))
    }

    async fn one(&self, what: &'static str, declared: &Value) -> StreamView {
        let name = text(&declared["name"]).unwrap_or_default();
        let mut view = StreamView { name, what, found: None, differences: Vec::new(), error: None };
        match self.found(&view.name).await {
            Ok(Some(found)) => {
                view.differences = stream::differences(declared, &found.config);
                view.found = Some(found);
            }
            Ok(None) => {}
            Err(error) => view.error = Some(error.to_string()),
        }
        view
    }

    pub(super) async fn found(&self, name: &str) -> Result<Option<StreamFound>, Error> {
        let (asked_ms, begun) = (now_ms(), Instant::now());
        let subject = format!("STREAM.INFO.{name}");
        let info = match self.connection.call_once(&subject, Bytes::from_static(b"{}"), LOOK_WAIT).await? {
            Ok(info) => info,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.to_error(&subject)),
        };
        let half_ms = i64::try_from(begun.elapsed().as_millis() / 2).unwrap_or(0);
        let clock = info["ts"].as_str().and_then(parse_time);
        let (state, cluster) = (&info["state"], &info["cluster"]);
        let away = |peer: &&Value| peer["current"] == false || peer["offline"] == true;
        let peers = cluster["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(Some(StreamFound {
            messages: count(&state["messages"]),
            bytes: count(&state["bytes"]),
            first_seq: count(&state["first_seq"]),
            last_seq: count(&state["last_seq"]),
            replicas: count(&info["config"]["num_replicas"]),
            leader: text(&cluster["leader"]),
            behind: peers.iter().filter(away).filter_map(|peer| text(&peer["name"])).collect(),
            peers: peers.len(),
            consumers: self.consumers(name).await?,
            config: info["config"].clone(),
            clock_ahead_ms: clock.map(|clock| clock - asked_ms - half_ms),
        }))
    }

    async fn consumers(&self, stream: &str) -> Result<Vec<ConsumerView>, Error> {
        let answer = self.ask(&format!("CONSUMER.LIST.{stream}"), &json!({})).await;
        let Some(list) = self.allowed(answer)? else { return Ok(Vec::new()) };
        let view = |one: &Value| ConsumerView {
            name: text(&one["name"]).unwrap_or_default(),
            pending: count(&one["num_pending"]),
            unacknowledged: count(&one["num_ack_pending"]),
            redelivered: count(&one["num_redelivered"]),
        };
        Ok(list["consumers"].as_array().into_iter().flatten().take(CONSUMERS_MAX).map(view).collect())
    }

    /// Streams whose names are this system's, beside those that were looked at.
    pub(super) async fn others(&self, known: &[String]) -> Result<Vec<String>, Error> {
        let mut others = Vec::new();
        let mut offset = 0;
        loop {
            let answer = self.ask("STREAM.NAMES", &json!({ "offset": offset })).await;
            let Some(answer) = self.allowed(answer)? else { return Ok(others) };
            let page = answer["streams"].as_array().map_or(&[][..], Vec::as_slice);
            let ours = page.iter().filter_map(Value::as_str).filter(|name| self.names.is_ours(name));
            others.extend(ours.filter(|name| !known.iter().any(|one| one == *name)).map(str::to_owned));
            offset += page.len() as u64;
            if page.is_empty() || offset >= count(&answer["total"]) {
                return Ok(others);
            }
        }
    }
}
