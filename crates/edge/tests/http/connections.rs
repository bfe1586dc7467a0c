//! Connections that say nothing, too much, too slowly, or nonsense.

use std::time::Duration;

use tidings_edge::http::PendingLimits;
use tokio::time::Instant;

use crate::harness::{Client, Request, Setup, TestServer, with, with_paused_time, with_server};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: world.test\r\n\r\n";

/// Whether the server has closed it.
fn is_closed(client: &Client) -> bool {
    matches!(client.stream.try_read(&mut [0; 1]), Ok(0))
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out() {
    with_server(async |server: &TestServer| {
        let mut silent = Vec::new();
        for _ in 0..1000 {
            silent.push(server.connect().await);
        }
        assert_eq!(server.ask(Request::get("/health")).await.status, 200);
        assert!(!silent.iter().any(is_closed), "for a moment they may be silent");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(server.ask(Request::get("/health")).await.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let closed: Vec<usize> = (0..1000).filter(|at| is_closed(&silent[*at])).collect();
        assert_eq!(closed, (0..489).collect::<Vec<_>>(), "the oldest gave way, and no more than had to");
    });
}

#[test]
fn one_that_is_served_does_not_give_way() {
    let pending = PendingLimits { total: 0, per_address: 3 };
    let mut setup = Setup::default();
    setup.config.pending = pending;
    with(setup, async |server: &TestServer| {
        let mut busy = server.connect().await;
        let request =
            Request::post("/api/v1/session").json(r#"{"username":"ann","password":"correct horse"}"#);
        let bytes = request.bytes();
        let (head, tail) = bytes.split_at(bytes.len() - 5);
        busy.send(head).await;
        tokio::time::sleep(Duration::from_millis(50)).await; // the head is read: the body is what is waited for
        let mut silent = Vec::new();
        for _ in 0..10 {
            silent.push(server.connect().await);
        }
        tokio::time::sleep(Duration::from_millis(1100)).await;
        silent.push(server.connect().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
        busy.send(tail).await;
        assert_eq!(busy.reply().await.expect("an answer").status, 200);
        assert!(is_closed(&silent[0]) && !is_closed(&silent[10]));
    });
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    for sent in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nHost: world.test\r\n"] {
        with_paused_time(Setup::default(), async |server: &TestServer| {
            let started = Instant::now();
            let mut client = server.connect().await;
            client.send(sent).await;
            assert!(client.reply().await.is_none());
            let took = started.elapsed().as_secs();
            assert!((10..13).contains(&took), "{took} s for {sent:?}");
        });
    }
}

#[test]
fn a_head_that_comes_drop_by_drop_ends_the_connection() {
    with_paused_time(Setup::default(), async |server: &TestServer| {
        let started = Instant::now();
        let mut client = server.connect().await;
        for byte in HEALTH {
            client.send(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(900)).await;
            if is_closed(&client) {
                break;
            }
        }
        assert!(client.reply().await.is_none());
        assert!(started.elapsed() < Duration::from_secs(15));
    });
}

#[test]
fn a_body_that_does_not_come_is_refused() {
    with_paused_time(Setup::default(), async |server: &TestServer| {
        let started = Instant::now();
        let mut client = server.connect().await;
        let head = Request::post("/api/v1/session").header("Content-Type", "application/json");
        let head = head.header("Content-Length", "50").bytes();
        client.send(&[&head[..], b"{\"user"].concat()).await;
        let reply = client.reply().await.expect("an answer");
        assert_eq!((reply.status, reply.code().as_str()), (408, "deadline_exceeded"));
        assert!(started.elapsed() < Duration::from_secs(15));
        assert!(client.reply().await.is_none(), "the connection ends with it");
    });
}

#[test]
fn an_idle_connection_is_kept_for_a_while() {
    with_paused_time(Setup::default(), async |server: &TestServer| {
        let mut client = server.connect().await;
        client.send(HEALTH).await;
        assert_eq!(client.reply().await.expect("an answer").status, 200);
        tokio::time::sleep(Duration::from_secs(8)).await;
        client.send(HEALTH).await;
        assert_eq!(client.reply().await.expect("an answer").status, 200);
        let started = Instant::now();
        assert!(client.reply().await.is_none());
        assert!(started.elapsed() <= Duration::from_secs(11));
    });
}

#[test]
fn bodies_without_end_are_refused() {
    with_server(async |server: &TestServer| {
        for chunked in [false, true] {
            let mut client = server.connect().await;
            let head = Request::post("/api/v1/session").header("Content-Type", "application/json");
            let chunk = vec![b' '; 8192];
            if chunked {
                client.send(&head.header("Transfer-Encoding", "chunked").bytes()).await;
                for _ in 0..8 {
                    client.send(&[b"2000\r\n", &chunk[..], b"\r\n"].concat()).await;
                }
            } else {
                client.send(&head.header("Content-Length", "1000000000000").bytes()).await;
                client.send(&chunk).await;
            }
            let reply = client.reply().await.expect("an answer");
            assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"), "chunked: {chunked}");
        }
    });
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    with_server(async |server: &TestServer| {
        let mut client = server.connect().await;
        let missing = b"GET /nothing HTTP/1.1\r\nHost: world.test\r\n\r\n";
        client.send(&[HEALTH, missing, HEALTH, missing, HEALTH].concat()).await;
        for status in [200, 404, 200, 404, 200] {
            assert_eq!(client.reply().await.expect("an answer").status, status);
        }
    });
}

#[test]
fn a_refused_body_does_not_become_the_next_request() {
    with_server(async |server: &TestServer| {
        let mut client = server.connect().await;
        let smuggled = "GET /metrics HTTP/1.1\r\nHost: world.test\r\n\r\n";
        let mut first = Request::post("/api/v1/session").header("Content-Type", "text/plain");
        first.body = smuggled.as_bytes().to_vec();
        client.send(&[&first.bytes()[..], HEALTH].concat()).await;
        assert_eq!(client.reply().await.expect("an answer").status, 415);
        let next = client.reply().await.expect("an answer");
        assert_eq!((next.status, next.json()["alive"].as_bool()), (200, Some(true)));
    });
}

#[test]
fn nonsense_ends_its_own_connection_and_nothing_else() {
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(500));
    let both =
        "POST /api/v1/session HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    let cases: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0\0\0\0\0\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n".to_vec(),
        large.into_bytes(),
        many.into_bytes(),
        both.into(),
        vec![b'A'; 100_000],
    ];
    with_server(async |server: &TestServer| {
        for bytes in cases {
            let mut client = server.connect().await;
            client.send(&bytes).await;
            if let Some(reply) = client.reply().await {
                assert!((400..=505).contains(&reply.status), "{} for {bytes:?}", reply.status);
            }
            assert_eq!(server.ask(Request::get("/health")).await.status, 200);
        }
    });
}

#[test]
fn random_bytes_do_no_harm() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    with_server(async |server: &TestServer| {
        for _ in 0..200 {
            let mut bytes =
                Request::post("/api/v1/session").json(r#"{"username":"ann","password":"x"}"#).bytes();
            for _ in 0..=(next() % 4) {
                let at = (next() as usize) % bytes.len();
                bytes[at] = next() as u8;
            }
            let mut client = server.connect().await;
            client.send(&bytes).await;
            drop(client);
        }
        assert_eq!(server.ask(Request::get("/health")).await.status, 200);
    });
}

#[test]
fn stopping_finishes_what_is_being_answered_and_takes_no_more() {
    with_server(async |server: &TestServer| {
        let mut idle = server.connect().await;
        let mut busy = server.connect().await;
        let request =
            Request::post("/api/v1/session").json(r#"{"username":"ann","password":"correct horse"}"#);
        let bytes = request.bytes();
        let (head, tail) = bytes.split_at(bytes.len() - 5);
        busy.send(head).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.stop.cancel();
        assert!(idle.reply().await.is_none());
        busy.send(tail).await;
        assert_eq!(busy.reply().await.expect("an answer").status, 200);
        assert!(busy.reply().await.is_none());
        assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    });
}
