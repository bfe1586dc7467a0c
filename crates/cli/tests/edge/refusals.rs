//! What is refused, each by name, and what a reader who does not read costs: itself, and nobody else.

use std::time::Duration;

use tidings_client::frames::{Bye, ErrorFrame, ServerFrame};
use tidings_client::{Connection, Error};
use tidings_edge::EdgeConfig;
use tidings_protocol::ErrorCode;

use crate::harness::{House, Setup};

/// More refused frames within a minute than an edge forgives.
const MORE_THAN_IS_FORGIVEN: usize = 40;

async fn error_or_bye(connection: &mut Connection) -> Result<ErrorFrame, Bye> {
    loop {
        match connection.next_within(Duration::from_secs(10)).await.unwrap() {
            ServerFrame::Error(error) => return Ok(error),
            ServerFrame::Bye(bye) => return Err(bye),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_of_characters_the_limit_of_bytes_is_named() {
    let mut setup = Setup::default();
    setup.config.limits.command_chars = 0;
    let house = House::with(setup).await;
    let mut ann = house.player("Ann").await;
    let long = format!(r#"{{"type":"command","id":"long","text":"say {}"}}"#, "x".repeat(9_300));
    ann.connection.send_raw(&long).await.unwrap();
    let error = error_or_bye(&mut ann.connection).await.unwrap();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::TooLarge, "Too long: at most 9216 bytes."));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_are_refused_by_name_and_the_session_goes_on() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let cases = [
        (r#"{"type":"dance"}"#, "dance"),
        (r#"{"type":"ping","colour":"red"}"#, "colour"),
        (r#"{"type":"ping","id":"a","id":"b"}"#, "id"),
        (r#"{"type":"command","id":"","text":"look"}"#, "id"),
        ("{", "JSON"),
        (r#"{"type":"state","what":NaN}"#, "JSON"),
    ];
    for (frame, named) in cases {
        ann.connection.send_raw(frame).await.unwrap();
        let error = error_or_bye(&mut ann.connection).await.unwrap();
        assert_eq!(error.code, ErrorCode::BadFrame);
        assert!(error.message.contains(named), "{frame}: {}", error.message);
    }
    let long = format!(r#"{{"type":"command","id":"long","text":"say {}"}}"#, "x".repeat(2_300));
    ann.connection.send_raw(&long).await.unwrap();
    let error = error_or_bye(&mut ann.connection).await.unwrap();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::TooLarge, "Too long: at most 2200 characters.")
    );
    assert_eq!(ann.does("say still here").await.unwrap(), "You say: still here");
    for _ in 0..MORE_THAN_IS_FORGIVEN {
        let _ = ann.connection.send_raw("[]").await;
    }
    let bye = loop {
        if let Err(bye) = error_or_bye(&mut ann.connection).await {
            break bye;
        }
    };
    assert_eq!(bye.code, 4007);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_frame_ends_the_connection() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    ann.connection.send_raw(&"x".repeat(20_000)).await.unwrap();
    loop {
        match ann.connection.next_within(Duration::from_secs(10)).await {
            Ok(_) => {}
            Err(Error::Timeout(_)) => panic!("the connection stayed"),
            Err(_) => break,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_secrets_tickets_and_characters_are_refused() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let ben = house.player("Ben").await;
    let address = house.api.address();
    let cases = [
        r#"{"type":"hello","token":"forged","character":"Ann"}"#.to_owned(),
        r#"{"type":"hello","ticket":"forged","csrf":"forged"}"#.to_owned(),
        r#"{"type":"hello"}"#.to_owned(),
        r#"{"type":"hello","resume":{"secret":"forged"}}"#.to_owned(),
        format!(r#"{{"type":"hello","token":"{}","character":"Ann"}}"#, ben.session.access_token),
    ];
    for hello in cases {
        let frame = serde_json::from_str(&hello).unwrap();
        match Connection::open(address, &frame).await {
            Err(Error::Refused(_) | Error::Bye(_)) => {}
            Err(other) => panic!("{hello}: {other}"),
            Ok(_) => panic!("{hello} was let in"),
        }
    }
    drop((ann, ben));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_does_not_read_is_sent_away_and_the_others_hear_everything() {
    let mut config = EdgeConfig { shards: 1, ..EdgeConfig::default() };
    config.limits.outbox_bytes = 64 * 1024;
    let house = House::with(Setup { config, ..Setup::default() }).await;
    let mut ann = house.player("Ann").await;
    let stuck = house.player("Stuck").await;
    let mut ben = house.player("Ben").await;
    // As often as it takes until sockets hold no more: those who read hear each, and set the pace.
    let mut said = 0;
    while house.sessions() == 3 {
        assert!(said < 2_000, "a reader that never reads is still there");
        house.long_event("event.done").await;
        said += 1;
        let next =
            |frame: &ServerFrame| matches!(frame, ServerFrame::Event(event) if event.kind == "event.done");
        for reader in [&mut ann, &mut ben] {
            reader.connection.find(next, Duration::from_secs(20)).await.unwrap();
        }
    }
    assert!(said > 10, "nobody is sent away while the sockets take it: {said}");
    ann.does("say the end").await.unwrap();
    ben.hears("Ann says: the end").await.unwrap();
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_frames_ends_the_connection() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    for _ in 0..3_000 {
        if ann.connection.send_raw(r#"{"type":"ping"}"#).await.is_err() {
            break;
        }
    }
    let bye = loop {
        if let ServerFrame::Bye(bye) = ann.connection.next_within(Duration::from_secs(10)).await.unwrap() {
            break bye;
        }
    };
    assert_eq!((bye.code, bye.reconnect), (4008, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn welcome_names_the_limits_as_the_configuration_does() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let page = include_str!("../../../../docs/configuration.md");
    let limits = &ann.connection.welcome().limits;
    assert!(limits.contains_key("frame_bytes") && limits.contains_key("command_chars"));
    for (name, value) in limits {
        assert!(value.is_u64() && page.contains(&format!("| `limits.{name}` |")), "{name}: {value}");
    }
}
