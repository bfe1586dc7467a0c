//! Several at once for one character, and ends that come while somebody joins: one connection is left, or none, and
//! every other is told why.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message as _;
use tidings_client::frames::{ClientFrame, ServerFrame};
use tidings_client::{Connection, Error};
use tidings_protocol::proto::services::v1::{RevokeReply, RevokeRequest, SessionControl};
use tidings_service::{Caller, Subjects};

use crate::harness::House;

const AT_ONCE: usize = 12;

/// Waits until so many sockets are left.
async fn sockets(house: &House, left: usize) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let counts = house.counts().await;
        if counts.connections == left && house.sessions() == left {
            return;
        }
        assert!(Instant::now() < until, "{counts:?} where {left} should be left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the connection is still there; else it ended by a `bye` of this code.
async fn is_there(connection: &mut Connection, code: u16) -> bool {
    if connection.send_raw(r#"{"type":"ping","id":"there"}"#).await.is_err() {
        return false;
    }
    loop {
        match connection.next_within(Duration::from_secs(10)).await {
            Ok(ServerFrame::Pong { .. }) => return true,
            Ok(ServerFrame::Bye(bye)) => {
                assert_eq!(bye.code, code);
                return false;
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Waits for a `bye` of this code.
async fn is_sent_away(connection: &mut Connection, code: u16) {
    loop {
        if let ServerFrame::Bye(bye) = connection.next_within(Duration::from_secs(10)).await.unwrap() {
            return assert_eq!(bye.code, code);
        }
    }
}

async fn one_is_left(house: &House, hellos: Vec<ClientFrame>) {
    let address = house.api.address();
    let opening = hellos.into_iter().map(|hello| {
        tokio::spawn(async move {
            let opened = tokio::time::timeout(Duration::from_secs(20), Connection::open(address, &hello));
            opened.await.expect("an answer, whatever it is")
        })
    });
    let mut open = Vec::new();
    for opening in opening.collect::<Vec<_>>() {
        match opening.await.unwrap() {
            Ok(connection) => open.push(connection),
            Err(Error::Bye(bye)) => assert!([4001, 4006].contains(&bye.code), "{bye:?}"),
            Err(Error::Refused(_) | Error::Closed) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let mut there = 0;
    for connection in &mut open {
        there += usize::from(is_there(connection, 4001).await);
    }
    assert_eq!(there, 1, "of {}", open.len());
    sockets(house, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_sign_in_at_once_one_is_left() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let token = ann.session.access_token.clone();
    for _ in 0..4 {
        let hello = ClientFrame::Hello {
            token: Some(token.clone()),
            ticket: None,
            csrf: None,
            character: Some("Ann".to_owned()),
            resume: None,
        };
        one_is_left(&house, vec![hello; AT_ONCE]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_while_it_joins_does_not_come_in() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let account = house.account("Ann").await.to_string();
    let (address, secret, position) = ann.connection.resume_point();
    house.between.asked();
    house.between.silence("cmd.zone.town", true);
    let joining =
        tokio::spawn(async move { Connection::resume(address, &secret, Some(position)).await.map(drop) });
    // The session is open again, and the zone is asked for the character.
    house.between.until_asked("cmd.zone.town").await;
    let revoke = RevokeRequest { account, ..RevokeRequest::default() };
    let caller = Caller::new(house.bus.clone());
    let revoked: RevokeReply =
        caller.call("session", "revoke", &revoke, Duration::from_secs(5)).await.unwrap();
    assert_eq!(revoked.revoked, 1);
    house.between.silence("cmd.zone.town", false);
    match joining.await.unwrap() {
        Err(Error::Bye(bye)) => assert_eq!((bye.code, bye.reconnect), (4003, false)),
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("it was let in"),
    }
    drop(ann); // whose socket was taken over
    sockets(&house, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_comes_late_ends_no_later_sign_in() {
    let house = House::new().await;
    let (mut ann, mut ben) = (house.player("Ann").await, house.player("Ben").await);
    let opened = ann.connection.welcome().session.unix_ms() as i64;
    let topic = Subjects(house.bus.registry()).control("sessions").unwrap();
    let revoke = async |account: &str, all: bool, made_ms: i64| {
        let account = account.to_owned();
        let control = SessionControl { account, all, made_ms, code: 4003, ..SessionControl::default() };
        house.bus.publish(&topic, control.encode_to_vec().into(), Vec::new()).await.unwrap();
    };
    let (ann_id, ben_id) = (house.account("Ann").await.to_string(), house.account("Ben").await.to_string());
    revoke(&ann_id, false, opened - 1).await;
    revoke("", true, opened - 1).await;
    // One after the other: when Ben is out, what was said of Ann is here.
    revoke(&ben_id, false, opened + 60_000).await;
    is_sent_away(&mut ben.connection, 4003).await;
    assert_eq!(ann.does("say still here").await.unwrap(), "You say: still here");
    revoke(&ann_id, false, opened).await;
    is_sent_away(&mut ann.connection, 4003).await;
    drop((ann, ben));
    sockets(&house, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_more_than_a_hello_at_once_is_refused_that_and_comes_in() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let hello = format!(r#"{{"type":"hello","token":"{}","character":"Ann"}}"#, ann.session.access_token);
    let address = house.api.address();
    let types = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut eager = head.into_bytes();
        let command = format!(r#"{{"type":"command","id":"1","text":"say {}"}}"#, "x".repeat(200));
        for text in [hello, command] {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            eager.extend_from_slice(&[&[0x81, 0xfe][..], &length, &[0; 4], text.as_bytes()].concat());
        }
        socket.write_all(&eager).unwrap();
        let mut read = String::new();
        while !read.contains(r#""type":"state""#) && !read.contains(r#""type":"bye""#) {
            let mut bytes = [0; 4096];
            let count = socket.read(&mut bytes).unwrap();
            assert!(count > 0, "{read}");
            read.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        let types = read.split(r#"{"type":""#).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        types.collect::<Vec<_>>()
    });
    let types = types.await.unwrap();
    assert_eq!(types[..3], ["error", "welcome", "state"]);
}
