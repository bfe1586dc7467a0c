//! What should not be sent, over a real socket: refused by name, and nobody else notices.

use anyhow::Result;
use tidings_client::frames::{ClientFrame, ServerFrame};
use tidings_client::{Connection, Error};
use tidings_protocol::ErrorCode;
use tidings_test_support::Player;

use super::server;

/// More bad frames than a client is forgiven.
const BAD_FRAMES: usize = 100;

/// The error frame that answers a raw frame; `None` where the server closed instead.
async fn refused(connection: &mut Connection, raw: &str) -> Result<Option<ErrorCode>> {
    if connection.send_raw(raw).await.is_err() {
        return Ok(None);
    }
    loop {
        match connection.next_within(std::time::Duration::from_secs(5)).await {
            Ok(ServerFrame::Error(error)) => return Ok(Some(error.code)),
            Ok(_) => {}
            Err(Error::Closed | Error::Connection(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test]
async fn bad_frames_are_refused_and_others_talk_on() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    let deep = format!("{}{}", "[".repeat(50), "]".repeat(50));
    let long = format!(r#"{{"type":"command","id":"x","text":"{}"}}"#, "x".repeat(3000));
    let cases = [
        "{}".to_owned(),
        "not json".to_owned(),
        r#"{"type":"shout","text":"hello"}"#.to_owned(),
        r#"{"type":"command","id":"a","text":"look","from":"Ben"}"#.to_owned(),
        r#"{"type":"command","id":"a","id":"b","text":"look"}"#.to_owned(),
        r#"{"type":"command","id":"","text":"look"}"#.to_owned(),
        r#"{"type":"command","id":7,"text":"look"}"#.to_owned(),
        deep,
        long,
    ];
    for raw in cases {
        let code = refused(&mut ann.connection, &raw).await?;
        assert!(code.is_some(), "closed by {raw}");
        if let Err(error) = ann.does("say still here").await {
            panic!("after {raw}: {error:#}");
        }
        ben.hears("Ann says: still here").await?;
        // Bad frames are counted by connection: each case has one of its own.
        ann = ann.reconnect().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_on_with_bad_frames_is_sent_away_alone() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    for _ in 0..BAD_FRAMES {
        if ann.connection.send_raw("not json").await.is_err() {
            break;
        }
    }
    let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(bye) if bye.code == 4007);
    ann.connection.find(bye, std::time::Duration::from_secs(5)).await?;
    ben.does("say still here").await?;
    Ok(())
}

#[tokio::test]
async fn a_second_hello_is_refused_and_changes_nothing() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let code = refused(&mut ann.connection, r#"{"type":"hello","token":"again"}"#).await?;
    assert!(code.is_some(), "closed by a second hello");
    assert_eq!(ann.does("say still me").await?, "You say: still me");
    Ok(())
}

#[tokio::test]
async fn what_players_type_is_text_and_nothing_else() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    for text in ["<script>alert(1)</script>", "room.*.log > player.>", "{name} {message}", "a\\\"b"] {
        assert_eq!(ann.does(&format!("say {text}")).await?, format!("You say: {text}"));
        ben.hears(&format!("Ann says: {text}")).await?;
    }
    // Control characters and changes of direction do not reach a terminal.
    let reply = ann.connection.command("say \u{1b}[31mred\u{7} \u{202e}drow").await?;
    assert!(!reply.text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", reply.text);
    Ok(())
}

#[tokio::test]
async fn nobody_enters_as_somebody_else() -> Result<()> {
    let server = server().start()?;
    let api = server.api();
    let ann = Player::new(&server.api(), "Ann").await?;
    let ben = Player::new(&server.api(), "Ben").await?;
    let as_ann = Connection::enter(&api, &ben.session, Some("Ann")).await;
    assert!(as_ann.is_err(), "Ben entered as Ann");

    let (address, secret, position) = ann.connection.resume_point();
    let mut forged = secret.clone();
    forged.pop();
    forged.push(if secret.ends_with('0') { '1' } else { '0' });
    for bad in ["", "x", "a.b", forged.as_str(), &"x".repeat(5000)] {
        let resumed = Connection::resume(address, bad, Some(position.clone())).await;
        assert!(resumed.is_err(), "resumed with {bad:?}");
    }
    let ticket = ClientFrame::Hello {
        token: None,
        ticket: Some("0".repeat(43)),
        csrf: Some("0".repeat(43)),
        character: None,
        resume: None,
    };
    assert!(Connection::open(address, &ticket).await.is_err());
    let used = api.ticket(&ben.session).await?;
    let hello = |csrf: &str| ClientFrame::Hello {
        token: None,
        ticket: Some(used.clone()),
        csrf: Some(csrf.to_owned()),
        character: Some("Ben".to_owned()),
        resume: None,
    };
    assert!(Connection::open(address, &hello("wrong")).await.is_err(), "a ticket with a wrong CSRF token");
    assert!(Connection::open(address, &hello(&ben.session.csrf_token)).await.is_err(), "a ticket used twice");
    Ok(())
}
