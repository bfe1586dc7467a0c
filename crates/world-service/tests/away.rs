//! A zone that is away: what others decided for it comes when it is back, whoever died meanwhile; and who walks
//! there is not kept waiting for ever.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::player::Player;
use common::{Ground, LEASE};
use prost::Message as _;
use tidings_bus::Pattern;
use tidings_protocol::proto::world::v1::{ZoneReply, zone_reply};
use tidings_service::Subjects;
use tidings_storage::Role;
use tidings_world_service::{HostConfig, Hosts};

const SOON: Duration = Duration::from_secs(5);
/// Long enough for what is under way, short enough to wait for.
const PATIENCE: Duration = Duration::from_millis(600);

async fn until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}");
}

async fn is_in(ground: &Ground, player: &Player, room: &str) -> bool {
    ground.whereabouts().await.get(&player.id.to_string()).is_some_and(|at| at == room)
}

/// Nobody gets this zone until its lease is given back.
async fn take_away(ground: &Ground, zone: &str) {
    let leases = ground.bus.kv("leases").unwrap();
    until("the lease is free", async || leases.create(zone, "nobody".into(), None).await.is_ok()).await;
}

async fn give_back(ground: &Ground, zone: &str) {
    ground.bus.kv("leases").unwrap().delete(zone).await.unwrap();
}

fn start(ground: &Ground, name: &str) -> Hosts {
    ground.start_with(HostConfig { move_patience: PATIENCE, ..ground.host_config(name) })
}

#[tokio::test]
async fn what_was_decided_for_a_zone_comes_after_the_host_that_decided_it_died() {
    let ground = Ground::in_memory().await;
    let hosts = start(&ground, "a");
    let ann = Player::with_role(&ground, 1, "Ann", Role::Moderator).await;
    let mut ben = Player::new(&ground, 2, "Ben").await;
    ann.enter(&ground).await;
    ben.enter(&ground).await;
    ben.types("1", "east").await;
    ben.types("2", "north").await;
    ben.zone = "hill".parse().unwrap();
    drop(hosts);
    take_away(&ground, "hill").await;
    let hosts = start(&ground, "b");
    assert_eq!(ann.reads(&ground, "1", "teleport Ben hill_top").await, "You send Ben to Top.");
    assert_eq!(
        ann.reads(&ground, "2", "mute_global Ben 5").await,
        "You have muted Ben for everyone for 5 minutes."
    );
    drop(hosts);
    tokio::time::sleep(LEASE).await;
    give_back(&ground, "hill").await;
    let _hosts = start(&ground, "c");
    until("Ben is sent", async || is_in(&ground, &ben, "hill_top").await).await;
    let answer = ben.reads(&ground, "3", "say hello").await;
    assert!(answer.starts_with("You are muted until"), "{answer}");
    // Once: he comes down, and nothing sends him up again.
    ben.types("4", "down").await;
    assert_eq!(ann.reads(&ground, "3", "teleport Ben hill_foot").await, "You send Ben to Foot.");
    assert!(is_in(&ground, &ben, "hill_foot").await);
}

#[tokio::test]
async fn one_who_walks_to_a_zone_that_is_away_stays_and_reads_why() {
    let ground = Ground::in_memory().await;
    take_away(&ground, "hill").await;
    let _hosts = start(&ground, "a");
    let ann = Player::new(&ground, 1, "Ann").await;
    let ben = Player::new(&ground, 2, "Ben").await;
    ann.enter(&ground).await;
    ben.enter(&ground).await;
    ann.types("1", "east").await;
    let closed = "That place cannot be reached at the moment. Please try again.";
    let (moved, whispered) =
        tokio::join!(ann.reads(&ground, "2", "north"), ben.reads(&ground, "1", "whisper Ann psst"));
    assert_eq!((moved.as_str(), whispered.as_str()), (closed, "[whisper] You to Ann: psst"));
    assert_eq!(ann.reads(&ground, "2", "north").await, closed, "one outcome");
    assert_eq!(ann.reads(&ground, "3", "reply yes").await, "[whisper] You to Ben: yes");
    assert!(is_in(&ground, &ann, "town_gate").await);
    give_back(&ground, "hill").await;
    let went = async || ann.reads(&ground, &format!("{:?}", std::time::Instant::now()), "north").await;
    until("the hill is there again", async || went().await == "You go north.").await;
    assert!(is_in(&ground, &ann, "hill_foot").await);
}

/// What was asked for before a move was given up may still be on its way. It is refused before it is decided: a zone
/// that decided it would fail in its commit, and lose its people's patience while it is loaded anew.
#[tokio::test]
async fn a_move_that_was_given_up_is_refused_and_its_target_goes_on() {
    let ground = Ground::in_memory().await;
    let subjects = Subjects(ground.bus.registry());
    let hill = subjects.zone_commands(&"hill".parse().unwrap()).unwrap();
    take_away(&ground, "hill").await;
    let _hosts = start(&ground, "a");
    let mut asked = ground.bus.subscribe(&Pattern::from(&hill), 64).await.unwrap();
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    ann.types("1", "east").await;
    let refused = ann.reads(&ground, "2", "north").await;
    assert_eq!(refused, "That place cannot be reached at the moment. Please try again.");
    let stale = asked.next().await.unwrap();
    drop(asked);
    give_back(&ground, "hill").await;
    let ben = Player { zone: "hill".parse().unwrap(), ..Player::new(&ground, 2, "Ben").await };
    ben.enter(&ground).await;
    assert_eq!(ben.reads(&ground, "1", "say hello").await, "You say: hello");
    let loaded =
        async || ground.bus.last(&subjects.zone_owner(&ben.zone).unwrap()).await.unwrap().unwrap().seq;
    let before = loaded().await;
    let answer = ground.bus.request(&hill, stale.payload, Vec::new(), SOON).await.unwrap();
    let answer = ZoneReply::decode(answer).unwrap().answer;
    let Some(zone_reply::Answer::Refusal(error)) = answer else { panic!("{answer:?}") };
    assert_eq!(error.code, "unavailable");
    assert_eq!(ben.reads(&ground, "2", "say still here").await, "You say: still here");
    assert_eq!(loaded().await, before, "the zone was loaded anew");
    assert!(is_in(&ground, &ann, "town_gate").await);
}

#[tokio::test]
async fn an_arrival_whose_answer_is_lost_is_found_in_the_log() {
    for checkpointed in [false, true] {
        let ground = Ground::in_memory().await;
        let commits = if checkpointed { 1 } else { 1_000 };
        let config =
            HostConfig { move_patience: PATIENCE, checkpoint_commits: commits, ..ground.host_config("a") };
        let _hosts = ground.start_with(config);
        let ann = Player::new(&ground, 1, "Ann").await;
        ann.enter(&ground).await;
        ann.types("1", "east").await;
        ground.faults.lose_answers("cmd.zone.hill", 1_000).await;
        assert_eq!(ann.reads(&ground, "2", "north").await, "You go north.");
        ground.faults.lose_answers("cmd.zone.hill", 0).await;
        assert!(is_in(&ground, &ann, "hill_foot").await);
        let there = Player { zone: "hill".parse().unwrap(), ..ann };
        assert_eq!(there.reads(&ground, "3", "say hello").await, "You say: hello");
    }
}
