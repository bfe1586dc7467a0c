//! Everything from disk: a server that ends, tidily or not, and another that goes on where it was.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Ground;
use common::player::Player;
use tidings_protocol::proto::world::v1::{self as wire, ZoneRequest, zone_request};
use tidings_protocol::{AccountId, CharacterId, SessionId};

const SOON: Duration = Duration::from_secs(10);

/// Everyone's place as the zones show it.
async fn shown(ground: &Ground, people: &[Player]) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    for player in people {
        let (state, _) = player.state().await.unwrap();
        let room = ground.content.rooms.keys().find(|room| state.contains(&format!("\"id\":\"{room}\"")));
        places.insert(player.id.to_string(), room.unwrap().to_string());
    }
    places
}

#[tokio::test]
async fn after_a_restart_everyone_is_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::on_disk(folder.path().to_owned()).await;
    let hosts = ground.start("a");
    let mut people = Vec::new();
    for (number, name) in [(1, "Ann"), (2, "Ben"), (3, "Cat")] {
        let player = Player::new(&ground, number, name).await;
        player.enter(&ground).await;
        people.push(player);
    }
    people[1].types("1", "go east").await;
    people[2].types("1", "go east").await;
    people[2].types("2", "go north").await;
    people[2].zone = "hill".parse().unwrap();
    people[2].types("3", "go up").await;
    assert_eq!(people[0].reads(&ground, "1", "mute Ben").await, "You have muted Ben.");
    let places = shown(&ground, &people).await;
    assert_eq!(places.values().collect::<Vec<_>>(), ["town_hall", "town_gate", "hill_top"]);
    // Killed: the hosts where they are, the bus and the storage without a word.
    drop(hosts);
    drop(people);
    drop(ground);
    for tidy in [true, false, true] {
        let ground = Ground::on_disk(folder.path().to_owned()).await;
        let hosts = ground.start("b");
        let people: Vec<_> = [(1, "Ann", "town"), (2, "Ben", "town"), (3, "Cat", "hill")]
            .into_iter()
            .map(|(number, name, zone)| Player {
                zone: zone.parse().unwrap(),
                ..Player::known(&ground, number, name)
            })
            .collect();
        assert_eq!(shown(&ground, &people).await, places);
        assert_eq!(people[1].reads(&ground, "1", "go east").await, "You go east.", "the first outcome");
        assert_eq!(people[0].reads(&ground, "1", "mute Ben").await, "You have muted Ben.");
        assert_eq!(ground.whereabouts().await, places);
        let mutes = ground.store.mutes(people[0].account, 2_000_000_000_000).await.unwrap();
        assert_eq!(mutes.len(), 1, "{mutes:?}");
        let present = ground.bus.kv("presence").unwrap().keys().await.unwrap();
        assert_eq!(present.len(), 3, "who is there is known again: {present:?}");
        if tidy {
            assert!(hosts.drain(SOON).await);
            drop(hosts);
            ground.bus.drain(SOON).await;
            ground.store.close().await;
        }
    }
}

#[tokio::test]
async fn checkpoints_keep_the_log_short() {
    let ground = Ground::in_memory().await;
    let config = tidings_world_service::HostConfig { checkpoint_commits: 10, ..ground.host_config("a") };
    let hosts = ground.start_with(config);
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    for n in 0..50 {
        ann.types(&n.to_string(), &format!("say {n}")).await;
    }
    let zone = "town".parse().unwrap();
    let log = tidings_service::Subjects(ground.bus.registry()).zone_log(&zone).unwrap();
    let kept = async || ground.bus.read(std::slice::from_ref(&log), 0, 100).await.unwrap().len();
    // The writer trims behind the commits.
    let short = tokio::time::timeout(SOON, async {
        while kept().await > 12 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(short.await.is_ok(), "{} records are kept", kept().await);
    let checkpoint = ground.store.checkpoint(&zone).await.unwrap().unwrap();
    assert_eq!(checkpoint.stamp.epoch, ground.bus.epoch());
    assert!(hosts.drain(SOON).await);
    assert_eq!(kept().await, 0, "a drained zone has its whole state in its checkpoint");
}

#[tokio::test]
async fn a_log_with_a_hole_is_not_served() {
    let ground = Ground::in_memory().await;
    let hosts = ground.start("a");
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    ann.types("1", "pose is well").await;
    drop(hosts);
    let log = tidings_service::Subjects(ground.bus.registry()).zone_log(&ann.zone).unwrap();
    let first = ground.bus.read(std::slice::from_ref(&log), 0, 1).await.unwrap()[0].seq;
    ground.bus.trim(&log, first).await.unwrap();
    let _hosts = ground.start("b");
    let reason = tokio::time::timeout(SOON, async {
        loop {
            let states = ground.health.states();
            let town = states.into_iter().find(|(name, _)| name == "zone.town").map(|(_, state)| state);
            match town {
                Some(state) if state.reason.contains("hole") => return state.reason,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    let reason = reason.await.unwrap_or_else(|_| panic!("{:?}", ground.health.states()));
    assert!(reason.starts_with("the zone's log has a hole: record "), "{reason}");
    assert!(!ground.health.is_ready());
}

/// More than one commit holds: people of a removed room are moved in several.
#[tokio::test]
async fn a_crowd_whose_room_is_gone_is_moved_to_the_start() {
    const CROWD: u128 = 400;
    let mut ground = Ground::in_memory().await;
    let hosts = ground.start("a");
    let caller = ground.caller();
    let zone = "town".parse().unwrap();
    for number in 1..=CROWD {
        let character = wire::Character {
            id: CharacterId::new(2, number).to_string(),
            name: format!("P{number}"),
            account: AccountId::new(1, number).to_string(),
            room: "town_gate".into(),
            ..wire::Character::default()
        };
        let session = SessionId::new(3, number).to_string();
        let ask = zone_request::Ask::Enter(wire::Enter {
            session,
            character: Some(character),
            generation: 0,
            ..Default::default()
        });
        let request = ZoneRequest { ask: Some(ask) };
        while caller.zone(&zone, &request, SOON).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(hosts.drain(SOON).await);
    ground.content = common::content_without_gate();
    let hosts = ground.start("b");
    let gate = "room.town_gate";
    let moved = tokio::time::timeout(SOON, async {
        let mut left = 0;
        while left < CROWD as usize {
            tokio::time::sleep(Duration::from_millis(20)).await;
            left = ground.log(gate).await.iter().filter(|(_, event)| event.kind == "event.left").count();
        }
        left
    });
    assert_eq!(moved.await.unwrap(), CROWD as usize);
    let entered =
        ground.log("room.town_hall").await.into_iter().filter(|(_, event)| event.kind == "event.entered");
    assert_eq!(entered.count(), CROWD as usize);
    assert!(hosts.drain(SOON).await);
}
