//! What operators and their tools ask: alive, ready, metrics.

use std::net::IpAddr;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use serde_json::{Map, Value, json};
use tidings_protocol::ErrorCode;

use super::problem::Problem;
use super::response::{self, Answer};
use super::routes::Call;

/// `GET /health`: the process runs and answers. Nothing remote is asked.
pub async fn health(_: &mut Call) -> Result<Answer, Problem> {
    Ok(response::json(StatusCode::OK, &json!({ "alive": true })))
}

/// `GET /ready`: whether people may be sent here; each dependency by name, why it does not answer, and since when.
pub async fn ready(call: &mut Call) -> Result<Answer, Problem> {
    let draining = call.http.is_draining();
    let ready = call.http.health.is_ready() && !draining;
    let now = SystemTime::now();
    let mut dependencies = Map::new();
    for (name, state) in call.http.health.states() {
        let seconds = now.duration_since(state.since).unwrap_or_default().as_secs();
        let reason = if state.ready { Value::Null } else { Value::from(state.reason) };
        dependencies.insert(name, json!({ "ready": state.ready, "reason": reason, "for_seconds": seconds }));
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": ready, "draining": draining, "dependencies": dependencies });
    Ok(response::json(status, &body))
}

/// `GET /metrics`, for loopback and the configured networks alone: figures tell strangers what is going on inside.
/// A request that came through a proxy is its sender's, so a proxy on this machine opens nothing, declared or not; and one
/// that was sent to another name than this machine's own is a page's that gave its own name this address.
pub async fn metrics(call: &mut Call) -> Result<Answer, Problem> {
    let (allowed, client) = (&call.http.config.metrics_allowed, call.client);
    let is_allowed = !client.hidden && allowed.iter().any(|network| network.contains(client.address));
    let is_here = client.is_here() && names_this_machine(call.headers());
    if !is_here && !is_allowed {
        return Err(Problem::forbidden("Metrics are for this machine and the configured networks alone."));
    }
    let Some(handle) = &call.http.metrics else {
        return Err(Problem::new(ErrorCode::Unimplemented, "This server records no metrics."));
    };
    Ok(response::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", handle.render()))
}

/// Whether `Host` is an address or `localhost`: no page of anybody else's has such a name.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| host.parse::<Authority>().ok()).is_some_and(|authority| {
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}
