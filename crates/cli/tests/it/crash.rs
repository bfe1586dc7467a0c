//! The server is killed without warning in the middle of talk, again and again: what was confirmed is there, once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tidings_client::frames::ServerFrame;
use tidings_client::{Api, Connection, SignedIn};
use tidings_test_support::Player;

use super::server;

/// How long one stretch of talk lasts before the server is killed.
const TALK: Duration = Duration::from_millis(400);
/// How often it is killed.
const KILLS: usize = 5;

/// Talks until the connection breaks or the time is over; gives the lines whose confirmation was seen.
async fn talk(connection: &mut Connection, round: usize) -> Vec<String> {
    let mut confirmed = Vec::new();
    let until = Instant::now() + TALK;
    for n in 0.. {
        let line = format!("line {round}-{n}");
        match connection.command(&format!("say {line}")).await {
            Ok(reply) if reply.ok => confirmed.push(line),
            _ => break,
        }
        if Instant::now() > until {
            break;
        }
    }
    confirmed
}

async fn come_back(api: &Api, session: &SignedIn) -> Result<Player> {
    for _ in 0..50 {
        if let Ok(player) = Player::enter(api, session.clone(), Some("Ann")).await {
            return Ok(player);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("Ann cannot enter again")
}

#[tokio::test]
async fn what_was_confirmed_is_in_the_history_once_after_each_kill() -> Result<()> {
    let mut server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut confirmed = Vec::new();
    for round in 0..KILLS {
        let talking = async {
            let lines = talk(&mut ann.connection, round).await;
            (lines, ann)
        };
        let (lines, before) = tokio::join!(talking, async {
            tokio::time::sleep(TALK / 2).await;
        })
        .0;
        server.kill()?;
        confirmed.extend(lines);
        server.restart()?;
        ann = come_back(&server.api(), &before.session).await.context("after a kill")?;
    }
    assert!(confirmed.len() > KILLS, "too few lines to say anything: {}", confirmed.len());
    let wanted = confirmed.len().min(400);
    let history = ann.does("channel history say 500").await?;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in history.lines() {
        if let Some(at) = line.find("line ") {
            *seen.entry(&line[at..]).or_default() += 1;
        }
    }
    for line in &confirmed[confirmed.len() - wanted..] {
        assert_eq!(seen.get(line.as_str()), Some(&1), "'{line}' of\n{history}");
    }
    assert!(seen.values().all(|count| *count == 1));
    Ok(())
}

#[tokio::test]
async fn after_a_restart_everyone_is_where_they_were_and_can_resume() -> Result<()> {
    let mut server = server().start()?;
    let api = server.api();
    let mut ann = Player::new(&api, "Ann").await?;
    let mut ben = Player::new(&api, "Ben").await?;
    ann.does("mute Ben").await?;
    ben.does("east").await?;
    ben.sees_room().await?;
    ben.does("north").await?;
    ben.sees_room().await?;
    ann.lines().await;
    let (address, secret, position) = ben.connection.resume_point();
    let point = ann.connection.resume_point();
    server.kill()?;
    server.restart()?;

    let mut ben = Connection::resume(address, &secret, Some(position)).await.context("Ben resumes")?;
    assert!(ben.welcome().recovered, "{:?}", ben.welcome().reason);
    let ServerFrame::State(state) =
        ben.find(|frame| matches!(frame, ServerFrame::State(_)), Duration::from_secs(10)).await?
    else {
        bail!("no state")
    };
    assert_eq!(state.body["room"]["name"], "Glade");
    let mut ann = Connection::resume(point.0, &point.1, Some(point.2)).await.context("Ann resumes")?;
    assert!(ann.welcome().recovered);
    ben.command("global hello").await?;
    let heard = ann
        .find(
            |frame| matches!(frame, ServerFrame::Event(e) if e.text.contains("hello")),
            Duration::from_millis(500),
        )
        .await;
    assert!(heard.is_err(), "Ann hears Ben, whom she muted before the restart");
    assert!(
        Connection::resume(address, &secret, None).await.is_ok(),
        "the one before is valid until the new is used"
    );
    Ok(())
}
