//! A dead letter: a message that could not be worked off, with its history. What is stored is bounded, whatever a
//! worker says of it: a letter that could not be stored would keep its message coming for ever.

use std::error::Error as StdError;
use std::fmt::Write as _;

use bytes::Bytes;

use crate::envelope;
use crate::error::{Error, ErrorKind};
use crate::message::Headers;

/// Longest text of an attempt's end with its error chain, in bytes: ten lines.
pub(crate) const END_BYTES_MAX: usize = 1_024;
/// Attempts of a letter: of more, the first half and the last half.
const ATTEMPTS_MAX: usize = 100;
/// Errors of a chain; what is below them is left out.
const ERRORS_MAX: usize = 16;
/// What a dead letter's own headers start with.
const OWN: &str = "Tidings-Dead-";
/// What follows where the message had a header that looks like one of those.
const OF_MESSAGE: &str = "Of-";
/// Says of a message of a dead-letter log that it is no letter: which letters are gone.
const REMOVED: &str = "Tidings-Removed";
/// Why they are.
const WHY: &str = "Tidings-Removed-Why";

/// Says of a message that it is a replay, and of which letter.
pub const REPLAY_OF: &str = "Tidings-Replay-Of";
/// The id by which a replay that was begun twice is stored once, and known by a worker who gets it twice all the same.
pub const REPLAY_ID: &str = "Tidings-Replay-Id";

/// A message that could not be worked off, with its history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue it was in.
    pub subject: String,
    /// The stream of that queue.
    pub stream: String,
    /// Its sequence there.
    pub seq: u64,
    /// When it was stored there, Unix milliseconds.
    pub time_ms: i64,
    /// When it became a dead letter, Unix milliseconds.
    pub dead_ms: i64,
    /// Why it did.
    pub reason: String,
    /// What the last error came from, the nearest first.
    pub errors: Vec<String>,
    /// Each delivery: when, Unix milliseconds, and how it ended. Over NATS the time is that of its end, where a worker
    /// said one, else when the message was stored; embedded, that of its beginning.
    pub attempts: Vec<(i64, String)>,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

/// What a message of a dead-letter log is.
#[derive(Debug)]
pub(crate) enum Record {
    Letter(Box<DeadLetter>),
    /// These letters are gone.
    Removed(Vec<u64>),
}

/// An error and what it came from, a line each, as a worker's reason carries it.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string().replace('\n', " ");
    let mut source = error.source();
    let mut left = ERRORS_MAX;
    while let Some(cause) = source
        && left > 0
    {
        let _ = write!(text, "\n{}", cause.to_string().replace('\n', " "));
        source = cause.source();
        left -= 1;
    }
    text
}

/// The text, cut at a character where it is too long.
pub(crate) fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(END_BYTES_MAX.min(text.len()))].to_owned()
}

/// What is wrong, and what that came from.
fn split(text: &str) -> (String, Vec<String>) {
    let mut lines = text.lines().map(str::to_owned);
    let first = lines.next().unwrap_or_default();
    (first, lines.take(ERRORS_MAX).collect())
}

impl DeadLetter {
    /// The letter of a message that ends now: for `reason`, or because its attempts are used up.
    pub(crate) fn of(
        origin: Origin<'_>,
        attempts: Vec<(i64, String)>,
        reason: Option<&str>,
        message: &Bytes,
    ) -> Self {
        let (headers, payload) = envelope::decode(message).unwrap_or_else(|| (Vec::new(), message.clone()));
        let last = attempts.last().map_or("", |(_, end)| end.as_str());
        let (said, errors) = split(reason.unwrap_or(last));
        let reason =
            if reason.is_some() { said } else { format!("after {} attempts: {said}", attempts.len()) };
        Self {
            subject: origin.subject.to_owned(),
            stream: origin.stream.to_owned(),
            seq: origin.seq,
            time_ms: origin.time_ms,
            dead_ms: crate::clock::now_ms(),
            reason: bounded(&reason),
            errors,
            attempts: attempts.iter().map(|(time, end)| (*time, split(end).0)).collect(),
            headers,
            payload,
        }
    }

    /// The trace that the message was part of, where it says so (W3C `traceparent`).
    pub fn trace_id(&self) -> Option<&str> {
        let parent = self.header("traceparent")?;
        parent
            .split('-')
            .nth(1)
            .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// The first header of a name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let is = |(one, _): &&(String, String)| one.eq_ignore_ascii_case(name);
        self.headers.iter().find(is).map(|(_, value)| value.as_str())
    }

    /// In at most so many bytes, where its message leaves room for that: of a history that is too long the first and the
    /// last attempt stay, then none.
    pub(crate) fn encode_within(&self, most: usize) -> Result<Bytes, Error> {
        let whole = self.encode()?;
        if whole.len() <= most {
            return Ok(whole);
        }
        let ends = [self.attempts.first(), self.attempts.last()].into_iter().flatten().cloned();
        let short = Self { errors: Vec::new(), attempts: ends.collect(), ..self.clone() };
        let cut = short.encode()?;
        if cut.len() <= most {
            return Ok(cut);
        }
        Self { attempts: Vec::new(), ..short }.encode()
    }

    pub(crate) fn encode(&self) -> Result<Bytes, Error> {
        let own = |name: &str, value: String| (format!("{OWN}{name}"), value);
        let mut headers = vec![
            own("Subject", self.subject.clone()),
            own("Stream", self.stream.clone()),
            own("Sequence", self.seq.to_string()),
            own("Stored", self.time_ms.to_string()),
            own("Time", self.dead_ms.to_string()),
            own("Reason", bounded(&self.reason)),
        ];
        headers.extend(self.errors.iter().take(ERRORS_MAX).map(|error| own("Error", bounded(error))));
        let attempt = |(time, end): &(i64, String)| own("Attempt", format!("{time} {}", bounded(end)));
        let half = self.attempts.len().min(ATTEMPTS_MAX / 2);
        let rest = (self.attempts.len() - half).min(ATTEMPTS_MAX / 2);
        headers.extend(self.attempts[..half].iter().map(attempt));
        headers.extend(self.attempts[self.attempts.len() - rest..].iter().map(attempt));
        headers.extend(self.headers.iter().map(|(name, value)| match name.strip_prefix(OWN) {
            Some(_) => own(&format!("{OF_MESSAGE}{name}"), value.clone()),
            None => (name.clone(), value.clone()),
        }));
        envelope::encode_any(&headers, &self.payload)
    }

    /// Reads a message of a dead-letter log.
    pub fn decode(payload: &Bytes) -> Result<Self, Error> {
        match Record::read(payload)? {
            Record::Letter(letter) => Ok(*letter),
            Record::Removed(_) => Err(wrong()),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Error> {
        match name.strip_prefix(OWN) {
            Some(of) if of.starts_with(OF_MESSAGE) => {
                self.headers.push((of[OF_MESSAGE.len()..].to_owned(), value));
            }
            Some("Subject") => self.subject = value,
            Some("Stream") => self.stream = value,
            Some("Sequence") => self.seq = value.parse().map_err(|_| wrong())?,
            Some("Stored") => self.time_ms = value.parse().map_err(|_| wrong())?,
            Some("Time") => self.dead_ms = value.parse().map_err(|_| wrong())?,
            Some("Reason") => self.reason = value,
            Some("Error") => self.errors.push(value),
            Some("Attempt") => {
                let (time, end) = value.split_once(' ').ok_or_else(wrong)?;
                self.attempts.push((time.parse().map_err(|_| wrong())?, end.to_owned()));
            }
            _ => self.headers.push((name.to_owned(), value)),
        }
        Ok(())
    }
}

/// Where a message was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) subject: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) seq: u64,
    pub(crate) time_ms: i64,
}

fn wrong() -> Error {
    Error::new(ErrorKind::Schema, "this is no dead letter")
}

impl Record {
    pub(crate) fn read(message: &Bytes) -> Result<Self, Error> {
        let (all, payload) = envelope::decode(message).ok_or_else(wrong)?;
        if let Some((_, list)) = all.first().filter(|(name, _)| name == REMOVED) {
            let numbers = list.split(',').map(|number| number.parse().map_err(|_| wrong()));
            return Ok(Self::Removed(numbers.collect::<Result<_, _>>()?));
        }
        let mut letter = DeadLetter { payload, ..DeadLetter::default() };
        all.into_iter().try_for_each(|(name, value)| letter.set(&name, value))?;
        if letter.subject.is_empty() { Err(wrong()) } else { Ok(Self::Letter(Box::new(letter))) }
    }

    /// The note that letters are gone.
    pub(crate) fn removed(letters: &[u64], why: &str) -> Result<Bytes, Error> {
        let list: Vec<String> = letters.iter().map(u64::to_string).collect();
        let headers = vec![(REMOVED.to_owned(), list.join(",")), (WHY.to_owned(), bounded(why))];
        envelope::encode(&headers, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin<'static> {
        Origin { subject: "work.q", stream: "s", seq: 7, time_ms: 5 }
    }

    #[test]
    fn a_letter_comes_back_whatever_its_message_was() {
        let headers: Headers = (0..1_000).map(|n| (format!("h{n}"), "v".to_owned())).collect();
        let message = envelope::encode(&headers, b"payload").unwrap();
        let attempts: Vec<_> = (0..500).map(|n| (n, format!("nak: {n} {}", "x".repeat(9_000)))).collect();
        let letter = DeadLetter::of(origin(), attempts, None, &message);
        let read = DeadLetter::decode(&letter.encode().unwrap()).unwrap();
        assert_eq!((read.headers.len(), read.attempts.len()), (1_000, ATTEMPTS_MAX));
        assert_eq!((read.attempts[0].0, read.attempts[99].0), (0, 499));
        assert!(
            read.reason.len() <= END_BYTES_MAX && read.reason.starts_with("after 500 attempts: nak: 499")
        );
        let odd =
            DeadLetter::of(origin(), Vec::new(), Some("é".repeat(9_000).as_str()), &Bytes::from("\u{1}"));
        assert_eq!(DeadLetter::decode(&odd.encode().unwrap()).unwrap(), odd);
    }

    #[test]
    fn a_history_gives_way_to_its_message() {
        let message = envelope::encode(&Headers::new(), &[b'x'; 10_000]).unwrap();
        let attempts: Vec<_> = (0..100).map(|n| (n, format!("nak: {n} {}", "y".repeat(500)))).collect();
        let letter = DeadLetter::of(origin(), attempts, Some("why\nbecause"), &message);
        for (most, attempts, errors) in [(100_000, 100, 1), (12_000, 2, 0), (11_000, 0, 0)] {
            let bytes = letter.encode_within(most).unwrap();
            assert!(bytes.len() <= most);
            let read = DeadLetter::decode(&bytes).unwrap();
            assert_eq!((read.attempts.len(), read.errors.len()), (attempts, errors), "{most}");
            assert_eq!((read.payload.len(), read.reason.as_str()), (10_000, "why"));
        }
    }

    #[test]
    fn a_message_cannot_say_what_its_letter_says() {
        let headers =
            ["Sequence", "Subject", "Of-x", "Attempt"].map(|name| (format!("{OWN}{name}"), "x".to_owned()));
        let message = envelope::encode(&headers.to_vec(), b"payload").unwrap();
        let letter = DeadLetter::of(origin(), vec![(1, "nak".into())], None, &message);
        let read = DeadLetter::decode(&letter.encode().unwrap()).unwrap();
        assert_eq!((read.subject.as_str(), read.seq, read.attempts.len()), ("work.q", 7, 1));
        assert_eq!(read.headers, headers);
    }

    #[test]
    fn an_error_tells_what_it_came_from() {
        let inner = Error::new(ErrorKind::Storage, "the disk\nis full");
        let error = Error::new(ErrorKind::Publish, "not sent").because(inner);
        let message = envelope::encode(&Headers::new(), b"").unwrap();
        let letter = DeadLetter::of(origin(), Vec::new(), Some(&chain(&error)), &message);
        assert_eq!(
            (letter.reason.as_str(), letter.errors.as_slice()),
            ("not sent", &["the disk is full".to_owned()][..])
        );
    }

    #[test]
    fn a_trace_is_read_from_its_header() {
        let of = |value: &str| DeadLetter {
            headers: vec![("Traceparent".to_owned(), value.to_owned())],
            ..DeadLetter::default()
        };
        let good = of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(good.trace_id(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!((of("x").trace_id(), of("00-xyz-1").trace_id()), (None, None));
    }

    #[test]
    fn a_note_is_no_letter() {
        let note = Record::removed(&[1, 5], "purged").unwrap();
        assert!(matches!(Record::read(&note).unwrap(), Record::Removed(list) if list == [1, 5]));
        assert_eq!(DeadLetter::decode(&note).unwrap_err().kind(), ErrorKind::Schema);
    }
}
