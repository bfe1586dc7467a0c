//! A world whose streams have three copies, while one server after the other fails: people at two edges talk on, and what
//! was confirmed to one was heard by the other, once, in order.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidings_test_support::{NatsServer, Player, newest_nats};

use crate::harness::{Away, process_at, said};

/// Longer than an election takes, and than a lease lives.
const APART: Duration = Duration::from_secs(12);
/// Between two lines of one who talks.
const PACE: Duration = Duration::from_millis(250);
/// How long a server is frozen: longer than anybody may wait for it.
const FROZEN: Duration = Duration::from_secs(26);
/// An election of the server's own takes 4 to 9 s; what waits for it is repeated for 15 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

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

/// One who talks until told to stop.
struct Talk {
    player: Player,
    tried: usize,
    confirmed: Vec<String>,
    /// The longest time without a confirmation.
    silence: Duration,
}

async fn talk(mut player: Player, stop: Arc<AtomicBool>) -> Talk {
    let (mut tried, mut confirmed, mut silence) = (0, Vec::new(), Duration::ZERO);
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tried += 1;
        let line = format!("line {tried}");
        // What is refused or not answered may have been said or not.
        if player.connection.command(&format!("say {line}")).await.is_ok_and(|reply| reply.ok) {
            confirmed.push(line);
            silence = silence.max(last.elapsed());
            last = Instant::now();
        }
        tokio::time::sleep(PACE).await;
    }
    Talk { player, tried, confirmed, silence: silence.max(last.elapsed()) }
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
    let talks = [ann, ben].map(|player| tokio::spawn(talk(player, stop.clone())));
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
    let (mut ann, mut ben) = (ann.await?, ben.await?);
    println!(
        "longest silence: {:?} and {:?}; confirmed {} and {} of {} and {} lines",
        ann.silence,
        ben.silence,
        ann.confirmed.len(),
        ben.confirmed.len(),
        ann.tried,
        ben.tried
    );
    let (to_ann, to_ben) = (said(&mut ann.player, "Ben").await, said(&mut ben.player, "Ann").await);
    check(&ann, "Ann", &to_ben, "Ben heard")?;
    check(&ben, "Ben", &to_ann, "Ann heard")?;
    let missed: Vec<String> = cat.lines().await;
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
