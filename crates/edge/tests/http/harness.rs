//! A server on a loopback port, a client that sends exactly what it is told, and the services behind.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tidings_bus::{Bus, Embedded, EmbeddedConfig};
use tidings_edge::http::{Adopt, ConnInfo, Http, HttpConfig, serve};
use tidings_edge::limits::{Clock, Limits, Rates};
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{
    AccountInfo, AccountRequest, CharacterList, CharacterName, CreateCharacterRequest,
    DeleteCharacterRequest, Empty, GuestRequest, Identity, IssueTicketRequest, RefreshRequest,
    RegisterRequest, SignInRequest, SignOutRequest, StaffToken, Ticket, Tokens, VerifyRequest,
};
use tidings_service::dead_letters::{self, Gate, Note};
use tidings_service::{CallContext, CallError, Caller, Health, Server, ServerHandle, subjects};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

pub const ANN: &str = "0190000000007000800000000000000a";
pub const ANNS_CHARACTER: &str = "0190000000007000800000000000000b";
pub const ACCESS: &str = "access-of-ann";
pub const MODERATOR: &str = "access-of-a-moderator";
pub const ADMIN: &str = "access-of-an-admin";
pub const REFRESH: &str = "refresh-of-ann";
pub const CSRF: &str = "csrf-of-ann";
/// No answer of a test takes this long on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a test's server is set up.
pub struct Setup {
    pub config: HttpConfig,
    pub rates: Rates,
    pub account_service: bool,
    pub clock: Clock,
}

impl Default for Setup {
    fn default() -> Self {
        let config = HttpConfig { guests: true, ..HttpConfig::default() };
        Self { config, rates: Rates::default(), account_service: true, clock: Clock::system() }
    }
}

/// A running server.
pub struct TestServer {
    pub address: SocketAddr,
    pub http: Arc<Http>,
    pub limits: Arc<Limits>,
    pub health: Health,
    pub adopted: Adopted,
    pub calls: Calls,
    pub stop: CancellationToken,
    pub bus: Bus,
    _services: Vec<ServerHandle>,
}

/// What the account service was asked to do.
pub type Calls = Arc<Mutex<Vec<String>>>;

/// Takes sockets as a shard does; answers on them with what it was given, to show that it has them.
#[derive(Clone, Default)]
pub struct Adopted(pub Rc<RefCell<Vec<(ConnInfo, Bytes)>>>);

impl Adopt for Adopted {
    fn adopt(&self, mut stream: TcpStream, leftover: Bytes, info: ConnInfo) {
        self.0.borrow_mut().push((info, leftover.clone()));
        tokio::task::spawn_local(async move {
            let _ = stream.write_all(&[b"adopted:", &leftover[..]].concat()).await;
            let _ = stream.read(&mut [0; 16]).await;
        });
    }
}

/// Runs a test against a server of its own, all on one thread. `paused`: time stands still and jumps to the next
/// timer when nothing else is to do.
fn run(setup: Setup, paused: bool, test: impl AsyncFnOnce(&TestServer)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let server = start(setup).await;
        if paused {
            test(&server).await;
        } else {
            tokio::time::timeout(PATIENCE * 3, test(&server)).await.expect("the test ends");
        }
    });
}

pub fn with(setup: Setup, test: impl AsyncFnOnce(&TestServer)) {
    run(setup, false, test);
}

pub fn with_server(test: impl AsyncFnOnce(&TestServer)) {
    run(Setup::default(), false, test);
}

pub fn with_paused_time(setup: Setup, test: impl AsyncFnOnce(&TestServer)) {
    run(setup, true, test);
}

async fn start(setup: Setup) -> TestServer {
    let registry = Arc::new(subjects::registry(None).expect("a registry"));
    let backend = Embedded::open(EmbeddedConfig::default()).expect("a bus in memory");
    let bus = Bus::new(backend, registry);
    let calls = Calls::default();
    let letters = dead_letters::server(&dead_letters::queues(bus.clone()), AnnsGate(calls.clone()));
    let mut services = vec![letters.start().await.expect("the service starts")];
    if setup.account_service {
        services.push(account_service(&bus, calls.clone()).await);
    }
    let limits = Arc::new(Limits::new(&setup.rates, setup.clock));
    let health = Health::new();
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let http =
        Http::new(setup.config, Arc::clone(&limits), Caller::new(bus.clone()), health.clone(), Some(metrics));
    let http = Arc::new(http);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (adopted, stop) = (Adopted::default(), CancellationToken::new());
    tokio::task::spawn_local(serve(listener, Arc::clone(&http), adopted.clone(), stop.clone()));
    TestServer { address, http, limits, health, adopted, calls, stop, bus, _services: services }
}

fn refused(code: ErrorCode, message: &str) -> CallError {
    CallError::new(code, message)
}

fn tokens_of(name: &str) -> Tokens {
    Tokens {
        access_token: format!("access-of-{name}"),
        expires_in: 900,
        csrf_token: format!("csrf-of-{name}"),
        refresh_token: format!("refresh-of-{name}"),
        refresh_expires_in: 3600,
    }
}

fn ann() -> Identity {
    let csrf = Sha256::digest(CSRF.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let (account, username, family) = (ANN.to_owned(), "ann".to_owned(), "family-of-ann".to_owned());
    Identity { account, username, role: "player".into(), guest: false, family, csrf }
}

fn by_access(token: &str) -> Result<Identity, CallError> {
    match token {
        ACCESS => Ok(ann()),
        MODERATOR => Ok(Identity { role: "moderator".into(), ..ann() }),
        ADMIN => Ok(Identity { role: "admin".into(), ..ann() }),
        _ => Err(refused(ErrorCode::Unauthenticated, "This sign-in is not valid.")),
    }
}

fn by_refresh(token: &str) -> Result<Identity, CallError> {
    match token {
        REFRESH => Ok(ann()),
        _ => Err(refused(ErrorCode::Unauthenticated, "This sign-in is not valid.")),
    }
}

/// Whom the service `deadletter` lets in.
struct AnnsGate(Calls);

impl Gate for AnnsGate {
    async fn identify(&self, token: StaffToken) -> Result<Identity, CallError> {
        if token.access.is_empty() { by_refresh(&token.refresh) } else { by_access(&token.access) }
    }

    async fn note(&self, note: Note) -> Result<(), CallError> {
        let Note { name, action, target, detail, .. } = note;
        self.0.lock().expect("no test panics here").push(format!("audit {name} {action} {target} {detail}"));
        Ok(())
    }
}

async fn account_service(bus: &Bus, calls: Calls) -> ServerHandle {
    let note = move |what: String| calls.lock().expect("no test panics here").push(what);
    let noted = Arc::new(note);
    let [a, b, c, d, e, f] = std::array::from_fn(|_| Arc::clone(&noted));
    Server::new(bus.clone(), "account")
        .method("register", move |_: CallContext, r: RegisterRequest| {
            a(format!("register {} from {}", r.username, r.address));
            let answer = match r.username.as_str() {
                "taken" => Err(refused(ErrorCode::Conflict, "There is an account called 'taken' already.")),
                _ => Ok(AccountInfo { id: ANN.into(), username: r.username, ..AccountInfo::default() }),
            };
            async move { answer }
        })
        .method("sign-in", move |_: CallContext, r: SignInRequest| {
            b(format!("sign-in {} from {}", r.username, r.address));
            let right = r.username == "ann" && r.password == "correct horse";
            let wrong = refused(ErrorCode::Unauthenticated, "This name and password do not go together.");
            async move { if right { Ok(tokens_of("ann")) } else { Err(wrong) } }
        })
        .method("guest", |_: CallContext, _: GuestRequest| async { Ok(tokens_of("guest")) })
        .method("refresh", |_: CallContext, r: RefreshRequest| async move {
            match r.refresh_token.as_str() {
                REFRESH => Ok(Tokens { refresh_token: "refresh-two".into(), ..tokens_of("ann") }),
                _ => Err(refused(ErrorCode::Unauthenticated, "Please sign in again.")),
            }
        })
        .method("verify", |_: CallContext, r: VerifyRequest| async move { by_access(&r.access_token) })
        .method(
            "verify-refresh",
            |_: CallContext, r: RefreshRequest| async move { by_refresh(&r.refresh_token) },
        )
        .method("sign-out", move |_: CallContext, r: SignOutRequest| {
            c(format!("sign-out {} {}", r.account, r.family));
            async { Ok(Empty {}) }
        })
        .method("issue-ticket", move |_: CallContext, r: IssueTicketRequest| {
            d(format!("issue-ticket {}", r.identity.unwrap_or_default().account));
            async { Ok(Ticket { ticket: "ticket-of-ann".into(), expires_in: 30 }) }
        })
        .method("characters", |_: CallContext, r: AccountRequest| async move {
            let ann = CharacterName { id: ANNS_CHARACTER.into(), name: "Ann".into() };
            let characters = if r.account == ANN { vec![ann] } else { Vec::new() };
            Ok(CharacterList { characters })
        })
        .method("create-character", move |_: CallContext, r: CreateCharacterRequest| {
            e(format!("create-character {} {}", r.account, r.name));
            let answer = match r.name.as_str() {
                "Busy" => Err(refused(ErrorCode::ResourceExhausted, "Too much to do.")
                    .after(Duration::from_millis(1500))),
                _ => Ok(CharacterName { id: ANNS_CHARACTER.into(), name: r.name }),
            };
            async move { answer }
        })
        .method("delete-character", move |_: CallContext, r: DeleteCharacterRequest| {
            f(format!("delete-character {} {}", r.account, r.character));
            let known = r.character == ANNS_CHARACTER;
            let missing = refused(ErrorCode::NotFound, "There is no such character.");
            async move { if known { Ok(Empty {}) } else { Err(missing) } }
        })
        .start()
        .await
        .expect("the service starts")
}

/// A request, put together.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\nHost: world.test\r\n"), body: Vec::new() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Sent to another host.
    pub fn to(mut self, host: &str) -> Self {
        self.head = self.head.replace("Host: world.test", &format!("Host: {host}"));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub fn bearer(self) -> Self {
        self.header("Authorization", &format!("Bearer {ACCESS}"))
    }

    pub fn bearing(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn cookie(self) -> Self {
        self.header("Cookie", &format!("tidings-refresh={REFRESH}"))
    }

    pub fn json(self, body: &str) -> Self {
        let mut this = self.header("Content-Type", "application/json");
        this.body = body.as_bytes().to_vec();
        this
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = if self.body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", self.body.len())
        };
        [self.head.as_bytes(), length.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The code of a problem, once its whole form is checked.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["type"], format!("urn:tidings:error:{code}"));
        assert!(ErrorCode::from_name(code).is_some(), "{code}");
        assert!(!problem["title"].as_str().expect("a title").is_empty());
        assert!(!problem["detail"].as_str().expect("a detail").is_empty());
        code.to_owned()
    }

    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().expect("a detail").to_owned()
    }
}

/// A socket to the server.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn send(&mut self, bytes: &[u8]) {
        // The server may have refused and closed already: what it said is read all the same.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next answer; `None` where the server closed instead.
    pub async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        while self.buffer.len() < end + length && self.more().await {}
        let end_of_body = self.buffer.len().min(end + length); // the answer to a HEAD has none
        let body = self.buffer[end..end_of_body].to_vec();
        self.buffer.drain(..end_of_body);
        Some(Reply { status, headers, body })
    }

    /// Whatever comes until the server closes, or `limit` bytes of it.
    pub async fn rest(&mut self, limit: usize) -> Vec<u8> {
        while self.buffer.len() < limit && self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
        }
    }
}

impl TestServer {
    pub async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        Client { stream, buffer: Vec::new() }
    }

    /// Sends a request on a connection of its own.
    pub async fn ask(&self, request: Request) -> Reply {
        let mut client = self.connect().await;
        client.send(&request.header_first("Connection: close").bytes()).await;
        client.reply().await.expect("an answer")
    }

    pub fn called(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().expect("no test panics here"))
    }
}

impl Request {
    fn header_first(mut self, line: &str) -> Self {
        if !self.head.to_ascii_lowercase().contains("\r\nconnection:") {
            self.head.push_str(line);
            self.head.push_str("\r\n");
        }
        self
    }
}
