//! The body of a request: bounded in bytes and time, JSON of a known form, and nothing else.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap};
use serde::de::DeserializeOwned;
use tidings_protocol::ErrorCode;

use super::problem::Problem;

/// Largest body, in bytes: every form of the API is a few hundred.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// A body has to be there this long after its head.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes read and thrown away of a body that was refused, so that the refusal is read before the connection ends.
const DISCARD_BYTES_MAX: usize = 256 * 1024;
/// How long that may take.
const DISCARD_DEADLINE: Duration = Duration::from_millis(500);

/// A JSON body of the form `T`. Where nothing is asked for, no body is as good as `{}`.
pub async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &mut Option<Incoming>,
    may_be_empty: bool,
) -> Result<T, Problem> {
    let whole = body.as_ref().is_none_or(Incoming::is_end_stream);
    if whole && may_be_empty {
        return parse(b"{}");
    }
    is_json(headers)?;
    if body.as_ref().is_some_and(|body| body.size_hint().lower() > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let read = match body.as_mut() {
        Some(body) => tokio::time::timeout(BODY_DEADLINE, read(body)).await,
        None => Ok(Ok(Bytes::new())),
    };
    let late = |_| {
        Problem::new(ErrorCode::DeadlineExceeded, "The body did not come in time.")
            .status(StatusCode::REQUEST_TIMEOUT)
    };
    let bytes = read.map_err(late)??;
    *body = None;
    parse(&bytes)
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        let detail = "The body has to be JSON, with 'Content-Type: application/json'.";
        Err(Problem::new(ErrorCode::UnsupportedMediaType, detail))
    }
}

fn too_large() -> Problem {
    Problem::new(ErrorCode::TooLarge, format!("The body may hold {BODY_BYTES_MAX} bytes at most."))
}

async fn read(body: &mut Incoming) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::invalid("The body ended before its end."))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads on after a refusal, for a bounded while.
pub async fn discard(mut body: Incoming) {
    let reading = async {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            left = less;
        }
    };
    let _ = tokio::time::timeout(DISCARD_DEADLINE, reading).await;
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::invalid(explain(&error)))
}

/// What is wrong with a body, by name. The error's own sentence may hold a value, and a value may be a password:
/// only the kinds that name a field are passed on.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let names_a_field = ["unknown field", "missing field", "duplicate field"];
    if names_a_field.iter().any(|start| text.starts_with(start)) {
        return format!("The body has an {text}.").replacen("an missing", "a missing", 1).replacen(
            "an duplicate",
            "a duplicate",
            1,
        );
    }
    let at = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        format!("The body does not have the form that is asked for ({at}).")
    } else {
        format!("The body is not JSON ({at}).")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SignIn {
        #[serde(rename = "password")]
        _password: String,
    }

    #[test]
    fn a_refused_body_is_explained_without_its_values() {
        let cases: &[(&[u8], &str)] = &[
            (b"{\"password\":\"a\",\"role\":\"admin\"}", "unknown field `role`"),
            (b"{\"password\":\"a\",\"password\":\"b\"}", "duplicate field `password`"),
            (b"{}", "missing field `password`"),
            (b"{\"password\":12345678}", "not have the form"),
            (b"[\"s3cret\"", "not JSON"),
            (b"{\"password\":\"s3cret\"", "not JSON"),
            (b"\xff\xfe", "not JSON"),
            (b"{\"password\":\"\xff\"}", "not JSON"),
            (b"{\"password\":NaN}", "not JSON"),
            (b"", "not JSON"),
        ];
        for (body, expected) in cases {
            let problem = parse::<SignIn>(body).map(drop).expect_err("refused");
            let text = format!("{problem:?}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("s3cret") && !text.contains("12345678"), "{text}");
        }
    }
}
