//! Reading what is stored: from any replica where many are read, from the leader where the answer decides something.
//!
//! A replica may be behind what was acknowledged. A read that must be whole therefore ends with the leader's word.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::log::LogMessage;
use crate::nats::connection::Connection;
use crate::nats::headers;
use crate::nats::names::Names;
use crate::nats::stream::Copies;
use crate::nats::tries::is_passing;
use crate::subject::Subject;

/// Messages asked for at once.
const READ_BATCH: usize = 500;
/// How long between two messages of one answer.
const READ_GAP: Duration = Duration::from_secs(3);
/// How long a replica that is behind is given before it is asked again.
const CATCH_UP: Duration = Duration::from_millis(20);
/// The longest such wait: it doubles.
const CATCH_UP_MOST: Duration = Duration::from_millis(320);
/// Logs read side by side.
const LOGS_AT_ONCE: usize = 32;

/// A stored message as the server gives it.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    pub(crate) time_ms: i64,
    pub(crate) payload: Bytes,
    /// Whether it marks the end of a key's value.
    pub(crate) gone: bool,
}

/// Some messages, and how many more there are at the replica that was asked.
struct Part {
    messages: Vec<Raw>,
    pending: u64,
}

pub(crate) struct Reader {
    pub(crate) connection: Arc<Connection>,
    pub(crate) names: Names,
    pub(crate) copies: Copies,
    pub(crate) deadline: Duration,
}

/// Unix milliseconds of a time as the server writes it.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A time as the server reads it, from Unix milliseconds.
fn show_time(time_ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// A stored message out of an answer that carries it in headers.
fn read_direct(message: &Message) -> Option<Raw> {
    let map = message.headers.as_ref();
    let operation = headers::text(map, headers::OPERATION);
    Some(Raw {
        subject: headers::text(map, headers::SUBJECT)?.to_owned(),
        seq: headers::number(map, headers::SEQUENCE)?,
        time_ms: headers::text(map, headers::TIME).and_then(parse_time)?,
        payload: message.payload.clone(),
        gone: matches!(operation, Some("DEL" | "PURGE")) || headers::text(map, headers::MARKER).is_some(),
    })
}

fn read_json(message: &Value) -> Option<Raw> {
    let decode = |field: &str| STANDARD.decode(message[field].as_str().unwrap_or_default()).ok();
    let map = decode("hdrs").and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let header = |name: &str| map.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let gone =
        matches!(header(headers::OPERATION), Some("DEL" | "PURGE")) || header(headers::MARKER).is_some();
    Some(Raw {
        subject: message["subject"].as_str()?.to_owned(),
        seq: message["seq"].as_u64()?,
        time_ms: parse_time(message["time"].as_str()?)?,
        payload: decode("data")?.into(),
        gone,
    })
}

impl Reader {
    /// One answer of many messages, from any replica.
    async fn part_once(&self, stream: &str, question: &Value, most: usize) -> Result<Part, Error> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let (payload, begun) = (Bytes::from(question.to_string()), Instant::now());
        let (_place, mut answers) = self.connection.ask_many(&subject, payload, most + 8).await?;
        let mut part = Part { messages: Vec::new(), pending: 0 };
        loop {
            let answer = tokio::select! {
                () = self.connection.stop.cancelled() => return Err(Error::closed()),
                answer = tokio::time::timeout(READ_GAP, answers.recv()) => answer,
            };
            let Ok(Some(answer)) = answer else {
                self.connection.members.iter().for_each(|member| member.doubt.raise());
                let what = format!("'{stream}' did not answer within {READ_GAP:?}");
                let silent = || Error::new(ErrorKind::Timeout, what);
                return Err(self.connection.refused(&subject, begun).unwrap_or_else(silent));
            };
            match answer.status.map(|status| status.as_u16()) {
                None => part.messages.extend(read_direct(&answer)),
                Some(204) => {
                    part.pending =
                        headers::number(answer.headers.as_ref(), headers::NUM_PENDING).unwrap_or(0);
                    return Ok(part);
                }
                Some(404) => return Ok(part),
                Some(_) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                    let what = format!("nobody serves the stream '{stream}'");
                    return Err(Error::new(ErrorKind::NoResponders, what));
                }
                Some(status) => {
                    let why = answer.description.unwrap_or_default();
                    return Err(Error::new(ErrorKind::Storage, format!("'{stream}': {status} {why}")));
                }
            }
        }
    }

    async fn part(&self, stream: &str, question: &Value, most: usize) -> Result<Part, Error> {
        let mut tries = self.connection.to_stream(stream, self.deadline)?;
        loop {
            match self.part_once(stream, question, most).await {
                Err(error) if is_passing(&error) => tries.again(error).await?,
                Err(error) => {
                    // It refused the question: no failure of the stream.
                    tries.heard();
                    return tries.ended(Err(error));
                }
                outcome => return tries.ended(outcome),
            }
        }
    }

    /// One message, from the leader. A stream that is not there is waited for: a server that has just started knows
    /// its streams one after the other, and one that is missing is not one that is empty.
    pub(crate) async fn leader_has(&self, stream: &str, question: &Value) -> Result<Option<Raw>, Error> {
        let subject = format!("STREAM.MSG.GET.{stream}");
        let payload = Bytes::from(question.to_string());
        let mut tries = self.connection.to_stream(stream, self.deadline)?;
        loop {
            let error = match self.connection.call_once(&subject, payload.clone(), tries.wait()).await {
                Ok(Ok(found)) => return tries.ended(Ok(read_json(&found["message"]))),
                Ok(Err(error)) if error.is_no_message() => return tries.ended(Ok(None)),
                Ok(Err(error)) => {
                    let told = error.to_error(&format!("the stream '{stream}'"));
                    if !error.is_passing() && !error.is_missing() {
                        return tries.ended(Err(told));
                    }
                    told
                }
                Err(error) if is_passing(&error) => error,
                Err(error) => return tries.ended(Err(error)),
            };
            tries.again(error).await?;
        }
    }

    /// The last message of a log, from the leader.
    pub(crate) async fn last_raw(&self, log: &Subject) -> Result<Option<Raw>, Error> {
        self.leader_has(&self.names.events(), &json!({"last_by_subj": log.as_str()})).await
    }

    /// The last of one of the bus's own notes, from the leader.
    pub(crate) async fn last_note(&self, note: &str) -> Result<Option<Raw>, Error> {
        self.leader_has(&self.names.notes(), &json!({"last_by_subj": note})).await
    }

    /// All of one of the bus's own notes.
    pub(crate) async fn notes(&self, note: &str) -> Result<Vec<Raw>, Error> {
        let question = json!({"seq": 1, "next_by_subj": note, "batch": READ_BATCH});
        Ok(self.part(&self.names.notes(), &question, READ_BATCH).await?.messages)
    }

    /// The last message of each of these logs up to a sequence.
    pub(crate) async fn last_of_each(&self, logs: &[String], up_to: u64) -> Result<Vec<Raw>, Error> {
        if up_to == 0 || logs.is_empty() {
            return Ok(Vec::new());
        }
        let question = json!({"multi_last": logs, "up_to_seq": up_to, "batch": logs.len()});
        let (stream, until, mut pause) = (self.names.events(), Instant::now() + self.deadline, CATCH_UP);
        loop {
            let found = self.part(&stream, &question, logs.len()).await?.messages;
            // A replica that has not come that far says that there is nothing at all.
            if !self.may_lag() || !found.is_empty() || !self.has_any(logs, up_to).await? {
                return Ok(found);
            }
            if Instant::now() + pause >= until {
                let what = format!("a replica of '{stream}' is behind {up_to}");
                return Err(Error::new(ErrorKind::Timeout, what));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(CATCH_UP_MOST);
        }
    }

    /// Whether an answer may come from a copy that is behind. A server by itself has none; one of a cluster may be given some
    /// at any time.
    pub(crate) fn may_lag(&self) -> bool {
        self.copies.count() > 1 || self.connection.is_clustered()
    }

    /// Whether the leader has anything of these logs up to a sequence.
    async fn has_any(&self, logs: &[String], up_to: u64) -> Result<bool, Error> {
        for log in logs {
            let first =
                self.leader_has(&self.names.events(), &json!({"seq": 1, "next_by_subj": log})).await?;
            if first.is_some_and(|raw| raw.seq <= up_to) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Messages of a pattern after a sequence, up to another, at most `limit`, whole: what a replica has not yet, the
    /// leader is asked for.
    pub(crate) async fn range(
        &self,
        pattern: &str,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<Raw>, Error> {
        let stream = self.names.events();
        let (mut found, mut at): (Vec<Raw>, u64) = (Vec::new(), after);
        let (until, mut pause) = (Instant::now() + self.deadline, CATCH_UP);
        while found.len() < limit && at < up_to {
            let most = READ_BATCH.min(limit - found.len());
            let question = json!({"seq": at + 1, "next_by_subj": pattern, "batch": most});
            let part = self.part(&stream, &question, most).await?;
            at = part.messages.last().map_or(at, |raw| raw.seq);
            found.extend(part.messages.into_iter().filter(|raw| raw.seq <= up_to));
            if part.pending > 0 {
                continue;
            }
            if !self.may_lag() || at >= up_to || found.len() >= limit {
                break;
            }
            let next = self.leader_has(&stream, &json!({"seq": at + 1, "next_by_subj": pattern})).await?;
            match next {
                Some(next) if next.seq <= up_to => {
                    if Instant::now() + pause >= until {
                        let what = format!("no replica of '{stream}' has what its leader has");
                        return Err(Error::new(ErrorKind::Timeout, what));
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(CATCH_UP_MOST);
                }
                _ => break,
            }
        }
        Ok(found)
    }

    /// A log's messages after a sequence, up to another, at most `limit`, each with the one before it.
    pub(crate) async fn log(
        &self,
        log: &Subject,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<LogMessage>, Error> {
        let name = [log.as_str().to_owned()];
        let (before, found) =
            tokio::join!(self.last_of_each(&name, after), self.range(log.as_str(), after, up_to, limit));
        let mut prev = before?.first().map_or(0, |raw| raw.seq);
        Ok(found?
            .into_iter()
            .map(|raw| {
                let message = LogMessage::new(log.clone(), raw.seq, prev, raw.time_ms, raw.payload);
                prev = message.seq;
                message
            })
            .collect())
    }

    /// Several logs, merged in the order of the stream.
    pub(crate) async fn logs(
        &self,
        logs: Vec<Subject>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogMessage>, Error> {
        let mut found = Vec::new();
        let read = |log: Subject| async move { self.log(&log, after, u64::MAX, limit).await };
        let reading = logs.into_iter().map(read);
        let mut reading = futures_util::stream::iter(reading).buffer_unordered(LOGS_AT_ONCE);
        while let Some(one) = reading.next().await {
            found.extend(one?);
        }
        found.sort_unstable_by_key(|message: &LogMessage| message.seq);
        found.truncate(limit);
        Ok(found)
    }

    /// The last message of a log, with the one before it.
    pub(crate) async fn last(&self, log: &Subject) -> Result<Option<LogMessage>, Error> {
        let Some(raw) = self.last_raw(log).await? else { return Ok(None) };
        let before = self.last_of_each(&[log.as_str().to_owned()], raw.seq - 1).await?;
        let prev = before.first().map_or(0, |raw| raw.seq);
        Ok(Some(LogMessage::new(log.clone(), raw.seq, prev, raw.time_ms, raw.payload)))
    }

    /// The first retained message of the stream that was stored at a time, Unix milliseconds, or later.
    pub(crate) async fn first_since(&self, time_ms: i64) -> Result<Option<Raw>, Error> {
        let question = json!({
            "start_time": show_time(time_ms), "next_by_subj": self.names.everything(), "batch": 1
        });
        Ok(self.part(&self.names.events(), &question, 1).await?.messages.pop())
    }

    /// The same, from the leader: what is stored by now is not missed.
    pub(crate) async fn leader_has_since(&self, time_ms: i64) -> Result<Option<Raw>, Error> {
        let question = json!({"start_time": show_time(time_ms), "next_by_subj": self.names.everything()});
        self.leader_has(&self.names.events(), &question).await
    }
}
