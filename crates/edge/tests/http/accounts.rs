//! Every route of accounts, sign-ins, characters and tickets: what it answers, and what it refuses.

use serde_json::json;

use crate::harness::{ANN, ANNS_CHARACTER, Request, Setup, TestServer, with, with_server};

const CREDENTIALS: &str = r#"{"username":"ann","password":"correct horse"}"#;

#[test]
fn a_newcomer_signs_up_in_and_out() {
    with_server(async |server: &TestServer| {
        let made = server.ask(Request::post("/api/v1/accounts").json(CREDENTIALS)).await;
        assert_eq!((made.status, made.json()), (201, json!({ "id": ANN, "username": "ann" })));

        let session = server.ask(Request::post("/api/v1/session").json(CREDENTIALS)).await;
        let expected =
            json!({ "access_token": "access-of-ann", "expires_in": 900, "csrf_token": "csrf-of-ann" });
        assert_eq!((session.status, session.json()), (200, expected), "and no refresh token");
        assert_eq!(
            session.header("set-cookie"),
            Some("tidings-refresh=refresh-of-ann; Path=/api/v1; HttpOnly; SameSite=Strict; Max-Age=3600")
        );
        assert_eq!(session.header("cache-control"), Some("no-store"));

        let out = server.ask(Request::new("DELETE", "/api/v1/session").bearer()).await;
        assert_eq!((out.status, out.body.len()), (204, 0));
        let cleared = "tidings-refresh=; Path=/api/v1; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!(out.header("set-cookie"), Some(cleared));
        let expected = [
            "register ann from 127.0.0.1".to_owned(),
            "sign-in ann from 127.0.0.1".to_owned(),
            format!("sign-out {ANN} family-of-ann"),
        ];
        assert_eq!(server.called(), expected);
    });
}

#[test]
fn a_guest_enters_where_guests_may() {
    with_server(async |server: &TestServer| {
        for request in [Request::post("/api/v1/guests"), Request::post("/api/v1/guests").json("{}")] {
            let session = server.ask(request).await;
            assert_eq!((session.status, &session.json()["access_token"]), (200, &json!("access-of-guest")));
            assert!(session.header("set-cookie").is_some());
        }
    });
    let mut setup = Setup::default();
    setup.config.guests = false;
    with(setup, async |server: &TestServer| {
        let refused = server.ask(Request::post("/api/v1/guests").json("{}")).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "permission_denied"));
    });
}

#[test]
fn characters_are_listed_made_and_deleted() {
    with_server(async |server: &TestServer| {
        let list = server.ask(Request::get("/api/v1/characters").bearer()).await;
        let ann = json!({ "id": ANNS_CHARACTER, "name": "Ann" });
        assert_eq!((list.status, list.json()), (200, json!({ "characters": [ann] })));

        let made = server.ask(Request::post("/api/v1/characters").bearer().json(r#"{"name":"Ann"}"#)).await;
        assert_eq!((made.status, made.json()), (201, ann));
        let path = format!("/api/v1/characters/{ANNS_CHARACTER}");
        assert_eq!(made.header("location"), Some(path.as_str()));

        assert_eq!(server.ask(Request::new("DELETE", &path).bearer()).await.status, 204);
        assert_eq!(server.called()[1], format!("delete-character {ANN} {ANNS_CHARACTER}"));
        let stranger = "/api/v1/characters/0190000000007000800000000000000f";
        for missing in
            [stranger, "/api/v1/characters/ann", "/api/v1/characters/..%2f..%2fws", "/api/v1/characters/*"]
        {
            let reply = server.ask(Request::new("DELETE", missing).bearer()).await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{missing}");
        }
        assert_eq!(server.called().len(), 1, "what is no id is nobody's affair");
    });
}

#[test]
fn a_ticket_is_given_to_who_is_signed_in() {
    with_server(async |server: &TestServer| {
        let ticket = server.ask(Request::post("/api/v1/tickets").bearer()).await;
        assert_eq!(ticket.status, 201);
        assert_eq!(ticket.json(), json!({ "ticket": "ticket-of-ann", "expires_in": 30 }));
        assert_eq!(server.called(), [format!("issue-ticket {ANN}")]);
    });
}

#[test]
fn a_refusal_of_the_service_is_a_problem_with_its_words() {
    with_server(async |server: &TestServer| {
        let taken = r#"{"username":"taken","password":"x"}"#;
        let reply = server.ask(Request::post("/api/v1/accounts").json(taken)).await;
        assert_eq!((reply.status, reply.code().as_str()), (409, "conflict"));
        assert_eq!(reply.detail(), "There is an account called 'taken' already.");

        let wrong = r#"{"username":"ann","password":"wrong"}"#;
        let reply = server.ask(Request::post("/api/v1/session").json(wrong)).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "unauthenticated"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert!(reply.header("set-cookie").is_none());

        let busy = Request::post("/api/v1/characters").bearer().json(r#"{"name":"Busy"}"#);
        let reply = server.ask(busy).await;
        assert_eq!((reply.status, reply.code().as_str()), (429, "resource_exhausted"));
        assert_eq!(
            (reply.json()["retry_after_ms"].as_u64(), reply.header("retry-after")),
            (Some(1500), Some("2"))
        );
    });
}

#[test]
fn without_the_service_everything_is_refused_for_now() {
    let setup = Setup { account_service: false, ..Setup::default() };
    with(setup, async |server: &TestServer| {
        let requests = [
            Request::post("/api/v1/session").json(CREDENTIALS),
            Request::get("/api/v1/characters").bearer(),
            Request::post("/api/v1/tickets").cookie().header("X-CSRF-Token", "csrf-of-ann"),
        ];
        for request in requests {
            let reply = server.ask(request).await;
            assert_eq!((reply.status, reply.code().as_str()), (503, "unavailable"));
            assert!(reply.header("retry-after").is_some());
        }
    });
}

#[test]
fn bodies_of_another_form_are_refused_by_name() {
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        (
            "/api/v1/session",
            "application/json",
            r#"{"username":"a","password":"b","admin":true}"#,
            400,
            "`admin`",
        ),
        (
            "/api/v1/session",
            "application/json",
            r#"{"username":"a","username":"b","password":"c"}"#,
            400,
            "`username`",
        ),
        ("/api/v1/session", "application/json", r#"{"username":"a"}"#, 400, "`password`"),
        ("/api/v1/session", "application/json", r#"{"username":"a","password":7}"#, 400, "form"),
        ("/api/v1/session", "application/json", "[1,2]", 400, "form"),
        ("/api/v1/session", "application/json", "null", 400, "form"),
        ("/api/v1/session", "application/json", "{", 400, "not JSON"),
        ("/api/v1/session", "application/json", "{} {}", 400, "`username`"),
        ("/api/v1/session", "text/plain", CREDENTIALS, 415, "application/json"),
        ("/api/v1/session", "application/x-www-form-urlencoded", "username=a", 415, "application/json"),
        ("/api/v1/session", "application/jsonp", CREDENTIALS, 415, "application/json"),
        ("/api/v1/guests", "application/json", r#"{"name":"x"}"#, 400, "`name`"),
        ("/api/v1/guests", "text/plain", "{}", 415, "application/json"),
    ];
    with_server(async |server: &TestServer| {
        for (path, kind, body, status, detail) in cases {
            let mut request = Request::post(path).header("Content-Type", kind);
            request.body = body.as_bytes().to_vec();
            let reply = server.ask(request).await;
            reply.code();
            assert_eq!(reply.status, *status, "{body}");
            assert!(reply.detail().contains(detail), "{} for {body}", reply.detail());
        }
        let empty =
            server.ask(Request::post("/api/v1/session").header("Content-Type", "application/json")).await;
        assert_eq!(empty.status, 400);
        let with_charset =
            Request::post("/api/v1/session").header("Content-Type", "Application/JSON; charset=utf-8");
        let mut with_charset = with_charset;
        with_charset.body = CREDENTIALS.into();
        assert_eq!(server.ask(with_charset).await.status, 200);
        assert_eq!(server.called(), ["sign-in ann from 127.0.0.1"], "nothing else reached the service");
    });
}

#[test]
fn deep_and_large_bodies_are_refused() {
    with_server(async |server: &TestServer| {
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        let reply = server.ask(Request::post("/api/v1/session").json(&deep)).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_argument"));
        let field = format!(r#"{{"username":"{}","password":"x"}}"#, "a".repeat(16 * 1024));
        let reply = server.ask(Request::post("/api/v1/session").json(&field)).await;
        assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"));
        assert!(server.called().is_empty());
    });
}
