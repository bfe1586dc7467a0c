//! Every route, in one table; what is common to all of them; and nothing that answers outside of it but the page.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use metrics::counter;
use serde::de::DeserializeOwned;
use tidings_protocol::ErrorCode;

use super::client_address::Client;
use super::connection::UpgradeSlot;
use super::problem::Problem;
use super::response::{self, Answer};
use super::{ConnInfo, Http, accounts, body, dead_letters, openapi, operation, subjects, websocket};

type Handler = for<'a> fn(&'a mut Call) -> LocalBoxFuture<'a, Result<Answer, Problem>>;

/// One row of the table.
pub struct Route {
    /// Its method. `HEAD` goes where `GET` does.
    pub method: Method,
    /// Its path; `{id}` is one part of it.
    pub path: &'static str,
    /// What the OpenAPI document calls it, and `tidings_edge_http_requests_total`.
    pub name: &'static str,
    handler: Handler,
}

impl Route {
    /// Whether it is for operators and their tools.
    fn is_operation(&self) -> bool {
        matches!(self.path, "/health" | "/ready" | "/metrics")
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $name:literal => $handler:path;)*) => {
        /// The table.
        pub static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            name: $name,
            handler: |call| Box::pin($handler(call)),
        },)*];
    };
}

routes! {
    POST "/api/v1/accounts" "createAccount" => accounts::register;
    POST "/api/v1/session" "signIn" => accounts::sign_in;
    DELETE "/api/v1/session" "signOut" => accounts::sign_out;
    POST "/api/v1/session/refresh" "refreshSession" => accounts::refresh;
    POST "/api/v1/guests" "enterAsGuest" => accounts::guest;
    GET "/api/v1/characters" "listCharacters" => accounts::characters;
    POST "/api/v1/characters" "createCharacter" => accounts::create_character;
    DELETE "/api/v1/characters/{id}" "deleteCharacter" => accounts::delete_character;
    POST "/api/v1/tickets" "createTicket" => accounts::ticket;
    GET "/api/v1/dead-letters" "listDeadLetterQueues" => dead_letters::queues;
    GET "/api/v1/dead-letters/{id}" "listDeadLetters" => dead_letters::list;
    POST "/api/v1/dead-letters/{id}/replay" "replayDeadLetters" => dead_letters::replay;
    POST "/api/v1/dead-letters/{id}/purge" "purgeDeadLetters" => dead_letters::purge;
    GET "/api/v1/subjects" "listSubjects" => subjects::list;
    GET "/api/v1/openapi.json" "getOpenApi" => openapi::answer;
    GET "/ws" "openWebSocket" => websocket::upgrade;
    GET "/health" "getHealth" => operation::health;
    GET "/ready" "getReadiness" => operation::ready;
    GET "/metrics" "getMetrics" => operation::metrics;
}

/// A request on its way through a route.
pub struct Call {
    /// The process's HTTP.
    pub http: Arc<Http>,
    /// Whose request it is.
    pub client: Client,
    /// The part of the path that is `{id}` in the table.
    pub parameter: Option<String>,
    /// The body, until it is read.
    pub body: Option<Incoming>,
    parts: Parts,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    slot: UpgradeSlot,
}

impl Call {
    /// A request of a connection from `peer`.
    pub fn new(http: Arc<Http>, peer: IpAddr, mut request: Request<Incoming>, slot: UpgradeSlot) -> Self {
        let upgrade =
            request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let client = Client::of(peer, &parts.headers, &http.config.trusted_proxies);
        if client.hidden {
            http.tell_of_undeclared_proxy(peer);
        }
        Self { http, client, parameter: None, body: Some(body), parts, upgrade, slot }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// What follows the path's `?`.
    pub fn query(&self) -> Option<&str> {
        self.parts.uri.query()
    }

    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The body as JSON of a known form.
    pub async fn json<T: DeserializeOwned>(&mut self, may_be_empty: bool) -> Result<T, Problem> {
        body::json(&self.parts.headers, &mut self.body, may_be_empty).await
    }

    /// Leaves the socket to the shard once the answer 101 is sent.
    pub fn hand_over(&mut self, info: ConnInfo) {
        if let Some(upgrade) = self.upgrade.take() {
            *self.slot.borrow_mut() = Some((upgrade, info));
        }
    }
}

/// Answers one request, whatever it is.
pub async fn handle(mut call: Call) -> Answer {
    let (name, result) = dispatch(&mut call).await;
    let mut answer = response::secured(result.unwrap_or_else(Problem::into_response));
    let status = answer.status();
    counter!("tidings_edge_http_requests_total", "route" => name, "status" => status.as_str().to_owned())
        .increment(1);
    if let Some(body) = call.body.take()
        && !body.is_end_stream()
    {
        body::discard(body).await;
    }
    if call.http.is_draining() && !status.is_informational() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn dispatch(call: &mut Call) -> (&'static str, Result<Answer, Problem>) {
    if let Err(problem) = check_host(call) {
        return ("none", Err(problem));
    }
    let path = call.parts.uri.path().to_owned();
    let mut allowed = Vec::new();
    let served = |route: &&Route| !call.http.operation_only || route.is_operation();
    for route in ROUTES.iter().filter(served) {
        let Some(parameter) = matches(route.path, &path) else { continue };
        let has_head = route.method == Method::GET && route.path != "/ws";
        if route.method == *call.method() || (has_head && call.method() == Method::HEAD) {
            call.parameter = parameter;
            return (route.name, run(route, call).await);
        }
        allowed.push(route.method.as_str());
        if has_head {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() { page(call, &path) } else { ("none", Err(not_allowed(&allowed))) }
}

/// Runs a handler; a panic in it is an answer of 500, and nobody else's concern.
async fn run(route: &Route, call: &mut Call) -> Result<Answer, Problem> {
    AssertUnwindSafe((route.handler)(call)).catch_unwind().await.unwrap_or_else(|_| {
        counter!("tidings_edge_http_panics_total", "route" => route.name).increment(1);
        tracing::error!(route = route.name, "a handler panicked");
        Err(Problem::new(ErrorCode::Internal, "Something went wrong on the server."))
    })
}

/// RFC 9112, 3.2: exactly one `Host` in HTTP/1.1.
fn check_host(call: &Call) -> Result<(), Problem> {
    let hosts = call.headers().get_all(header::HOST).iter().count();
    if hosts == 1 || (hosts == 0 && call.version() == Version::HTTP_10) {
        Ok(())
    } else {
        Err(Problem::invalid("A request names one Host."))
    }
}

/// Whether a path is the template's, with the part that is `{id}`.
fn matches(template: &str, path: &str) -> Option<Option<String>> {
    let Some((before, after)) = template.split_once("{id}") else {
        return (template == path).then_some(None);
    };
    let part = path.strip_prefix(before)?.strip_suffix(after)?;
    (!part.is_empty() && !part.contains('/')).then(|| Some(part.to_owned()))
}

fn page(call: &Call, path: &str) -> (&'static str, Result<Answer, Problem>) {
    let missing = || Problem::new(ErrorCode::NotFound, "There is nothing at this address.");
    if path.starts_with("/api/") || call.http.operation_only {
        return ("none", Err(missing()));
    }
    let Some(answer) = call.http.page.answer(path, call.headers()) else { return ("none", Err(missing())) };
    if matches!(*call.method(), Method::GET | Method::HEAD) {
        ("page", Ok(answer))
    } else {
        ("none", Err(not_allowed(&["GET", "HEAD"])))
    }
}

fn not_allowed(methods: &[&str]) -> Problem {
    let list = methods.join(", ");
    let problem = Problem::new(ErrorCode::MethodNotAllowed, format!("This address takes {list}."));
    match HeaderValue::from_str(&list) {
        Ok(value) => problem.with(header::ALLOW, value),
        Err(_) => problem,
    }
}
