//! A world whose streams have three copies, while one server after the other fails: people at two edges talk on, and what
//! was confirmed to one was heard by the other, once, in order.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidings_client::{Connection, Error};
use tidings_test_support::{NatsServer, Player, newest_nats};

use crate::harness::{Away, process_at, said};

/// Longer than an election takes, and than a lease lives.
const APART: Duration = Duration::from_secs(12);
/// Between two lines of one who talks.
const PACE: Duration = Duration::from_millis(500);
/// How long a server is frozen: longer than anybody may wait for it.
const FROZEN: Duration = Duration::from_secs(40);
/// An election of the server's own takes 4 to 9 s, finding a server frozen 6 to 14, and who was sent away comes back.
const LONGEST_SILENCE: Duration = Duration::from_secs(36);
/// How long coming back may take.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// As `tidings cluster up` has it, and as is advised: a frozen server is no place to send to any more after 15 s.
const ROUTES: &str = r#"cluster { ping_interval: "5s" }"#;

fn urls(servers: &[NatsServer]) -> String {
    servers.iter().map(NatsServer::url).collect::<Vec<_>>().join(",")
}

/// The place of the server that leads the stream of all logs.
fn leader(servers: &[NatsServer], at: &str) -> Result<usize> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    let output = command.args(["streams", "--json", "--set", "nats.replicas=3", "--nats", at]).output()?;
    let seen: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    let leader = seen["streams"][0]["found"]["leader"].as_str().context("a leader")?;
    servers.iter().position(|server| server.name() == leader).context("one of the three")
}

/// One who talks until told to stop, and comes back where they are sent away, as a page does.
struct Talk {
    player: Player,
    tried: usize,
    confirmed: Vec<String>,
    /// What the other said.
    heard: Vec<String>,
    /// How often they had to come back.
    back: usize,
    /// The longest time without a confirmation.
    silence: Duration,
}

async fn talk(player: Player, other: &'static str, stop: Arc<AtomicBool>) -> Result<Talk> {
    let silence = Duration::ZERO;
    let mut talk = Talk { player, tried: 0, confirmed: Vec::new(), heard: Vec::new(), back: 0, silence };
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        talk.tried += 1;
        let line = format!("line {}", talk.tried);
        // What is refused or not answered may have been said or not.
        match talk.player.connection.command(&format!("say {line}")).await {
            Ok(reply) if reply.ok => {
                talk.confirmed.push(line);
                talk.silence = talk.silence.max(last.elapsed());
                last = Instant::now();
            }
            Err(Error::Bye(_) | Error::Closed | Error::Connection(_)) => {
                talk.heard.extend(said(&mut talk.player, other).await);
                (talk.player, talk.back) = (come_back(talk.player).await?, talk.back + 1);
            }
            _ => {}
        }
        tokio::time::sleep(PACE).await;
    }
    talk.silence = talk.silence.max(last.elapsed());
    talk.heard.extend(said(&mut talk.player, other).await);
    Ok(talk)
}

/// As the page does: again and again, from where they were.
async fn come_back(player: Player) -> Result<Player> {
    let (address, secret, position) = player.connection.resume_point();
    let until = Instant::now() + BACK_WITHIN;
    loop {
        match Connection::resume(address, &secret, Some(position.clone())).await {
            Ok(connection) => {
                ensure!(connection.welcome().recovered, "{:?}", connection.welcome().reason);
                return Ok(Player { connection, ..player });
            }
            Err(_) if Instant::now() < until => tokio::time::sleep(PACE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// What was heard of somebody is what was confirmed to them, and maybe lines of which they were not told; each once and
/// in order.
fn check(speaker: &Talk, name: &str, heard: &[String], where_: &str) -> Result<()> {
    let number = |line: &String| line.strip_prefix("line ").and_then(|n| n.parse::<usize>().ok());
    let numbers: Vec<usize> = heard.iter().filter_map(number).collect();
    ensure!(
        numbers.is_sorted_by(|a, b| a < b),
        "{where_}: {name}'s lines are not in order, or twice: {numbers:?}"
    );
    ensure!(numbers.last().is_none_or(|last| *last <= speaker.tried), "{where_}: what was never said");
    let heard: HashSet<_> = heard.iter().collect();
    let lost: Vec<_> = speaker.confirmed.iter().filter(|line| !heard.contains(line)).collect();
    ensure!(lost.is_empty(), "{where_}: {name} was told that these were said: {lost:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_servers_fail_people_talk_on_and_nothing_is_lost() -> Result<()> {
    let mut servers = NatsServer::cluster_with(newest_nats(), 3, ROUTES)?;
    let at = urls(&servers);
    let start = |roles| process_at(&at, roles).set("nats.replicas", 3).without_limits().start();
    let (_world, edges) = (start("zone,services")?, [start("edge")?, start("edge")?]);
    let mut ann = Player::new(&edges[0].api(), "Ann").await?;
    let ben = Player::new(&edges[1].api(), "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    let cat = Player::new(&edges[0].api(), "Cat").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let talks = [(ann, "Ben"), (ben, "Ann")].map(|(one, other)| tokio::spawn(talk(one, other, stop.clone())));
    tokio::time::sleep(Duration::from_secs(2)).await;

    let led = leader(&servers, &at)?;
    servers[led].kill()?;
    // Whoever drops meanwhile comes back at the other edge, when the world goes on, and has missed nothing.
    let cat = Away::of(cat);
    tokio::time::sleep(APART).await;
    let mut cat = cat.back(&edges[1]).await?;
    servers[led].restart()?;
    tokio::time::sleep(APART / 2).await;

    let led = leader(&servers, &at)?;
    servers[led].freeze()?;
    tokio::time::sleep(FROZEN).await;
    servers[led].thaw()?;
    tokio::time::sleep(APART / 2).await;
    stop.store(true, Ordering::Relaxed);

    let [ann, ben] = talks;
    let (ann, ben) = (ann.await??, ben.await??);
    println!(
        "longest silence: {:?} and {:?}; confirmed {} and {} of {} and {} lines; came back {} and {} times",
        ann.silence,
        ben.silence,
        ann.confirmed.len(),
        ben.confirmed.len(),
        ann.tried,
        ben.tried,
        ann.back,
        ben.back
    );
    check(&ann, "Ann", &ben.heard, "Ben heard")?;
    check(&ben, "Ben", &ann.heard, "Ann heard")?;
    let mut missed: Vec<String> = cat.lines().await;
    if cat.connection.command("who").await.is_err() {
        cat = come_back(cat).await?;
        missed.extend(cat.lines().await);
    }
    let of = |name: &str| -> Vec<String> {
        let says = format!("{name} says: ");
        missed.iter().filter_map(|line| line.strip_prefix(&says).map(str::to_owned)).collect()
    };
    check(&ann, "Ann", &of("Ann"), "Cat heard")?;
    check(&ben, "Ben", &of("Ben"), "Cat heard")?;
    let history = cat.does("channel history say 500").await?;
    for (speaker, name) in [(&ann, "Ann"), (&ben, "Ben")] {
        let says = format!("{name} says: ");
        let lines =
            history.lines().filter_map(|line| line.split_once(&says).map(|(_, said)| said.to_owned()));
        check(speaker, name, &lines.collect::<Vec<_>>(), "the history")?;
    }
    for one in [&ann, &ben] {
        ensure!(one.silence < LONGEST_SILENCE, "{:?} without a confirmation", one.silence);
        ensure!(one.confirmed.len() > 40, "{} of {} confirmed", one.confirmed.len(), one.tried);
    }
    Ok(())
}
