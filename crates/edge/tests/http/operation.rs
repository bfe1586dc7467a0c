//! Health, readiness, metrics, the OpenAPI document; addresses and methods that are not there.

use serde_json::json;

use crate::harness::{Request, Setup, TestServer, with, with_server};

#[test]
fn alive_is_not_ready() {
    with_server(async |server: &TestServer| {
        let bus = server.health.dependency("bus");
        let storage = server.health.dependency("storage");
        bus.ready();
        storage.failed("disk full");
        assert_eq!(server.ask(Request::get("/health")).await.status, 200);
        let ready = server.ask(Request::get("/ready")).await;
        assert_eq!(ready.status, 503);
        let body = ready.json();
        assert_eq!((&body["ready"], &body["draining"]), (&json!(false), &json!(false)));
        assert_eq!(body["dependencies"]["bus"]["ready"], json!(true));
        assert_eq!(body["dependencies"]["storage"]["reason"], json!("disk full"));
        assert!(body["dependencies"]["storage"]["for_seconds"].is_u64());

        storage.ready();
        assert_eq!(server.ask(Request::get("/ready")).await.status, 200);
        server.http.drain();
        let ready = server.ask(Request::get("/ready")).await;
        assert_eq!((ready.status, &ready.json()["draining"]), (503, &json!(true)));
        assert_eq!(server.ask(Request::get("/health")).await.status, 200, "draining is alive");
    });
}

#[test]
fn metrics_are_for_this_machine_and_the_configured_networks() {
    let mut setup = Setup::default();
    setup.config.trusted_proxies = vec!["127.0.0.1".parse().expect("a network")];
    setup.config.metrics_allowed = vec!["198.51.100.0/24".parse().expect("a network")];
    with(setup, async |server: &TestServer| {
        let local = server.ask(Request::get("/metrics").to("localhost")).await;
        assert_eq!(
            (local.status, local.header("content-type")),
            (200, Some("text/plain; version=0.0.4; charset=utf-8"))
        );
        let from = |address: &str| Request::get("/metrics").header("X-Forwarded-For", address);
        assert_eq!(server.ask(from("198.51.100.7")).await.status, 200);
        assert_eq!(server.ask(from("203.0.113.1")).await.status, 403);
    });
}

#[test]
fn metrics_are_not_for_pages_that_gave_their_name_this_address() {
    with_server(async |server: &TestServer| {
        for (host, status) in [
            ("localhost:4000", 200),
            ("127.0.0.1:4000", 200),
            ("[::1]:4000", 200),
            ("rebound.example:4000", 403),
            ("127.0.0.1.example", 403),
        ] {
            let reply = server.ask(Request::get("/metrics").to(host)).await;
            assert_eq!(reply.status, status, "{host}");
        }
    });
}

#[test]
fn an_undeclared_proxy_on_this_machine_opens_nothing() {
    let mut setup = Setup::default();
    setup.config.metrics_allowed = vec!["127.0.0.0/8".parse().expect("a network")];
    with(setup, async |server: &TestServer| {
        assert_eq!(server.ask(Request::get("/metrics").to("localhost")).await.status, 200);
        for (name, value) in [
            ("X-Forwarded-For", "203.0.113.1"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("Forwarded", "for=203.0.113.1"),
            ("Via", "1.1 proxy"),
            ("X-Real-IP", "203.0.113.1"),
        ] {
            let reply = server.ask(Request::get("/metrics").to("localhost").header(name, value)).await;
            assert_eq!(reply.status, 403, "{name}: {value}");
        }
    });
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    let cases = [
        ("GET", "/api/v1/nothing", 404, None),
        ("GET", "/api/v2/session", 404, None),
        ("GET", "/nothing", 404, None),
        ("GET", "/../Cargo.toml", 404, None),
        ("GET", "/%2e%2e/Cargo.toml", 404, None),
        ("GET", "//", 404, None),
        ("POST", "/nothing", 404, None),
        ("GET", "/api/v1/session", 405, Some("POST, DELETE")),
        ("PUT", "/api/v1/characters", 405, Some("GET, HEAD, POST")),
        ("GET", "/api/v1/characters/x", 405, Some("DELETE")),
        ("POST", "/health", 405, Some("GET, HEAD")),
        ("POST", "/ws", 405, Some("GET")),
        ("HEAD", "/ws", 405, Some("GET")),
        ("TRACE", "/health", 405, Some("GET, HEAD")),
        ("BREW", "/health", 405, Some("GET, HEAD")),
    ];
    with_server(async |server: &TestServer| {
        for (method, path, status, allow) in cases {
            let reply = server.ask(Request::new(method, path)).await;
            assert_eq!((reply.status, reply.header("allow")), (status, allow), "{method} {path}");
            if method != "HEAD" {
                let expected = if status == 404 { "not_found" } else { "method_not_allowed" };
                assert_eq!(reply.code(), expected);
            }
        }
    });
}

#[test]
fn the_document_is_served() {
    with_server(async |server: &TestServer| {
        let reply = server.ask(Request::get("/api/v1/openapi.json")).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let document = reply.json();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document, tidings_edge::http::openapi());
        assert!(document["paths"]["/api/v1/session"]["post"]["responses"]["200"].is_object());
        // What the document calls a route is there: each answers something else than "nothing here".
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for method in methods.as_object().expect("methods").keys() {
                let path = path.replace("{id}", "0190000000007000800000000000000b");
                let reply = server.ask(Request::new(&method.to_uppercase(), &path)).await;
                assert!(![404, 405].contains(&reply.status), "{method} {path}: {}", reply.status);
            }
        }
    });
}

#[test]
fn a_request_names_one_host() {
    with_server(async |server: &TestServer| {
        for head in ["GET /health HTTP/1.1\r\n\r\n", "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
            let mut client = server.connect().await;
            client.send(head.as_bytes()).await;
            assert_eq!(client.reply().await.expect("an answer").status, 400, "{head}");
        }
        let mut old = server.connect().await;
        old.send(b"GET /health HTTP/1.0\r\n\r\n").await;
        assert_eq!(old.reply().await.expect("an answer").status, 200);
    });
}

#[test]
fn the_protocol_document_lists_the_routes() {
    let document = include_str!("../../../../docs/protocol.md");
    let listed: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(route, _)| route))
        .filter(|route| route.contains(" /"))
        .collect();
    let openapi = tidings_edge::http::openapi();
    let mut routes = Vec::new();
    for (path, methods) in openapi["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods").keys();
        routes.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    assert_eq!(listed.len(), routes.len());
    for route in routes {
        assert!(listed.contains(&route.as_str()), "{route} is missing");
    }
}
