//! What ends a socket at one edge comes from another, or from the edge's own end.

use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::Method;
use rustix::process::Signal;
use tidings_client::frames::ServerFrame;
use tidings_test_support::Player;

use crate::harness::{Away, Cluster, said, sent_away, signal};

#[tokio::test]
async fn a_kick_a_ban_and_a_sign_out_act_at_the_other_edge_within_a_second() -> Result<()> {
    let cluster = Cluster::start()?;
    drop(cluster.player(0, "Ann").await?);
    cluster.run(&["user", "role", "ann-account", "--role", "admin"])?;
    let session = cluster.edges[0].api().sign_in("ann-account", "correct horse Ann").await?;
    let mut ann = Player::enter(&cluster.edges[0].api(), session, Some("Ann")).await?;
    let mut others = Vec::new();
    for name in ["Ben", "Cat", "Dan", "Eve"] {
        others.push(cluster.player(1, name).await?);
    }
    let [mut ben, mut cat, mut dan, mut eve] = <[Player; 4]>::try_from(others).map_err(drop).expect("four");
    ann.hears("Eve has joined the world.").await?;

    let since = Instant::now();
    ann.does("kick Ben").await?;
    assert_eq!(sent_away(&mut ben, since).await?.code, 4004);
    ann.hears("Ben has left the world.").await?;

    let since = Instant::now();
    ann.does("ban Cat").await?;
    assert!(!sent_away(&mut cat, since).await?.reconnect);
    // Her socket ends with the zone's commit; storage has the ban a moment later.
    while cluster.edges[1].api().sign_in("cat-account", "correct horse Cat").await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(1), "she may still sign in");
    }

    cluster.run(&["user", "ban", "dan-account", "--reason", "Shouting."])?;
    assert_eq!(sent_away(&mut dan, Instant::now()).await?.reason, "Shouting.");

    // Signed out at the edge that she is not at.
    let bearer = format!("Bearer {}", eve.session.access_token);
    let since = Instant::now();
    let api = cluster.edges[0].api();
    let answer = api.send(Method::DELETE, "/api/v1/session", &[("authorization", &bearer)], None).await?;
    assert_eq!(answer.status, 204);
    assert_eq!(sent_away(&mut eve, since).await?.code, 4003);
    ann.hears("Eve has left the world.").await?;
    Ok(())
}

#[tokio::test]
async fn a_sign_in_at_the_other_edge_takes_over() -> Result<()> {
    let cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(0, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    let since = Instant::now();
    let mut again = Player::enter(&cluster.edges[1].api(), ann.session.clone(), Some("Ann")).await?;
    assert_eq!(sent_away(&mut ann, since).await?.code, 4001);
    assert_eq!(again.does("say still me").await?, "You say: still me");
    ben.hears("Ann says: still me").await?;
    ben.does_not_hear("Ann's connection is lost.").await?;
    Ok(())
}

#[tokio::test]
async fn who_is_at_an_edge_that_is_killed_is_link_lost_and_comes_back_by_the_other() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    ann.does("say before").await?;
    ben.hears("Ann says: before").await?;
    let away = Away::of(ben);
    cluster.edges[1].kill()?;
    ann.does("say one").await?;
    // The edge's lease lapses.
    let lost = |frame: &ServerFrame| matches!(frame, ServerFrame::Event(event) if event.text == "Ben's connection is lost.");
    ann.connection.find(lost, Duration::from_secs(20)).await?;
    assert!(ann.does("who").await?.contains("(link lost)"));
    for line in ["two", "three"] {
        ann.does(&format!("say {line}")).await?;
    }
    let mut ben = away.back(&cluster.edges[0]).await?;
    ann.hears("Ben is back.").await?;
    assert_eq!(said(&mut ben, "Ann").await, ["one", "two", "three"]);
    assert_eq!(ben.does("say here again").await?, "You say: here again");
    ann.hears("Ben says: here again").await?;
    Ok(())
}

#[tokio::test]
async fn an_edge_that_was_taken_for_dead_and_lives_keeps_its_people() -> Result<()> {
    let cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    signal(&cluster.edges[0], Signal::STOP)?;
    // A lease and a third, as the zone sees it.
    let lost = |frame: &ServerFrame| matches!(frame, ServerFrame::Event(event) if event.text == "Ann's connection is lost.");
    ben.connection.find(lost, Duration::from_secs(20)).await?;
    ben.does("say while you were away").await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    signal(&cluster.edges[0], Signal::CONT)?;
    ben.hears("Ann is back.").await?;
    // By the same socket, and nothing was missed.
    ann.hears("Ben says: while you were away").await?;
    assert_eq!(ann.does("say here all the time").await?, "You say: here all the time");
    ben.hears("Ann says: here all the time").await?;
    assert!(!ben.does("who").await?.contains("link lost"));
    Ok(())
}

#[tokio::test]
async fn an_edge_that_stops_sends_its_people_to_the_other() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    let mut stopping = cluster.edges.pop().expect("the second");
    let stopped = tokio::task::spawn_blocking(move || stopping.stop());
    let bye = sent_away(&mut ben, Instant::now()).await?;
    assert_eq!((bye.code, bye.reconnect), (4500, true));
    let away = Away::of(ben);
    ann.hears("Ben's connection is lost.").await?;
    ann.does("say meanwhile").await?;
    let mut ben = away.back(&cluster.edges[0]).await?;
    assert_eq!(said(&mut ben, "Ann").await, ["meanwhile"]);
    stopped.await??;
    Ok(())
}
