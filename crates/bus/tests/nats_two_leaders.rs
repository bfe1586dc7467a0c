//! For a moment after a partition two servers take themselves for the leader of a stream. The one that is none stores
//! nothing, but refuses from what it knew; and its answer may come first.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tidings_bus::{Append, ErrorKind, Fence};
use tidings_test_support::{NatsServer, newest_nats};

use crate::checker::servers::connect;

/// What a leader of before would answer: that the fence is elsewhere, to whoever commits and whoever asks.
async fn old_leader(server: &NatsServer, room: &str, owner: &str) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let refused = json!({"error": {"code": 400, "err_code": 10_071, "description": "wrong last sequence: 1"},
        "stream": "w_EVENTS", "seq": 0});
    let last = json!({"type": "io.nats.jetstream.api.v1.stream_msg_get_response",
        "message": {"subject": owner, "seq": 1, "time": "2026-11-20T10:00:00Z"}});
    for (subject, answer) in [(room, refused), ("$JS.API.STREAM.MSG.GET.w_EVENTS", last)] {
        let mut heard = client.subscribe(subject.to_owned()).await.unwrap();
        let (client, answer) = (client.clone(), Bytes::from(answer.to_string()));
        tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                if let Some(reply) = message.reply {
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
    for server in &servers {
        old_leader(server, room.as_str(), owner.as_str()).await;
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
    assert_eq!(both, 0, "fenced means that nothing was stored");
    assert_eq!(confirmed, stored);
}
