//! Who may do what from where: bearer, cookie, CSRF token and Origin in every combination; limits by address; and
//! nothing secret where it does not belong.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_edge::limits::{Clock, Rates};

use crate::harness::{ACCESS, CSRF, REFRESH, Request, Setup, TestServer, with, with_server};

const OWN: &str = "http://world.test";
const FOREIGN: &str = "https://evil.test";

#[derive(Clone, Copy, Debug)]
struct With {
    bearer: Option<&'static str>,
    cookie: Option<&'static str>,
    csrf: Option<&'static str>,
    origin: Option<&'static str>,
}

const NOTHING: With = With { bearer: None, cookie: None, csrf: None, origin: None };
const COOKIE: With = With { cookie: Some(REFRESH), ..NOTHING };
const BEARER: With = With { bearer: Some(ACCESS), ..NOTHING };

impl With {
    fn put_on(self, mut request: Request) -> Request {
        if let Some(token) = self.bearer {
            request = request.header("Authorization", &format!("Bearer {token}"));
        }
        if let Some(token) = self.cookie {
            request = request.header("Cookie", &format!("tidings-refresh={token}"));
        }
        if let Some(token) = self.csrf {
            request = request.header("X-CSRF-Token", token);
        }
        if let Some(origin) = self.origin {
            request = request.header("Origin", origin);
        }
        request
    }
}

#[test]
fn a_cookie_alone_changes_nothing_without_its_csrf_token() {
    let cases = [
        (NOTHING, 401),
        (BEARER, 201),
        (With { origin: Some(FOREIGN), ..BEARER }, 201),
        (With { bearer: Some("forged"), ..NOTHING }, 401),
        (With { bearer: Some("forged"), csrf: Some(CSRF), ..COOKIE }, 401),
        (With { bearer: Some(""), csrf: Some(CSRF), ..COOKIE }, 401),
        (COOKIE, 403),
        (With { csrf: Some(CSRF), ..COOKIE }, 201),
        (With { csrf: Some(CSRF), origin: Some(OWN), ..COOKIE }, 201),
        (With { csrf: Some(CSRF), origin: Some(FOREIGN), ..COOKIE }, 403),
        (With { csrf: Some(CSRF), origin: Some("null"), ..COOKIE }, 403),
        (With { csrf: Some("csrf-of-ben"), ..COOKIE }, 403),
        (With { csrf: Some(""), ..COOKIE }, 403),
        (With { cookie: Some("forged"), csrf: Some(CSRF), ..NOTHING }, 401),
        (With { csrf: Some(CSRF), ..NOTHING }, 401),
    ];
    with_server(async |server: &TestServer| {
        for (with, status) in cases {
            let reply = server.ask(with.put_on(Request::post("/api/v1/tickets"))).await;
            assert_eq!(reply.status, status, "{with:?}");
            let done = server.called().len();
            assert_eq!(done, usize::from(status == 201), "{with:?}");
            if status != 201 {
                reply.code();
            }
        }
    });
}

#[test]
fn signing_out_by_cookie_takes_the_csrf_token_too() {
    with_server(async |server: &TestServer| {
        let request = || Request::new("DELETE", "/api/v1/session");
        assert_eq!(server.ask(COOKIE.put_on(request())).await.status, 403);
        let with = With { csrf: Some(CSRF), origin: Some(OWN), ..COOKIE };
        assert_eq!(server.ask(with.put_on(request())).await.status, 204);
        assert_eq!(server.called().len(), 1);
    });
}

#[test]
fn reading_by_cookie_takes_no_csrf_token() {
    with_server(async |server: &TestServer| {
        assert_eq!(server.ask(COOKIE.put_on(Request::get("/api/v1/characters"))).await.status, 200);
        assert_eq!(server.ask(NOTHING.put_on(Request::get("/api/v1/characters"))).await.status, 401);
    });
}

#[test]
fn a_refresh_takes_the_cookie_and_the_origin_of_the_page() {
    let cases = [
        (COOKIE, 403),
        (With { origin: Some(FOREIGN), ..COOKIE }, 403),
        (With { origin: Some("null"), ..COOKIE }, 403),
        (With { origin: Some(FOREIGN), csrf: Some(CSRF), ..COOKIE }, 403),
        (With { origin: Some(OWN), ..COOKIE }, 200),
        (With { origin: Some("https://listed.test"), ..COOKIE }, 200),
        (With { origin: Some(OWN), ..NOTHING }, 401),
        (With { origin: Some(OWN), ..BEARER }, 401),
        (With { origin: Some(OWN), cookie: Some("spent"), ..NOTHING }, 401),
    ];
    let mut setup = Setup::default();
    setup.config.origins = vec!["https://listed.test".into()];
    with(setup, async |server: &TestServer| {
        for (with, status) in cases {
            let reply = server.ask(with.put_on(Request::post("/api/v1/session/refresh"))).await;
            assert_eq!(reply.status, status, "{with:?}");
            let cookie = reply.header("set-cookie").unwrap_or_default();
            match status {
                200 => assert!(cookie.starts_with("tidings-refresh=refresh-two;"), "rotated: {cookie}"),
                401 if with.cookie.is_some() => assert!(cookie.contains("Max-Age=0"), "taken away: {cookie}"),
                _ => assert_eq!(cookie, ""),
            }
        }
    });
}

#[test]
fn another_page_cannot_sign_anybody_in() {
    with_server(async |server: &TestServer| {
        let credentials = r#"{"username":"ann","password":"correct horse"}"#;
        for path in ["/api/v1/session", "/api/v1/accounts", "/api/v1/guests"] {
            let body = if path.ends_with("guests") { "{}" } else { credentials };
            let request = Request::post(path).header("Origin", FOREIGN).json(body);
            let reply = server.ask(request).await;
            assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None), "{path}");
        }
        let preflight = Request::new("OPTIONS", "/api/v1/session")
            .header("Origin", FOREIGN)
            .header("Access-Control-Request-Method", "POST");
        let reply = server.ask(preflight).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None));
    });
}

#[test]
fn behind_https_the_cookie_is_secure_and_the_plain_one_is_not_read() {
    let mut setup = Setup::default();
    setup.config.secure_cookies = true;
    with(setup, async |server: &TestServer| {
        let body = r#"{"username":"ann","password":"correct horse"}"#;
        let reply = server.ask(Request::post("/api/v1/session").json(body)).await;
        let cookie = reply.header("set-cookie").expect("a cookie");
        assert_eq!(
            cookie,
            "__Secure-tidings-refresh=refresh-of-ann; Path=/api/v1; HttpOnly; SameSite=Strict; Max-Age=3600; Secure"
        );
        let refresh = || Request::post("/api/v1/session/refresh").header("Origin", "https://world.test");
        let plain = refresh().header("Cookie", "tidings-refresh=refresh-of-ann");
        assert_eq!(server.ask(plain).await.status, 401);
        let secure = refresh().header("Cookie", "__Secure-tidings-refresh=refresh-of-ann");
        assert_eq!(server.ask(secure).await.status, 200);
    });
}

#[test]
fn attempts_are_limited_by_address() {
    let rates =
        Rates { sign_ins_per_minute_per_address: 3, accounts_per_minute_per_address: 2, ..Rates::default() };
    let (clock, hand) = Clock::manual();
    with(Setup { rates, clock, ..Setup::default() }, async |server: &TestServer| {
        let wrong = r#"{"username":"ann","password":"wrong"}"#;
        let sign_in = async || server.ask(Request::post("/api/v1/session").json(wrong)).await;
        for _ in 0..3 {
            assert_eq!(sign_in().await.status, 401);
        }
        let limited = sign_in().await;
        assert_eq!((limited.status, limited.code().as_str()), (429, "rate_limited"));
        assert_eq!(limited.header("retry-after"), Some("20"));
        assert_eq!(limited.json()["retry_after_ms"], 20_000);
        assert_eq!(limited.detail(), "Too many attempts. Try again in 20 seconds.");
        hand.advance(Duration::from_secs(20));
        assert_eq!(sign_in().await.status, 401);

        let guest = async || server.ask(Request::post("/api/v1/guests")).await.status;
        let made = server.ask(Request::post("/api/v1/accounts").json(wrong)).await.status;
        assert_eq!((made, guest().await, guest().await), (201, 200, 429), "a guest is an account made");
        assert_eq!(server.limits.violations().len(), 2);
        assert_eq!(server.called().len(), 5, "what was refused reached nobody");
    });
}

#[test]
fn behind_a_trusted_proxy_its_clients_are_told_apart() {
    let rates = Rates { sign_ins_per_minute_per_address: 1, ..Rates::default() };
    let mut setup = Setup { rates, ..Setup::default() };
    setup.config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    with(setup, async |server: &TestServer| {
        let body = r#"{"username":"ann","password":"correct horse"}"#;
        let from =
            |address: &str| Request::post("/api/v1/session").header("X-Forwarded-For", address).json(body);
        assert_eq!(server.ask(from("198.51.100.1")).await.status, 200);
        assert_eq!(server.ask(from("198.51.100.1")).await.status, 429);
        assert_eq!(server.ask(from("198.51.100.2")).await.status, 200);
        assert_eq!(server.called()[1], "sign-in ann from 198.51.100.2");
    });
    let rates = Rates { sign_ins_per_minute_per_address: 1, ..Rates::default() };
    with(Setup { rates, ..Setup::default() }, async |server: &TestServer| {
        let body = r#"{"username":"ann","password":"correct horse"}"#;
        let from =
            |address: &str| Request::post("/api/v1/session").header("X-Forwarded-For", address).json(body);
        assert_eq!(server.ask(from("198.51.100.1")).await.status, 200);
        assert_eq!(
            server.ask(from("198.51.100.2")).await.status,
            429,
            "a stranger's word counts for nothing"
        );
    });
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        with_server(async |server: &TestServer| {
            tracing::info!("the log is being read");
            let body = r#"{"username":"ann","password":"correct horse"}"#;
            server.ask(Request::post("/api/v1/session").json(body)).await;
            server.ask(Request::post("/api/v1/session").json(&body.replace('}', ",}"))).await;
            server.ask(Request::post("/api/v1/session").json(r#"{"password":["correct horse"]}"#)).await;
            server
                .ask(With { csrf: Some("csrf-forged"), ..COOKIE }.put_on(Request::post("/api/v1/tickets")))
                .await;
            server.ask(Request::post("/api/v1/tickets").bearer()).await;
        });
    });
    let text = String::from_utf8(log.0.lock().expect("one thread").clone()).expect("text");
    assert!(text.contains("the log is being read"));
    for secret in ["correct horse", ACCESS, REFRESH, CSRF, "csrf-forged", "ticket-of-ann"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
