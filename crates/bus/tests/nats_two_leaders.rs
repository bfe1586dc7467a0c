//! Servers that answer from what they knew. For a moment after a partition two take themselves for the leader of a stream:
//! the one that is none stores nothing, but refuses. And a replica that is behind says that there is nothing. Either answer
//! may come first.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tidings_bus::{Append, ErrorKind, Fence};
use tidings_test_support::{NatsServer, newest_nats};

use crate::checker::servers::connect;

/// What a leader of before would answer: that the fence is elsewhere, to whoever commits and whoever asks.
async fn old_leader(server: &NatsServer, room: &str, owner: &str, told: &Arc<AtomicUsize>) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let refused = json!({"error": {"code": 400, "err_code": 10_071, "description": "wrong last sequence: 1"},
        "stream": "w_EVENTS", "seq": 0});
    let last = json!({"type": "io.nats.jetstream.api.v1.stream_msg_get_response",
        "message": {"subject": owner, "seq": 1, "time": "2026-11-20T10:00:00Z"}});
    for (subject, answer) in [(room, refused), ("$JS.API.STREAM.MSG.GET.w_EVENTS", last)] {
        let mut heard = client.subscribe(subject.to_owned()).await.unwrap();
        let (client, answer, told) = (client.clone(), Bytes::from(answer.to_string()), told.clone());
        tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                if let Some(reply) = message.reply {
                    told.fetch_add(1, Ordering::Relaxed);
                    client.publish(reply, answer.clone()).await.unwrap();
                    client.flush().await.unwrap();
                }
            }
        });
    }
    client.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_leader_refuses_and_the_other_stores_is_not_called_fenced() {
    let servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let (_backend, bus) = connect(&servers).await;
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let (owner, room) = (subject("owner", "z"), subject("room", "z_a"));
    bus.append(&owner, Bytes::from("one")).await.unwrap();
    let seq = bus.append(&owner, Bytes::from("other")).await.unwrap();
    // At each server, so that it is near whichever the bus talks to.
    let told = Arc::default();
    for server in &servers {
        old_leader(server, room.as_str(), owner.as_str(), &told).await;
    }
    let (mut confirmed, mut fenced) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let text = Bytes::from(number.to_string());
        let batch = vec![Append { subject: room.clone(), payload: text.clone() }];
        match bus.commit(batch, vec![Fence { subject: owner.clone(), seq }]).await {
            Ok(committed) => confirmed.push((committed.last, text)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                fenced.push(text);
            }
        }
    }
    let stored = bus.read(&[room], 0, usize::MAX).await.unwrap();
    let both = stored.iter().filter(|message| fenced.contains(&message.payload)).count();
    let stored: Vec<_> = stored.into_iter().map(|message| (message.seq, message.payload)).collect();
    println!("{} confirmed, {} fenced, {both} of them stored", confirmed.len(), fenced.len());
    assert!(told.load(Ordering::Relaxed) >= 200, "each commit was refused by somebody");
    assert_eq!(both, 0, "fenced means that nothing was stored");
    assert_eq!(confirmed, stored);
}

/// What a replica that is behind answers to every second question for the last of some logs.
fn behind(server: &NatsServer, told: &Arc<AtomicUsize>) {
    let told = told.clone();
    let mut stream = TcpStream::connect(server.url().strip_prefix("nats://").unwrap()).unwrap();
    let hello = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB $JS.API.DIRECT.GET.w_EVENTS 1\r\n";
    stream.write_all(hello.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    // It ends with the server.
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut line, mut count) = (String::new(), 0);
        while lines.read_line(&mut line)? > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["MSG", _, _, reply, size] = words[..] {
                let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                lines.read_exact(&mut payload)?;
                let asked = String::from_utf8_lossy(&payload).contains("multi_last");
                count += usize::from(asked);
                if asked && count % 2 == 1 {
                    told.fetch_add(1, Ordering::Relaxed);
                    let nothing = "NATS/1.0 404 No Results\r\n\r\n";
                    let size = nothing.len();
                    stream.write_all(format!("HPUB {reply} {size} {size}\r\n{nothing}\r\n").as_bytes())?;
                }
            } else if words == ["PING"] {
                stream.write_all(b"PONG\r\n")?;
            }
            line.clear();
        }
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_behind_is_not_believed_that_there_is_nothing() {
    let servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let (_backend, bus) = connect(&servers).await;
    let room = bus.registry().subject("room", &["z_a"]).unwrap();
    let first = bus.append(&room, Bytes::from("first")).await.unwrap();
    let last = bus.append(&room, Bytes::from("last")).await.unwrap();
    let told = Arc::default();
    servers.iter().for_each(|server| behind(server, &told));
    let mut wrong = 0;
    for _ in 0..100 {
        let found = bus.last(&room).await.unwrap().unwrap();
        assert_eq!(found.seq, last);
        wrong += usize::from(found.prev != first);
    }
    assert!(told.load(Ordering::Relaxed) > 0, "somebody said that there is nothing");
    assert_eq!(wrong, 0, "the one before it is there");
}

/// What a leader of before would answer of a bucket's keys: that it knows none of them, and where they are expected
/// somewhere, that they are not. It cannot answer what has to be stored.
async fn old_leader_of_keys(server: &NatsServer, told: &Arc<AtomicUsize>) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let refused = json!({"error": {"code": 400, "err_code": 10_071, "description": "wrong last sequence: 0"},
        "stream": "KV_w_leases", "seq": 0});
    let nothing = json!({"type": "io.nats.jetstream.api.v1.stream_msg_get_response",
        "error": {"code": 404, "err_code": 10_037, "description": "no message found"}});
    for (subject, answer, expects) in
        [("$KV.w_leases.>", refused, true), ("$JS.API.STREAM.MSG.GET.KV_w_leases", nothing, false)]
    {
        let mut heard = client.subscribe(subject).await.unwrap();
        let (client, answer, told) = (client.clone(), Bytes::from(answer.to_string()), told.clone());
        tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                let expected = message
                    .headers
                    .and_then(|map| map.get("Nats-Expected-Last-Subject-Sequence").map(ToString::to_string));
                if let (Some(reply), true) = (message.reply, !expects || expected.is_some()) {
                    told.fetch_add(1, Ordering::Relaxed);
                    client.publish(reply, answer.clone()).await.unwrap();
                    client.flush().await.unwrap();
                }
            }
        });
    }
    client.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_leader_refuses_and_the_other_stores_is_not_called_wrong() {
    let servers = NatsServer::cluster(newest_nats(), 3).unwrap();
    let (_backend, bus) = connect(&servers).await;
    let leases = bus.kv("leases").unwrap();
    let told = Arc::default();
    for server in &servers {
        old_leader_of_keys(server, &told).await;
    }
    let (value, ttl) = (Bytes::from("mine"), Some(Duration::from_secs(60)));
    // Nobody else writes: whatever is refused is wrong.
    let mut refused = Vec::new();
    for number in 0..100 {
        let key = format!("k{number}");
        let written = async {
            let first = leases.create(&key, value.clone(), ttl).await?;
            let second = leases.update(&key, value.clone(), first, ttl).await?;
            let third = leases.put(&key, value.clone(), ttl).await?;
            assert!(first < second && second < third);
            leases.delete_revision(&key, third).await
        };
        refused.extend(written.await.err());
    }
    println!("{} of 100 refused: {:?}", refused.len(), refused.first());
    assert!(told.load(Ordering::Relaxed) >= 100, "each key was refused by somebody");
    assert!(refused.is_empty());
    let error = leases.update("k1", value, 1, ttl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongRevision, "what is refused is refused");
    assert_eq!(leases.keys().await.unwrap(), [""; 0], "each was deleted, and nothing else is there");
}
