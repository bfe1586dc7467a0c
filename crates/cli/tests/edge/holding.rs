//! What the edge cannot deliver as promised it does not deliver otherwise: it holds it back for a moment, then sends
//! the client away to come back for it; and it finds those who are no longer there.

use std::time::{Duration, Instant};

use tidings_client::Connection;
use tidings_client::frames::{Bye, ServerFrame};
use tidings_edge::EdgeConfig;
use tidings_test_support::Player;

use crate::harness::{House, Setup};

const MUTES: &str = "svc.moderation.v1.mutes";

/// The `bye` that comes within ten seconds, and the lines before it.
async fn sent_away(player: &mut Player) -> (Bye, Vec<String>) {
    let mut lines = Vec::new();
    loop {
        match player.connection.next_within(Duration::from_secs(10)).await.unwrap() {
            ServerFrame::Bye(bye) => return (bye, lines),
            ServerFrame::Event(event) => lines.push(event.text),
            _ => {}
        }
    }
}

async fn back(player: Player) -> Player {
    let (address, secret, position) = player.connection.resume_point();
    let Player { name, session, connection, state } = player;
    drop(connection);
    let connection = Connection::resume(address, &secret, Some(position)).await.unwrap();
    assert!(connection.welcome().recovered, "{:?}", connection.welcome().reason);
    Player { name, session, connection, state }
}

/// Ann, whose mutes are not known any more, and Ben.
async fn unknown(house: &House) -> (Player, Player) {
    let mut ann = house.player("Ann").await;
    let ben = house.player("Ben").await;
    ann.hears("Ben has joined the world.").await.unwrap();
    ann.lines().await;
    house.between.silence(MUTES, true);
    house.mutes_changed(&house.account("Ann").await.to_string()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    (ann, ben)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_wait_while_mutes_are_not_known_and_come_when_they_are() {
    let house = House::new().await;
    let (mut ann, mut ben) = unknown(&house).await;
    ben.does("say held back").await.unwrap();
    ann.does_not_hear("Ben says: held back").await.unwrap();
    house.between.silence(MUTES, false);
    ann.hears("Ben says: held back").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_two_seconds_the_client_is_sent_to_come_back_and_misses_nothing() {
    let house = House::new().await;
    let (mut ann, mut ben) = unknown(&house).await;
    let since = Instant::now();
    ben.does("say held back").await.unwrap();
    let (bye, lines) = sent_away(&mut ann).await;
    assert_eq!((bye.code, bye.reconnect, lines), (4503, true, vec![]));
    let held = since.elapsed();
    assert!(held > Duration::from_millis(1_500) && held < Duration::from_secs(4), "{held:?}");
    house.between.silence(MUTES, false);
    back(ann).await.hears("Ben says: held back").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_held_back_than_64_kib() {
    let house = House::new().await;
    let (mut ann, mut ben) = unknown(&house).await;
    let since = Instant::now();
    let line = "x".repeat(490);
    let mut said = 0;
    while house.sessions() == 2 {
        ben.does(&format!("say {line}")).await.unwrap();
        said += 1;
    }
    let (bye, lines) = sent_away(&mut ann).await;
    assert_eq!((bye.code, bye.reconnect, lines), (4503, true, vec![]));
    // 64 KiB of lines of some 1,250 bytes, and not the two seconds, were the bound.
    assert!((40..80).contains(&said) && since.elapsed() < Duration::from_secs(2), "{said} lines");
    house.between.silence(MUTES, false);
    let heard = back(ann).await.lines().await;
    assert_eq!(heard.iter().filter(|heard| heard.ends_with(&line)).count(), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_log_with_a_hole_comes_back_to_a_fresh_state() {
    // It is told of the hole.
    let house = House::at_one_edge().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    ann.hears("Ben has joined the world.").await.unwrap();
    ben.does("say before").await.unwrap();
    ann.hears("Ben says: before").await.unwrap();
    let (address, secret, position) = ann.connection.resume_point();
    ben.does("say lost").await.unwrap();
    let log = house.log("room.town_hall");
    let last = house.bus.last(&log).await.unwrap().unwrap().seq;
    house.bus.trim(&log, last).await.unwrap();
    house.between.hole(log, position.seq, last + 1);
    for player in [&mut ann, &mut ben] {
        let (bye, _) = sent_away(player).await;
        assert_eq!((bye.code, bye.reconnect), (4504, true));
    }
    let mut ben = back(ben).await; // who was told everything before the hole misses nothing
    let connection = Connection::resume(address, &secret, Some(position)).await.unwrap();
    let welcome = connection.welcome();
    assert_eq!((welcome.recovered, welcome.reason.as_deref()), (false, Some("too_old")));
    let Player { name, session, state, .. } = ann;
    let mut ann = Player { name, session, connection, state };
    assert_eq!(ann.sees_room().await.unwrap().body["room"]["id"], "town_hall");
    ben.does("say after").await.unwrap();
    ann.hears("Ben says: after").await.unwrap();
    assert!(!ann.lines().await.contains(&"Ben says: lost".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nothing_is_heard_of_is_closed() {
    let mut config = EdgeConfig { shards: 1, ..EdgeConfig::default() };
    config.session.stale = Duration::from_secs(2);
    let house = House::with(Setup { config, ..Setup::default() }).await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    let since = Instant::now();
    let pinging = tokio::spawn(async move {
        for _ in 0..20 {
            ben.connection.send_raw(r#"{"type":"ping"}"#).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ben
    });
    let (bye, _) = sent_away(&mut ann).await;
    assert_eq!((bye.code, bye.reconnect), (4502, true));
    let heard_of = since.elapsed();
    assert!(heard_of > Duration::from_millis(1_500) && heard_of < Duration::from_secs(4), "{heard_of:?}");
    let mut ben = pinging.await.unwrap();
    assert_eq!(ben.does("say still here").await.unwrap(), "You say: still here");
    assert_eq!(house.sessions(), 1);
}
