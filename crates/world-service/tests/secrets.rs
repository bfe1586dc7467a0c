//! No password, token, ticket or resume secret is in any log line, error, debug form or metric: a person signs in,
//! comes back, is refused and is thrown out, with every log line of every crate written down, and none of what they
//! know is in it.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use tidings_bus::{Bus, Embedded, EmbeddedConfig};
use tidings_protocol::proto::services::v1::{
    AccountInfo, CharacterName, CreateCharacterRequest, DeadLetterQueues, DeadLetterQueuesRequest, Empty,
    Identity, IssueTicketRequest, OpenSession, OpenSessionRequest, PresentedTicket, RefreshRequest,
    RegisterRequest, ResumeSessionRequest, SignInRequest, SignOutRequest, StaffToken, Ticket, Tokens,
    VerifyRequest,
};
use tidings_service::{CallError, Caller, Health, subjects};
use tidings_storage::Store;
use tidings_world_service::account::admin::Admin;
use tidings_world_service::account::passwords::Cost;
use tidings_world_service::clock::wall_clock;
use tidings_world_service::services::{Config, Services};
use tidings_world_service::{account, chat, session};

const PASSWORD: &str = "correct-horse-battery";
const WRONG: &str = "wrong-horse-battery";
const OTHER: &str = "another-horse-battery";

/// Everything that is written, kept.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Calls {
    caller: Caller,
    secrets: Vec<String>,
    shown: Vec<String>,
}

impl Calls {
    /// A call; what is asked, answered or refused is also looked at as somebody would who logs it.
    async fn call<Rep: Message + Default + Debug>(
        &mut self,
        method: (&str, &str),
        request: &(impl Message + Debug),
    ) -> Result<Rep, CallError> {
        self.shown.push(format!("{request:?}"));
        let answer = self.caller.call::<_, Rep>(method.0, method.1, request, Duration::from_secs(10)).await;
        self.shown.push(format!("{answer:?}"));
        if let Err(error) = &answer {
            self.shown.push(error.to_string());
        }
        answer
    }

    fn know(&mut self, tokens: &Tokens) {
        for secret in [&tokens.access_token, &tokens.refresh_token, &tokens.csrf_token] {
            self.secrets.push(secret.clone());
        }
    }
}

async fn an_evening(calls: &mut Calls, admin: &Admin) {
    let (username, address) = ("ann".to_owned(), "::1".to_owned());
    let register =
        RegisterRequest { username: username.clone(), password: PASSWORD.into(), address: address.clone() };
    let _: AccountInfo = calls.call(("account", "register"), &register).await.expect("an account");
    calls.call::<AccountInfo>(("account", "register"), &register).await.expect_err("taken");
    let sign_in = |password: &str| SignInRequest {
        username: username.clone(),
        password: password.into(),
        address: address.clone(),
    };
    calls.call::<Tokens>(("account", "sign-in"), &sign_in(WRONG)).await.expect_err("wrong");
    let first: Tokens = calls.call(("account", "sign-in"), &sign_in(PASSWORD)).await.expect("signed in");
    calls.know(&first);
    let exchange = RefreshRequest { refresh_token: first.refresh_token };
    let second: Tokens = calls.call(("account", "refresh"), &exchange).await.expect("exchanged");
    calls.know(&second);
    let verify = VerifyRequest { access_token: second.access_token.clone() };
    let identity: Identity = calls.call(("account", "verify"), &verify).await.expect("verified");
    let forged = VerifyRequest { access_token: format!("{}x", second.access_token) };
    calls.call::<Identity>(("account", "verify"), &forged).await.expect_err("forged");

    for access in [second.access_token.clone(), forged.access_token] {
        let staff = Some(StaffToken { access, refresh: second.refresh_token.clone() });
        let look = DeadLetterQueuesRequest { staff };
        calls.call::<DeadLetterQueues>(("deadletter", "queues"), &look).await.expect_err("not staff");
    }

    let issue = IssueTicketRequest { identity: Some(identity.clone()) };
    let ticket: Ticket = calls.call(("account", "issue-ticket"), &issue).await.expect("a ticket");
    calls.secrets.push(ticket.ticket.clone());
    let make = CreateCharacterRequest { account: identity.account.clone(), name: "Ann".into() };
    let _: CharacterName = calls.call(("account", "create-character"), &make).await.expect("a character");
    let presented = PresentedTicket { ticket: ticket.ticket, csrf_token: second.csrf_token };
    let open =
        OpenSessionRequest { ticket: Some(presented), edge: "edge".into(), ..OpenSessionRequest::default() };
    let opened: OpenSession = calls.call(("session", "open"), &open).await.expect("opened");
    assert_eq!(opened.identity, Some(identity.clone()));
    calls.call::<OpenSession>(("session", "open"), &open).await.expect_err("used up");
    calls.secrets.push(opened.resume_secret.clone());
    let resume = |secret: String| ResumeSessionRequest {
        secret,
        edge: "edge".into(),
        ..ResumeSessionRequest::default()
    };
    let back: OpenSession =
        calls.call(("session", "resume"), &resume(opened.resume_secret.clone())).await.expect("back");
    calls.secrets.push(back.resume_secret.clone());
    let again: OpenSession =
        calls.call(("session", "resume"), &resume(back.resume_secret)).await.expect("back again");
    calls.secrets.push(again.resume_secret);
    calls.call::<OpenSession>(("session", "resume"), &resume(opened.resume_secret)).await.expect_err("stale");

    admin.password("ann", OTHER).await.expect("changed");
    calls.call::<Tokens>(("account", "refresh"), &exchange).await.expect_err("ended");
    let out = SignOutRequest { account: identity.account, family: identity.family };
    let _: Empty = calls.call(("account", "sign-out"), &out).await.expect("signed out");
}

#[tokio::test]
async fn nothing_secret_is_written_anywhere() {
    let written = Written::default();
    let kept = written.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || kept.clone())
        .init();
    let metrics =
        metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().expect("a recorder");

    let store = Store::memory().await.expect("a store");
    let embedded = Embedded::open(subjects::declare(EmbeddedConfig::default())).expect("in memory");
    let bus = Bus::new(embedded, Arc::new(subjects::registry(None).expect("the table is sound")));
    let cost = Cost { memory_kib: 64, passes: 1 };
    let config = Config {
        account: account::Config { password_cost: cost, ..account::Config::default() },
        session: session::Config::new("harbour".parse().expect("a zone")),
        chat: chat::Config::default(),
        lease: None,
        unwritten: std::sync::Arc::default(),
    };
    let health = Health::new();
    let services =
        Services::start(store.clone(), bus.clone(), wall_clock(), config, &health).await.expect("they start");
    assert!(health.is_ready(), "{:?}", health.states());
    let mut calls = Calls { caller: Caller::new(bus.clone()), secrets: Vec::new(), shown: Vec::new() };
    calls.secrets.extend([PASSWORD, WRONG, OTHER].map(str::to_owned));
    let admin =
        Admin::with_cost(store.clone(), Some(calls.caller.clone()), wall_clock(), cost).expect("accounts");
    an_evening(&mut calls, &admin).await;
    services.drain(Duration::from_secs(5)).await;
    let after: Result<Tokens, CallError> =
        calls.call(("account", "refresh"), &RefreshRequest::default()).await;
    assert!(after.expect_err("nobody answers").is_retryable());

    let (log, metrics) = (written.text(), metrics.render());
    assert!(log.contains("sqlx"), "statements are written at this level: it is the whole log");
    assert!(metrics.contains("tidings_account_sign_ins_total"), "{metrics}");
    assert!(calls.secrets.len() >= 13);
    for secret in &calls.secrets {
        assert!(!log.contains(secret), "in the log");
        assert!(!metrics.contains(secret), "in the metrics");
        assert!(calls.shown.iter().all(|shown| !shown.contains(secret)), "in a debug form or an error");
    }
}
