//! The process that keeps the world dies, or is taken down: a pause, or the end for all edges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tidings_bus::{Bus, Nats, NatsConfig};
use tidings_client::Connection;
use tidings_client::frames::ServerFrame;
use tidings_protocol::proto::services::v1::{
    AccountInfo, AccountRequest, CharacterList, CharacterName, CreateCharacterRequest, RegisterRequest,
};
use tidings_service::{Caller, declare_on_nats, subjects::registry};
use tidings_test_support::{NatsServer, Player, newest_nats};

use crate::harness::{Cluster, process, sent_away, signal};

#[tokio::test]
async fn a_killed_keeper_is_a_pause_and_nothing_confirmed_is_lost() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    for n in 0..20 {
        ann.does(&format!("say line {n}")).await?;
    }
    cluster.kill()?;
    let late = ann.connection.start("say line 20").await?;
    cluster.restart()?;
    // The sockets stayed; the command waited for the next owner.
    assert_eq!(ann.connection.reply(&late).await?.text, "You say: line 20");
    ben.hears("Ann says: line 20").await?;
    assert_eq!(ben.does("say still here").await?, "You say: still here");
    ann.hears("Ben says: still here").await?;
    let history = ben.does("channel history say 100").await?;
    for n in 0..=20 {
        let line = format!("Ann says: line {n}");
        assert_eq!(history.lines().filter(|shown| shown.ends_with(&line)).count(), 1, "{line} of {history}");
    }
    Ok(())
}

#[tokio::test]
async fn a_world_that_was_away_for_long_is_found_again_at_once() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    cluster.kill()?;
    // Long enough for every circuit to have opened again and again.
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        assert!(ann.connection.command("say too early").await.is_err());
    }
    cluster.restart()?;
    assert_eq!(ann.does("say there again").await?, "You say: there again");
    ben.hears("Ann says: there again").await?;
    tokio::time::sleep(AWAY).await;
    assert!(!ben.does("who").await?.contains("link lost"));
    Ok(())
}

/// Longer than any lease lives.
const AWAY: Duration = Duration::from_secs(12);

#[tokio::test]
async fn while_the_broker_is_away_the_world_waits_and_nobody_is_sent_away() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    ann.does("say before").await?;
    cluster.nats.kill()?;
    tokio::time::sleep(AWAY).await;
    cluster.nats.restart()?;
    let until = Instant::now() + Duration::from_secs(30);
    while !ann.connection.command("say after").await.is_ok_and(|reply| reply.ok) {
        ensure!(Instant::now() < until, "the world does not go on");
    }
    ben.hears("Ann says: after").await?;
    assert!(ben.does("who").await?.contains("Ann - Main Hall"));
    // Whoever were taken for dead would be by now.
    tokio::time::sleep(AWAY).await;
    ann.does("say still here").await?;
    ben.hears("Ann says: still here").await?;
    for player in [&mut ann, &mut ben] {
        let lines = player.lines().await;
        assert!(!lines.iter().any(|line| line.contains("connection is lost")), "{lines:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_was_restored_is_seen_and_no_position_of_before_is_believed() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    cluster.nats.kill()?;
    cluster.nats.keep_copy()?;
    cluster.nats.restart()?;
    let until = Instant::now() + Duration::from_secs(30);
    while !ann.connection.command("say forgotten").await.is_ok_and(|reply| reply.ok) {
        ensure!(Instant::now() < until, "the world does not go on");
    }
    let (_, secret, position) = ann.connection.resume_point();
    cluster.nats.kill()?;
    cluster.nats.go_back()?;
    cluster.nats.restart()?;
    // Each process ends, says why, and serves again when it is started again.
    for server in cluster.edges.iter_mut().chain([&mut cluster.world]) {
        assert!(!server.ended(Duration::from_secs(60))?.success());
    }
    cluster.restart()?;
    cluster.edges[1].restart()?;
    let back = Connection::resume(cluster.edges[1].address(), &secret, Some(position)).await?;
    assert_eq!((back.welcome().recovered, back.welcome().reason.as_deref()), (false, Some("epoch")));
    Ok(())
}

#[tokio::test]
async fn a_shutdown_by_staff_ends_every_process() -> Result<()> {
    let mut cluster = Cluster::start()?;
    drop(cluster.player(0, "Ann").await?);
    cluster.run(&["user", "role", "ann-account", "--role", "admin"])?;
    let session = cluster.edges[0].api().sign_in("ann-account", "correct horse Ann").await?;
    let mut ann = Player::enter(&cluster.edges[0].api(), session, Some("Ann")).await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.does("shutdown 1").await?;
    for player in [&mut ann, &mut ben] {
        let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(_));
        let ServerFrame::Bye(bye) = player.connection.find(bye, Duration::from_secs(10)).await? else {
            unreachable!()
        };
        assert_eq!((bye.code, bye.reconnect), (4500, true), "{}", player.name);
    }
    drop((ann, ben));
    for mut server in cluster.edges.drain(..).chain([cluster.world]) {
        assert!(server.ended(Duration::from_secs(20))?.success());
    }
    Ok(())
}

#[tokio::test]
async fn a_second_keeper_is_refused_and_another_world_has_names_of_its_own() -> Result<()> {
    let cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let second = process(&cluster.nats, "zone,services").start();
    assert!(second.is_err(), "two processes keep one storage");
    ann.does("say undisturbed").await?;

    let start = |roles| process(&cluster.nats, roles).without_limits().set("subject_prefix", "other").start();
    let (_keeper, edge) = (start("zone,services")?, start("edge")?);
    let mut other = Player::new(&edge.api(), "Ann").await?;
    assert_eq!(other.does("who").await?.lines().count(), 2, "she is alone there");
    other.does("global hello").await?;
    ann.does_not_hear("[global] Ann: hello").await?;
    // Everything in one process, on the cluster.
    let all = process(&cluster.nats, "all").without_limits().set("subject_prefix", "third").start()?;
    let mut third = Player::new(&all.api(), "Ann").await?;
    assert_eq!(third.does("say hi").await?, "You say: hi");
    let since = Instant::now();
    let mut again = Player::enter(&all.api(), third.session.clone(), Some("Ann")).await?;
    assert_eq!(sent_away(&mut third, since).await?.code, 4001);
    assert_eq!(again.does("say me").await?, "You say: me");
    Ok(())
}

/// Two machines, each with a storage: which of them answered is seen by what it knows.
#[tokio::test]
async fn a_keeper_that_was_frozen_for_longer_than_its_lease_answers_nothing() -> Result<()> {
    let nats = NatsServer::start(newest_nats())?;
    let start = || process(&nats, "zone,services").without_limits().start();
    let mut first = start()?;
    let registry = Arc::new(registry(None)?);
    let config = declare_on_nats(NatsConfig::default().server(nats.url()));
    let caller = Caller::new(Bus::new(Nats::connect(config, registry.clone()).await?, registry));
    let second = Duration::from_secs(1);
    let ann = RegisterRequest {
        username: "ann-account".into(),
        password: "correct horse Ann".into(),
        address: "127.0.0.1".into(),
    };
    let AccountInfo { id: account, .. } = caller.call("account", "register", &ann, 5 * second).await?;
    let made = CreateCharacterRequest { account: account.clone(), name: "Ann".into() };
    let _: CharacterName = caller.call("account", "create-character", &made, 5 * second).await?;
    let known = async |wait| -> Result<CharacterList, tidings_service::CallError> {
        caller.call("account", "characters", &AccountRequest { account: account.clone() }, wait).await
    };
    assert_eq!(known(5 * second).await?.characters.len(), 1);

    signal(&first, Signal::STOP)?;
    // It takes over once the lease of the first has lapsed.
    let _heir = start()?;
    // What is asked now is shared out between the two, and waits for the first until that wakes.
    let asked: Vec<_> = (0..64)
        .map(|_| {
            let (caller, request) = (caller.clone(), AccountRequest { account: account.clone() });
            tokio::spawn(async move {
                caller.call::<_, CharacterList>("account", "characters", &request, 10 * second).await
            })
        })
        .collect();
    tokio::time::sleep(second / 2).await;
    signal(&first, Signal::CONT)?;
    let (begun, mut answers, mut refusals) = (Instant::now(), 0, 0);
    for call in asked {
        match call.await? {
            Ok(list) => {
                ensure!(list.characters.is_empty(), "the storage of before answered what waited for it")
            }
            Err(error) => {
                ensure!(error.is_retryable(), "{error}");
                refusals += 1;
            }
        }
    }
    ensure!(refusals > 0, "some of it was the first one's to answer");
    while begun.elapsed() < 5 * second || (answers <= 50 && begun.elapsed() < 30 * second) {
        match known(2 * second).await {
            Ok(list) => {
                ensure!(
                    list.characters.is_empty(),
                    "the storage of before answered after {:?}",
                    begun.elapsed()
                );
                answers += 1;
            }
            Err(error) => {
                ensure!(error.is_retryable(), "{error}");
                refusals += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ensure!(answers > 50, "{answers} answers, {refusals} refusals");
    ensure!(!first.ended(20 * second)?.success(), "it says why it ends");
    Ok(())
}
