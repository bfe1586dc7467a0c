//! Calls of JetStream: questions and answers in JSON, repeated within a deadline while the cluster is electing.

use std::time::Duration;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::nats::connection::Connection;
use crate::nats::tries::{Limit, is_passing};

/// An error as JetStream tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10_071;
pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u32 = 10_164;
pub(crate) const BATCH_DUPLICATE: u32 = 10_201;
pub(crate) const BATCH_INCOMPLETE: u32 = 10_176;
const ID_IN_PROCESS: u32 = 10_158;
const STREAM_NOT_FOUND: u32 = 10_059;
const MESSAGE_NOT_FOUND: u32 = 10_037;
const CONSUMER_NOT_FOUND: u32 = 10_014;
const MESSAGES_REACHED: u32 = 10_077;
const BYTES_REACHED: u32 = 10_054;
/// The server's disk is full, or holds as much as the server or the account may.
const NO_ROOM: u32 = 10_023;

impl ApiError {
    /// Whether the same call may be answered soon: an election, a server that starts, too many open batches.
    pub(crate) fn is_passing(&self) -> bool {
        let full = matches!(self.err_code, MESSAGES_REACHED | BYTES_REACHED | NO_ROOM);
        (self.code == 503 && !full)
            || matches!(self.err_code, BATCH_INCOMPLETE | ID_IN_PROCESS)
            || self.description.contains("inflight")
    }

    pub(crate) fn is_wrong_sequence(&self) -> bool {
        matches!(self.err_code, WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_IN_FLIGHT)
    }

    /// Whether the message asked for is not there.
    pub(crate) fn is_no_message(&self) -> bool {
        self.err_code == MESSAGE_NOT_FOUND
    }

    /// Whether the stream or consumer is not there: or not yet, at a server that has just started.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.err_code, STREAM_NOT_FOUND | CONSUMER_NOT_FOUND)
    }

    /// As the bus tells it.
    pub(crate) fn to_error(&self, what: &str) -> Error {
        let full = matches!(self.err_code, MESSAGES_REACHED | BYTES_REACHED)
            || self.description.contains("maximum bytes")
            || self.description.contains("maximum messages");
        let kind = match self.code {
            _ if full => ErrorKind::Overloaded,
            _ if self.err_code == NO_ROOM => ErrorKind::Storage,
            // It was there when this process began.
            _ if self.err_code == STREAM_NOT_FOUND => ErrorKind::Mismatch,
            503 => ErrorKind::NoResponders,
            500 => ErrorKind::Storage,
            _ => ErrorKind::Publish,
        };
        Error::new(kind, format!("{what}: {} (JetStream {})", self.description, self.err_code))
    }
}

/// The answer to a message that was to be stored.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    #[serde(default)]
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
    pub(crate) error: Option<ApiError>,
}

impl Connection {
    /// One try to store a message, which is sent when this is called.
    pub(crate) fn store(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        wait: Duration,
    ) -> impl Future<Output = Result<Stored, Error>> {
        let asking = self.ask(subject.clone(), headers, payload, Limit::of(wait));
        asking.map(move |answer| parse(&subject, &answer?.payload))
    }

    /// A call of the API, repeated while it is passing: only for calls that may be done twice. The inner error
    /// is JetStream's own answer.
    pub(crate) async fn call(
        &self,
        subject: &str,
        question: &Value,
        deadline: Duration,
    ) -> Result<Result<Value, ApiError>, Error> {
        let payload = Bytes::from(question.to_string());
        let mut tries = self.to_stream(stream_of(subject), deadline)?;
        loop {
            match self.call_once(subject, payload.clone(), tries.wait()).await {
                Ok(Err(error)) if error.is_passing() => tries.again(error.to_error(subject)).await?,
                Err(error) if is_passing(&error) => tries.again(error).await?,
                outcome => return tries.ended(outcome),
            }
        }
    }

    /// One try of `call`.
    pub(crate) async fn call_once(
        &self,
        subject: &str,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Result<Value, ApiError>, Error> {
        let answer = self.ask(format!("$JS.API.{subject}").into(), None, payload, Limit::of(wait)).await?;
        let mut value: Value = parse(subject, &answer.payload)?;
        match value.get_mut("error").map(Value::take) {
            Some(error) => serde_json::from_value(error).map(Err).map_err(|error| odd(subject, error)),
            None => Ok(Ok(value)),
        }
    }

    /// As `call`, with JetStream's errors as errors.
    pub(crate) async fn demand(
        &self,
        subject: &str,
        question: &Value,
        deadline: Duration,
    ) -> Result<Value, Error> {
        self.call(subject, question, deadline).await?.map_err(|error| error.to_error(subject))
    }
}

/// The stream that a call of the API is about: the token after what is to be done.
fn stream_of(subject: &str) -> &str {
    let mut tokens = subject.split('.').skip(1);
    match tokens.next() {
        Some("MSG") => tokens.nth(1),
        _ => tokens.next(),
    }
    .unwrap_or(subject)
}

fn odd(subject: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Publish, format!("an answer from '{subject}' that is none of JetStream"))
        .because(error)
}

/// Reads an answer.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(subject: &str, payload: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(payload).map_err(|error| odd(subject, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_about_a_stream() {
        for (subject, stream) in [
            ("STREAM.INFO.W_EVENTS", "W_EVENTS"),
            ("STREAM.MSG.GET.W_EVENTS", "W_EVENTS"),
            ("CONSUMER.CREATE.KV_W_leases.watch-1", "KV_W_leases"),
            ("INFO", "INFO"),
        ] {
            assert_eq!(stream_of(subject), stream);
        }
    }
}
