//! What a log on NATS holds to whoever writes and reads it: its form, one owner at a time, what is kept and what is told
//! of the rest.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tidings_bus::{
    Append, Bus, BusConfig, ErrorKind, Fence, Followed, From, Keep, Nats, NatsConfig, Retention, Subject,
};
use tidings_test_support::{NatsServer, newest_nats};

use crate::checker::registry;
use crate::checker::servers::{config, connect};

/// Deleted by somebody while a process runs: each call tells which stream, and that it is no election.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_is_told_by_its_name() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let mut hasty = config(&servers);
    hasty.bus.deadline = Duration::from_secs(2);
    let backend = Nats::connect(hasty, registry()).await.unwrap();
    let bus = Bus::new(backend, registry());
    let (room, leases) = (bus.registry().subject("room", &["a_b"]).unwrap(), bus.kv("leases").unwrap());
    bus.append(&room, Bytes::from("kept")).await.unwrap();
    leases.put("a", Bytes::from("kept"), None).await.unwrap();
    let client = async_nats::connect(servers[0].url()).await.unwrap();
    for stream in ["w_EVENTS", "KV_w_leases"] {
        client.request(format!("$JS.API.STREAM.DELETE.{stream}"), Bytes::new()).await.unwrap();
    }
    let one = Append { subject: room.clone(), payload: Bytes::from("x") };
    let told = [
        bus.append(&room, Bytes::from("x")).await.unwrap_err(),
        bus.commit(vec![one.clone(), one], Vec::new()).await.map(drop).unwrap_err(),
        leases.put("a", Bytes::from("x"), None).await.unwrap_err(),
    ];
    for (error, stream) in told.iter().zip(["w_EVENTS", "w_EVENTS", "KV_w_leases"]) {
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(stream), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_form_is_reported_and_not_changed() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, bus) = connect(&servers).await;
    let larger = NatsConfig { buckets: Vec::new(), ..config(&servers) };
    let mut larger = larger.bucket("leases", Keep::Durable);
    larger.buckets[0].keys_max = 7;
    for _ in 0..2 {
        let error = Nats::connect(larger.clone(), registry()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("max_msgs is 2000000, declared is 14"), "{error}");
    }
    let nobody = NatsConfig {
        bus: BusConfig { connect_wait: Duration::from_secs(1), ..BusConfig::default() },
        ..config(&[])
    }
    .server("nats://127.0.0.1:1");
    let error = Nats::connect(nobody, registry()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    drop(bus);
}

/// A ledger: stored under a fence and read back, and the server makes no copies of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_follows_no_copies_are_made() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let ledger = NatsConfig { follow: false, ..config(&servers) };
    let backend = Nats::connect(ledger.clone(), registry()).await.unwrap();
    let bus = Bus::new(backend, registry());
    let subject = |template, parameter| bus.registry().subject(template, &[parameter]).unwrap();
    let (owner, room) = (subject("owner", "z"), subject("room", "z_r"));
    let eavesdropper = async_nats::connect(servers[0].url()).await.unwrap();
    let mut everything = eavesdropper.subscribe("*.bus.live.>").await.unwrap();
    eavesdropper.flush().await.unwrap();

    let append = |subject: &Subject| Append { subject: subject.clone(), payload: Bytes::from_static(b"7") };
    let fence = |seq| vec![Fence { subject: owner.clone(), seq }];
    let mine = bus.commit(vec![append(&owner)], fence(0)).await.unwrap().last;
    bus.commit(vec![append(&room), append(&room)], fence(mine)).await.unwrap();
    assert_eq!(bus.read(std::slice::from_ref(&room), 0, 10).await.unwrap().len(), 2);
    let stale = bus.commit(vec![append(&room)], fence(mine + 1)).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Fenced, "{stale}");

    let mut set = bus.follow(&room, From::After(0));
    let refused = set.next().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config, "{refused}");
    let copy = tokio::time::timeout(Duration::from_millis(500), everything.next()).await;
    assert!(copy.is_err(), "{copy:?}");

    // Whoever wants to follow the same stream is told so, and the other way round.
    let followed = [NatsServer::start(newest_nats()).unwrap()];
    let (_backend, _bus) = connect(&followed).await;
    let late = NatsConfig { servers: config(&followed).servers, ..ledger };
    for (wanted, found) in [(config(&servers), "republish is null"), (late, "declared is null")] {
        let error = Nats::connect(wanted, registry()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains(found), "{error}");
    }
    bus.drain(Duration::from_secs(5)).await;
    assert_eq!(set.next().await.unwrap_err().kind(), ErrorKind::Closed);
}

/// An owner that writes many, each by itself, while another takes over: what is stored is from before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_under_way_nothing_comes_after_the_fence_moved() {
    const LINES: usize = 400;
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_one, first) = connect(&servers).await;
    let (_other, second) = connect(&servers).await;
    let mut in_part = 0;
    for round in 0..60 {
        let subject =
            |template, parameter: String| first.registry().subject(template, &[&parameter]).unwrap();
        let (owner, room) = (subject("owner", format!("z{round}")), subject("room", format!("z_r{round}")));
        let claim = || Append { subject: owner.clone(), payload: Bytes::from_static(b"me") };
        let fence = |seq| vec![Fence { subject: owner.clone(), seq }];
        let mine = first.commit(vec![claim()], fence(0)).await.unwrap().last;
        let line = |n: usize| Append { subject: room.clone(), payload: Bytes::from(n.to_string()) };
        let lines = (0..LINES).map(line).collect();
        // In a task of its own: sending the lines takes a thread for most of the time that storing them takes.
        let (other, claim, fenced) = (second.clone(), claim(), fence(mine));
        let claiming = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(round * 100)).await;
            other.commit(vec![claim], fenced).await.unwrap().last
        });
        let lines = first.commit_each(lines, fence(mine)).await;
        let theirs = claiming.await.unwrap();
        let stored = first.read(std::slice::from_ref(&room), 0, 1_000).await.unwrap();
        assert!(stored.iter().all(|line| line.seq < theirs), "{round}: a line of a late owner");
        let texts: Vec<_> =
            stored.iter().map(|line| String::from_utf8_lossy(&line.payload).into_owned()).collect();
        assert!(texts.iter().enumerate().all(|(n, text)| *text == n.to_string()), "{round}: {texts:?}");
        match lines {
            Ok(seqs) => assert_eq!(seqs.len(), stored.len()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                in_part += usize::from(!stored.is_empty() && stored.len() < LINES);
            }
        }
    }
    println!("{in_part} of 60 were stored in part");
    assert!(in_part > 0, "the fence never moved in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_one_commits() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let (_one, first) = connect(&servers).await;
    let (_other, second) = connect(&servers).await;
    let subject = |template, parameter: &str| first.registry().subject(template, &[parameter]).unwrap();
    let (owner, room) = (subject("owner", "z"), subject("room", "z_r"));
    let mut fence = 0;
    let mut stored = Vec::new();
    for round in 0..50 {
        // Both believe to own it at the same place; both take it, and write as if they had.
        let take = async |bus: &Bus, who: &str| {
            let own = Append { subject: owner.clone(), payload: Bytes::from(who.to_owned()) };
            let event = Append { subject: room.clone(), payload: Bytes::from(format!("{round} {who}")) };
            let batch = if round % 2 == 0 { vec![own, event] } else { vec![own] };
            bus.commit(batch, vec![Fence { subject: owner.clone(), seq: fence }]).await
        };
        let (one, other) = tokio::join!(take(&first, "one"), take(&second, "other"));
        let (winner, committed, loser) = match (one, other) {
            (Ok(committed), Err(error)) => ("one", committed, error),
            (Err(error), Ok(committed)) => ("other", committed, error),
            both => panic!("{both:?}"),
        };
        assert_eq!(loser.kind(), ErrorKind::Fenced, "{loser}");
        fence = committed.first;
        if round % 2 == 0 {
            stored.push(format!("{round} {winner}"));
        }
    }
    let found = first.read(&[room], 0, 1_000).await.unwrap();
    let found: Vec<_> = found.iter().map(|one| String::from_utf8(one.payload.to_vec()).unwrap()).collect();
    assert_eq!(found, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_is_a_hole() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let short = Retention { messages: None, age: Some(Duration::from_secs(2)) };
    let mut config = config(&servers);
    config.retention_rules.insert(0, ("room.*.log".to_owned(), short));
    // Small, so that nothing is answered from memory.
    config.tail_bytes = 200;
    let bus = Bus::new(Nats::connect(config, registry()).await.unwrap(), registry());
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let (room, zone) = (subject("room", "z_r"), subject("zone", "z"));
    for number in 1..=3 {
        bus.append(&room, Bytes::from(number.to_string())).await.unwrap();
        bus.append(&zone, Bytes::from("kept")).await.unwrap();
    }
    // Within the time nothing is missed, also where the place itself was trimmed.
    bus.trim(&zone, 2).await.unwrap();
    let mut set = bus.follow(&room, From::After(2));
    let first = tokio::time::timeout(Duration::from_secs(5), set.next()).await.unwrap().unwrap();
    assert!(matches!(first, Followed::Message(ref message) if message.seq == 3), "{first:?}");
    while !bus.read(std::slice::from_ref(&room), 0, 10).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing is left that could say so.
    let told = bus.retained_after(&room).await.unwrap();
    assert!((5..=6).contains(&told), "{told}");
    assert_eq!(bus.retained_after(&zone).await.unwrap(), 2, "what was trimmed, however old the rest");
    bus.append(&room, Bytes::from("later")).await.unwrap();
    bus.append(&zone, Bytes::from("kept")).await.unwrap();
    for (after, hole) in [(2, true), (6, false)] {
        let mut set = bus.follow(&room, From::After(after));
        let mut next = tokio::time::timeout(Duration::from_secs(5), set.next()).await.unwrap().unwrap();
        if hole {
            assert!(matches!(next, Followed::Hole { after: 2, first: 7, .. }), "{next:?}");
            next = tokio::time::timeout(Duration::from_secs(5), set.next()).await.unwrap().unwrap();
        }
        assert!(matches!(next, Followed::Message(ref message) if message.seq == 7), "{after}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_kept_to_its_count() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let few = Retention { messages: Some(10), age: None };
    let mut config = config(&servers);
    config.retention_rules.insert(0, ("room.*.log".to_owned(), few));
    (config.maintain_every, config.tail_bytes) = (Duration::from_millis(100), 200);
    let bus = Bus::new(Nats::connect(config, registry()).await.unwrap(), registry());
    let room = bus.registry().subject("room", &["z_r"]).unwrap();
    let zone = bus.registry().subject("zone", &["z"]).unwrap();
    for number in 1..=30 {
        bus.append(&room, Bytes::from(number.to_string())).await.unwrap();
    }
    for _ in 0..30 {
        bus.append(&zone, Bytes::from("until it is trimmed")).await.unwrap();
    }
    let begun = std::time::Instant::now();
    let kept = loop {
        let found = bus.read(std::slice::from_ref(&room), 0, 100).await.unwrap();
        // One in ten more than the count is no reason yet.
        if found.len() <= 11 {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{} are kept", found.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(kept.last().unwrap().seq, 30);
    let first = kept[0].seq;
    assert_eq!(bus.retained_after(&room).await.unwrap(), first - 1);
    let mut set = bus.follow(&room, From::After(1));
    let next = tokio::time::timeout(Duration::from_secs(5), set.next()).await.unwrap().unwrap();
    assert!(
        matches!(next, Followed::Hole { after: 1, first: told, .. } if told == first),
        "{next:?} {first}"
    );
    assert_eq!(bus.read(&[zone], 0, 100).await.unwrap().len(), 30);
}

/// A follower is made while the copy of the last message is on its way, and falls out of a small tail at once: what it
/// could have read from either, tail or stream, comes once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_at_the_edge_of_the_tail_hears_each_once() {
    let servers = [NatsServer::start(newest_nats()).unwrap()];
    let mut config = config(&servers);
    config.tail_bytes = 400;
    let bus = Bus::new(Nats::connect(config, registry()).await.unwrap(), registry());
    let subject = |template, parameter: &str| bus.registry().subject(template, &[parameter]).unwrap();
    let (room, other) = (subject("room", "z_r"), subject("room", "z_o"));
    for round in 0..300 {
        for _ in 0..3 {
            bus.append(&other, Bytes::from("x")).await.unwrap();
        }
        let mut set = bus.follow(&room, From::New);
        let _ = set.try_next();
        let mut expected = Vec::new();
        for number in 0..3 {
            expected.push(bus.append(&room, Bytes::from(format!("{round} {number}"))).await.unwrap());
        }
        let mut found = Vec::new();
        while let Ok(next) =
            tokio::time::timeout(Duration::from_millis(if found.len() < 3 { 5_000 } else { 10 }), set.next())
                .await
        {
            match next.unwrap() {
                Followed::Message(message) => found.push(message.seq),
                hole => panic!("{hole:?}"),
            }
        }
        assert_eq!(found, expected, "round {round}");
    }
}
