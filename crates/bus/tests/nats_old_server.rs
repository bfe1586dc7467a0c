//! A server before 2.12: it has no atomic batches, and is refused by its version, once.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidings_bus::{Class, ErrorKind, Nats, NatsConfig, Registry, SlowReader, TemplateDef};

/// Longest that a refusal may take: it is known with the server's first line.
const SOON: Duration = Duration::from_secs(2);

/// Says that it is a server of this version, and nothing else that is of use.
fn greet(mut socket: TcpStream, version: &str) {
    let info = format!(
        r#"INFO {{"server_id":"A","server_name":"old","version":"{version}","proto":1,"host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"jetstream":true}}"#
    );
    let _ = socket.write_all(format!("{info}\r\n").as_bytes());
    let lines = BufReader::new(socket.try_clone().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        if line.starts_with("PING") && socket.write_all(b"PONG\r\n").is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_batches_is_refused_at_once_and_asked_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || greet(socket, "2.11.4"));
        }
    });
    let log = TemplateDef {
        name: "log",
        template: "room.{room:slug}.log",
        class: Class::Durable,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    let registry = Arc::new(Registry::new(None, vec![log]).unwrap());
    let begun = Instant::now();
    let config = NatsConfig::default().server(format!("nats://{address}"));
    let error = Nats::connect(config, registry).await.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("2.11.4") && error.to_string().contains("2.12"), "{error}");
    assert!(!error.is_retryable() && begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
