//! Headers between the bus and the client, and the names that the bus and the server use.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, ErrorKind};
use crate::message::Headers;
use crate::nats::digits::push_decimal;

/// An answer that is none, and why.
pub(crate) const REFUSED: &str = "Tidings-Refused";
/// Such a refusal: the request was taken, and there will be no answer.
pub(crate) const UNANSWERED: &str = "unanswered";

pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";
pub(crate) const BATCH_ID: &str = "Nats-Batch-Id";
pub(crate) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
pub(crate) const BATCH_COMMIT: &str = "Nats-Batch-Commit";
pub(crate) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
pub(crate) const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
pub(crate) const TTL: &str = "Nats-TTL";
pub(crate) const ROLLUP: &str = "Nats-Rollup";
pub(crate) const SUBJECT: &str = "Nats-Subject";
pub(crate) const SEQUENCE: &str = "Nats-Sequence";
pub(crate) const LAST_SEQUENCE: &str = "Nats-Last-Sequence";
pub(crate) const TIME: &str = "Nats-Time-Stamp";
pub(crate) const NUM_PENDING: &str = "Nats-Num-Pending";
pub(crate) const OPERATION: &str = "KV-Operation";
pub(crate) const MARKER: &str = "Nats-Marker-Reason";

/// The client's form of headers; refuses what a header line cannot hold.
pub(crate) fn to_nats(headers: &Headers) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let wrong = || {
            let what = format!("the header '{}' is not one that NATS takes", name.escape_debug());
            Error::new(ErrorKind::Schema, what)
        };
        let name = HeaderName::from_str(name).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        map.append(name, value);
    }
    Ok(map)
}

/// The same; none are the rule, and a map of none costs as much as one.
#[inline]
pub(crate) fn to_nats_if_any(headers: &Headers) -> Result<Option<HeaderMap>, Error> {
    if headers.is_empty() { Ok(None) } else { to_nats(headers).map(Some) }
}

/// The bus's form of headers, by name: the client does not keep the order of different names.
pub(crate) fn from_nats(map: Option<&HeaderMap>) -> Headers {
    let Some(map) = map else { return Headers::new() };
    let mut headers: Headers = map
        .iter()
        .flat_map(|(name, values)| {
            values.iter().map(|value| (AsRef::<str>::as_ref(name).to_owned(), value.as_str().to_owned()))
        })
        .collect();
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    headers
}

/// A header's text.
pub(crate) fn text<'a>(map: Option<&'a HeaderMap>, name: &'static str) -> Option<&'a str> {
    map?.get(HeaderName::from_static(name)).map(HeaderValue::as_str)
}

/// A header's number.
pub(crate) fn number(map: Option<&HeaderMap>, name: &'static str) -> Option<u64> {
    text(map, name)?.parse().ok()
}

/// Puts how long a message is kept.
pub(crate) fn put_ttl(map: &mut HeaderMap, seconds: u64) {
    let mut text = String::new();
    push_decimal(&mut text, seconds);
    text.push('s');
    put(map, TTL, text);
}

/// Puts a header.
pub(crate) fn put(map: &mut HeaderMap, name: &'static str, value: impl std::fmt::Display) {
    map.insert(HeaderName::from_static(name), value.to_string());
}
