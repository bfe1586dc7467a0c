//! A letter as a line of JSON: what `export` writes and `import` reads. A payload is text where it is UTF-8, else
//! base64; both come back byte for byte.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Letter;
use crate::dead_letter::DeadLetter;
use crate::error::{Error, ErrorKind};

/// Longest line of an import, in bytes: the largest message as base64, with its history.
pub const LETTER_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Of the system it was exported from; another one gives it another.
    #[serde(default)]
    id: u64,
    queue: String,
    #[serde(default)]
    stream: String,
    sequence: u64,
    stored_ms: i64,
    dead_ms: i64,
    reason: String,
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    time_ms: i64,
    end: String,
}

impl Letter {
    /// As a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self.line()).expect("texts and numbers are JSON")
    }

    /// As a line of JSON, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(&self.line()).expect("texts and numbers are JSON")
    }

    fn line(&self) -> Line {
        let Self { id, letter } = self;
        let text = std::str::from_utf8(&letter.payload).ok().map(str::to_owned);
        let base64 = text.is_none().then(|| STANDARD.encode(&letter.payload));
        let attempt = |(time_ms, end): &(i64, String)| Attempt { time_ms: *time_ms, end: end.clone() };
        Line {
            id: *id,
            queue: letter.subject.clone(),
            stream: letter.stream.clone(),
            sequence: letter.seq,
            stored_ms: letter.time_ms,
            dead_ms: letter.dead_ms,
            reason: letter.reason.clone(),
            errors: letter.errors.clone(),
            attempts: letter.attempts.iter().map(attempt).collect(),
            headers: letter.headers.clone(),
            trace_id: letter.trace_id().map(str::to_owned),
            text,
            base64,
        }
    }
}

impl DeadLetter {
    /// Reads a line of an export. `Schema`: it is none.
    pub fn from_line(line: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::new(ErrorKind::Schema, format!("no dead letter: {why}"));
        if line.len() > LETTER_LINE_BYTES_MAX {
            return Err(wrong("the line is too long"));
        }
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let payload = match (line.text, line.base64) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| wrong(&error.to_string()))?.into(),
            _ => return Err(wrong("it takes a payload as 'text' or as 'base64'")),
        };
        if line.queue.is_empty() {
            return Err(wrong("'queue' is empty"));
        }
        Ok(Self {
            subject: line.queue,
            stream: line.stream,
            seq: line.sequence,
            time_ms: line.stored_ms,
            dead_ms: line.dead_ms,
            reason: line.reason,
            errors: line.errors,
            attempts: line.attempts.into_iter().map(|attempt| (attempt.time_ms, attempt.end)).collect(),
            headers: line.headers,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_letter_comes_back_from_its_line(
            (subject, stream, reason) in ("[a-z.]{1,9}", ".{0,9}", ".{0,30}"),
            (seq, time_ms, dead_ms) in (any::<u64>(), any::<i64>(), any::<i64>()),
            errors in prop::collection::vec(".{0,9}", 0..3),
            attempts in prop::collection::vec((any::<i64>(), ".{0,9}"), 0..3),
            headers in prop::collection::vec((".{0,9}", ".{0,9}"), 0..3),
            payload in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let payload = Bytes::from(payload);
            let letter = DeadLetter {
                subject, stream, seq, time_ms, dead_ms, reason, errors, attempts, headers, payload,
            };
            let line = Letter { id: 1, letter: letter.clone() }.to_line();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(DeadLetter::from_line(&line).unwrap(), letter);
        }

        #[test]
        fn anything_is_no_panic(line in ".{0,60}") {
            let _ = DeadLetter::from_line(&line);
        }
    }
}
