//! An edge goes down for an upgrade: everyone is told when to come back, comes back elsewhere and has missed nothing.

use std::time::Duration;

use tidings_client::Connection;
use tidings_client::frames::ServerFrame;
use tidings_edge::EdgeConfig;
use tidings_edge::limits::Rates;
use tidings_protocol::ErrorCode;
use tidings_test_support::Player;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{House, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_away_comes_back_on_another_edge_and_has_missed_nothing() {
    let mut house = House::new().await;
    let (other, api) = house.another_edge("edge-2").await;
    let ann = house.player("Ann").await;
    let session = house.api.sign_in("ann-account", "correct horse Ann").await.unwrap();
    house.api.create_character(&session, "Ben").await.unwrap();
    let mut ben = Player::enter(&api, session, Some("Ben")).await.unwrap();
    let draining = tokio::spawn(house.edge.take().unwrap().drain(Duration::from_secs(10)));
    let Player { name, session, mut connection, state } = ann;
    loop {
        if let ServerFrame::Bye(bye) = connection.next().await.unwrap() {
            assert_eq!((bye.code, bye.reconnect), (4500, true));
            break;
        }
    }
    draining.await.unwrap();
    ben.hears("Ann's connection is lost.").await.unwrap();
    ben.does("say while you were away").await.unwrap();
    let (_, secret, position) = connection.resume_point();
    let connection = Connection::resume(api.address(), &secret, Some(position)).await.unwrap();
    assert!(connection.welcome().recovered);
    let mut ann = Player { name, session, connection, state };
    ann.hears("Ben says: while you were away").await.unwrap();
    ben.hears("Ann is back.").await.unwrap();
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_sent_away_come_back_spread_over_a_while() {
    let mut house = House::new().await;
    let spread = EdgeConfig::default().session.drain_spread;
    let mut crowd = Vec::new();
    for _ in 0..16 {
        crowd.push(Player::guest(&house.api).await.unwrap());
    }
    // A socket that has not said who it is goes too.
    let mut silent = tokio::net::TcpStream::connect(house.api.address()).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        house.api.address()
    );
    silent.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = [0; 4096];
    assert!(silent.read(&mut bytes).await.unwrap() > 0, "101");
    let draining = tokio::spawn(house.edge.take().unwrap().drain(Duration::from_secs(10)));
    let mut waits = Vec::new();
    for player in &mut crowd {
        let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(_));
        match player.connection.find(bye, Duration::from_secs(10)).await.unwrap() {
            ServerFrame::Bye(bye) => {
                assert_eq!((bye.code, bye.reconnect), (4500, true));
                waits.push(Duration::from_millis(bye.after_ms));
            }
            _ => unreachable!(),
        }
    }
    drop(crowd);
    waits.sort_unstable();
    assert!(waits[waits.len() - 1] < spread && waits[waits.len() / 2] > spread / 4, "{waits:?}");
    assert!(waits.windows(2).filter(|pair| pair[0] == pair[1]).count() <= waits.len() / 2, "{waits:?}");
    let count = silent.read(&mut bytes).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes[..count]).contains(r#""code":4500"#));
    drop(silent);
    draining.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_commands_are_refused_with_the_time_to_wait() {
    let rates = Rates { commands_per_minute: 60, burst: 5, ..Setup::default().rates };
    let house = House::with(Setup { rates, ..Setup::default() }).await;
    let mut ann = house.player("Ann").await;
    for _ in 0..8 {
        ann.connection.start("say hi").await.unwrap();
    }
    let wanted = |frame: &ServerFrame| matches!(frame, ServerFrame::Error(_));
    let Ok(ServerFrame::Error(error)) = ann.connection.find(wanted, Duration::from_secs(10)).await else {
        panic!("nothing was refused");
    };
    assert_eq!(error.code, ErrorCode::RateLimited);
    assert!(error.id.is_some() && error.retry_after_ms.is_some_and(|wait| (1..=2_000).contains(&wait)));
}
