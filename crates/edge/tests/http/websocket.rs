//! The opening handshake of `/ws`, and the hand-over of its socket.

use tidings_edge::limits::{Clock, Rates};

use crate::harness::{Request, Setup, TestServer, with, with_server};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn upgrade_with(key: &str, version: &str) -> Request {
    Request::get("/ws")
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", version)
        .header("Sec-WebSocket-Key", key)
}

fn upgrade() -> Request {
    upgrade_with(KEY, "13")
}

#[test]
fn the_socket_is_handed_over_with_what_was_read_of_it() {
    with_server(async |server: &TestServer| {
        let mut client = server.connect().await;
        let handshake = upgrade().header("Sec-WebSocket-Protocol", "tidings.v1.json");
        client.send(&[&handshake.bytes()[..], b"first frame"].concat()).await;
        let reply = client.reply().await.expect("an answer");
        assert_eq!(reply.status, 101);
        assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(reply.header("upgrade"), Some("websocket"));
        assert_eq!(reply.header("sec-websocket-protocol"), Some("tidings.v1.json"));
        assert_eq!(client.rest(19).await, b"adopted:first frame");
        let adopted = server.adopted.0.borrow();
        assert_eq!(adopted[0].0.address.to_string(), "127.0.0.1");
        assert!(!adopted[0].0.origin_present);
    });
}

#[test]
fn the_sub_protocol_is_this_one_or_none() {
    with_server(async |server: &TestServer| {
        for (offered, status, chosen) in [
            (Some("tidings.v1.json"), 101, Some("tidings.v1.json")),
            (Some("mqtt, tidings.v1.json"), 101, Some("tidings.v1.json")),
            (None, 101, None),
            (Some("mqtt"), 400, None),
            (Some("tidings.v2.json, mqtt"), 400, None),
        ] {
            let mut request = upgrade();
            if let Some(offered) = offered {
                request = request.header("Sec-WebSocket-Protocol", offered);
            }
            let reply = server.ask(request).await;
            let answer = (reply.status, reply.header("sec-websocket-protocol"));
            assert_eq!(answer, (status, chosen), "{offered:?}");
        }
    });
}

#[test]
fn the_origin_is_own_listed_or_absent() {
    let mut setup = Setup::default();
    setup.config.origins = vec!["https://listed.test".into()];
    with(setup, async |server: &TestServer| {
        for (origin, status, present) in [
            (None, 101, false),
            (Some("http://world.test"), 101, true),
            (Some("https://listed.test"), 101, true),
            (Some("https://evil.test"), 403, false),
            (Some("https://listed.test.evil.test"), 403, false),
            (Some("http://world.test:8080"), 403, false),
            (Some("null"), 403, false),
            (Some(""), 403, false),
        ] {
            server.adopted.0.borrow_mut().clear();
            let mut request = upgrade();
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            let reply = server.ask(request).await;
            assert_eq!(reply.status, status, "{origin:?}");
            if status == 101 {
                assert_eq!(server.adopted.0.borrow()[0].0.origin_present, present, "{origin:?}");
            } else {
                assert_eq!(reply.code(), "permission_denied");
            }
        }
    });
}

#[test]
fn what_is_no_handshake_is_refused() {
    let plain = || Request::get("/ws");
    let cases = [
        (plain(), 426),
        (plain().header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13"), 426),
        (plain().header("Connection", "Upgrade").header("Upgrade", "h2c"), 426),
        (upgrade_with(KEY, "8"), 426),
        (upgrade_with(KEY, "13, 8"), 426),
        (upgrade_with(KEY, "13").header("Sec-WebSocket-Version", "8"), 426),
        (upgrade_with("", "13"), 400),
        (upgrade_with("c2hvcnQ=", "13"), 400),
        (upgrade_with("not base64!", "13"), 400),
        (upgrade_with(KEY, "13").header("Sec-WebSocket-Key", KEY), 400),
        (upgrade().json("{}"), 400),
    ];
    with_server(async |server: &TestServer| {
        for (request, status) in cases {
            let head = request.head.clone();
            let reply = server.ask(request).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, "invalid_argument"), "{head}");
            if status == 426 {
                assert_eq!(reply.header("sec-websocket-version"), Some("13"), "{head}");
                assert_eq!(reply.header("upgrade"), Some("websocket"), "{head}");
            }
        }
        let mut old = server.connect().await;
        let bytes = String::from_utf8(upgrade().bytes()).expect("text").replace("HTTP/1.1", "HTTP/1.0");
        old.send(bytes.as_bytes()).await;
        assert_eq!(old.reply().await.expect("an answer").status, 426);
        assert!(server.adopted.0.borrow().is_empty());
    });
}

#[test]
fn attempts_are_limited_by_address() {
    let rates = Rates { connects_per_minute_per_address: 3, ..Rates::default() };
    let (clock, hand) = Clock::manual();
    with(Setup { rates, clock, ..Setup::default() }, async |server: &TestServer| {
        for _ in 0..3 {
            assert_eq!(server.ask(upgrade()).await.status, 101);
        }
        let reply = server.ask(upgrade()).await;
        assert_eq!(
            (reply.status, reply.code().as_str(), reply.header("retry-after")),
            (429, "rate_limited", Some("20"))
        );
        hand.advance(std::time::Duration::from_secs(20));
        assert_eq!(server.ask(upgrade()).await.status, 101);
    });
}

#[test]
fn a_draining_edge_takes_nobody() {
    with_server(async |server: &TestServer| {
        server.http.drain();
        let reply = server.ask(upgrade()).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "unavailable"));
        assert!(reply.header("retry-after").is_some());
    });
}

#[test]
fn compression_is_agreed_on_where_it_is_offered_and_wanted() {
    for wanted in [true, false] {
        let mut setup = Setup::default();
        setup.config.compression = wanted;
        with(setup, async |server: &TestServer| {
            let offer = "permessage-deflate; client_max_window_bits";
            let reply = server.ask(upgrade().header("Sec-WebSocket-Extensions", offer)).await;
            let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
            assert_eq!(reply.header("sec-websocket-extensions"), wanted.then_some(answer));
            assert_eq!(server.adopted.0.borrow()[0].0.deflate, wanted);
            let foreign = upgrade().header("Sec-WebSocket-Extensions", "x-other; a=1");
            assert_eq!(server.ask(foreign).await.header("sec-websocket-extensions"), None);
            assert_eq!(server.ask(upgrade()).await.header("sec-websocket-extensions"), None);
        });
    }
}
