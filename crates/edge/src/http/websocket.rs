//! `/ws`: the opening handshake of RFC 6455, up to the answer 101. What follows on the socket is the shard's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Body;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, Version};
use sha1::{Digest as _, Sha1};
use tidings_protocol::ErrorCode;
use tidings_protocol::frames::SUB_PROTOCOL;

use super::ConnInfo;
use super::origin::{Origin, refuse_foreign};
use super::problem::Problem;
use super::response::{self, Answer};
use super::routes::Call;
use crate::limits::Verdict;
use crate::ws::deflate;

/// RFC 6455, 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// `GET /ws`
pub async fn upgrade(call: &mut Call) -> Result<Answer, Problem> {
    if call.http.is_draining() {
        let detail = "The server is restarting. Please come back in a moment.";
        return Err(Problem::new(ErrorCode::Unavailable, detail));
    }
    let accept = accept_key(check_handshake(call)?);
    if let Verdict::Limited { retry_after } = call.http.limits.check_connect(call.client.address) {
        return Err(Problem::limited(retry_after));
    }
    let origin = refuse_foreign(call.headers(), &call.http.config.origins)?;
    let named = sub_protocol(call.headers())?;
    let deflate = call.http.config.compression && offers_deflate(call.headers());
    let info = ConnInfo { address: call.client.address, origin_present: origin == Origin::Allowed, deflate };
    call.hand_over(info);

    let mut answer = response::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if named {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUB_PROTOCOL));
    }
    if deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(deflate::ANSWER));
    }
    Ok(answer)
}

fn offers_deflate(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    offers.any(|value| value.to_str().is_ok_and(deflate::accepts))
}

/// The client's key, where the request is a handshake of this version.
fn check_handshake(call: &Call) -> Result<&HeaderValue, Problem> {
    let headers = call.headers();
    let asks = holds_token(headers, header::CONNECTION, "upgrade")
        && holds_token(headers, header::UPGRADE, "websocket");
    if !asks || call.version() != Version::HTTP_11 {
        return Err(upgrade_required("This is the address of a WebSocket: connect to it with one."));
    }
    if only(headers, header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(upgrade_required("The WebSocket's version has to be 13."));
    }
    if !call.body.as_ref().is_none_or(Body::is_end_stream) {
        return Err(Problem::invalid("A WebSocket's handshake has no body."));
    }
    let key = only(headers, header::SEC_WEBSOCKET_KEY);
    let is_key = |key: &&HeaderValue| STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16);
    key.filter(is_key).ok_or_else(|| Problem::invalid("Sec-WebSocket-Key has to be 16 bytes in base64."))
}

fn upgrade_required(detail: &str) -> Problem {
    Problem::invalid(detail)
        .status(StatusCode::UPGRADE_REQUIRED)
        .with(header::UPGRADE, HeaderValue::from_static("websocket"))
        .with(header::CONNECTION, HeaderValue::from_static("upgrade"))
        .with(header::SEC_WEBSOCKET_VERSION, VERSION)
}

/// Whether the client named this protocol; one that names others alone is refused.
fn sub_protocol(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut offered = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).peekable();
    if offered.peek().is_none() {
        return Ok(false);
    }
    if offered.any(|token| token == SUB_PROTOCOL) {
        return Ok(true);
    }
    Err(Problem::invalid(format!("The sub-protocol has to be '{SUB_PROTOCOL}', or none.")))
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn holds_token(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn accept_key(key: &HeaderValue) -> HeaderValue {
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(KEY_SUFFIX).finalize();
    HeaderValue::from_str(&STANDARD.encode(digest)).expect("base64 is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept_key(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn this_protocol_or_none() {
        let cases = [
            (&[][..], Some(false)),
            (&["tidings.v1.json"][..], Some(true)),
            (&["other, tidings.v1.json"][..], Some(true)),
            (&["other", "tidings.v1.json"][..], Some(true)),
            (&["other"][..], None),
            (&["TIDINGS.v1.json"][..], None),
        ];
        for (offered, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in offered {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            assert_eq!(sub_protocol(&headers).ok(), expected, "{offered:?}");
        }
    }
}
