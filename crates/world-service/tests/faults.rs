//! Hosting under faults: hosts that die between deciding, committing and answering, answers that get lost, commits
//! that fail, two owners at once. What holds: one outcome a command, one place a character, one speaker a zone.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::faults::OnCommit;
use common::player::Player;
use common::{Ground, LEASE};
use tidings_world_service::HostConfig;

const SOON: Duration = Duration::from_secs(5);

/// Two in the hall.
async fn two(ground: &Ground) -> (Player, Player) {
    let ann = Player::new(ground, 1, "Ann").await;
    let ben = Player::new(ground, 2, "Ben").await;
    ann.enter(ground).await;
    ben.enter(ground).await;
    (ann, ben)
}

fn times(said: &[String], line: &str) -> usize {
    said.iter().filter(|said| *said == line).count()
}

#[tokio::test]
async fn a_repeat_after_a_restart_has_the_first_outcome() {
    let ground = Ground::in_memory().await;
    let hosts = ground.start("a");
    let (ann, ben) = two(&ground).await;
    assert_eq!(ann.reads(&ground, "1", "say once").await, "You say: once");
    assert_eq!(ben.reads(&ground, "1", "go east").await, "You go east.");
    // Drained once with a checkpoint, then killed without one.
    for kill in [false, true] {
        if kill {
            let hosts = ground.start("b");
            assert_eq!(ann.reads(&ground, "2", "say twice").await, "You say: twice");
            drop(hosts);
        } else {
            assert!(hosts.drain(SOON).await);
        }
        let hosts = ground.start("c");
        assert_eq!(ann.reads(&ground, "1", "say once").await, "You say: once");
        assert_eq!(ben.reads(&ground, "1", "go east").await, "You go east.");
        assert!(hosts.drain(SOON).await);
    }
    let said = ground.said("room.town_hall").await;
    assert_eq!((times(&said, "Ann says: once"), times(&said, "Ann says: twice")), (1, 1), "{said:?}");
    assert_eq!(ground.whereabouts().await[&ben.id.to_string()], "town_gate");
}

#[tokio::test]
async fn a_host_that_dies_around_a_commit_does_no_command_twice() {
    for (fault, stored) in [(OnCommit::Vanish, false), (OnCommit::StoreAndVanish, true)] {
        let ground = Ground::in_memory().await;
        let hosts = ground.start("a");
        let (ann, _ben) = two(&ground).await;
        ground.faults.set(fault).await;
        let asked = tokio::spawn({
            let ask = ann.line("1", "say once");
            let (caller, zone) = (ground.caller(), ann.zone.clone());
            let request = tidings_protocol::proto::world::v1::ZoneRequest { ask: Some(ask) };
            async move { caller.zone(&zone, &request, SOON).await }
        });
        ground.faults.vanished.notified().await;
        let said = ground.said("room.town_hall").await;
        assert_eq!(times(&said, "Ann says: once"), usize::from(stored), "{fault:?}");
        drop(hosts);
        assert!(asked.await.unwrap().is_err(), "the dead host answers nothing");
        ground.faults.set(OnCommit::Store).await;
        let _hosts = ground.start("b");
        assert_eq!(ann.reads(&ground, "1", "say once").await, "You say: once", "{fault:?}");
        assert_eq!(times(&ground.said("room.town_hall").await, "Ann says: once"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_failed_commit_is_rolled_back_and_done_once_when_asked_again() {
    for fault in [OnCommit::Fail(3), OnCommit::StoreAndFail] {
        let ground = Ground::in_memory().await;
        let hosts = ground.start("a");
        let (ann, ben) = two(&ground).await;
        ground.faults.set(fault).await;
        assert_eq!(ann.reads(&ground, "1", "say once").await, "You say: once", "{fault:?}");
        assert_eq!(ben.reads(&ground, "1", "go east").await, "You go east.", "{fault:?}");
        assert_eq!(times(&ground.said("room.town_hall").await, "Ann says: once"), 1, "{fault:?}");
        assert_eq!(ground.whereabouts().await.len(), 2);
        assert!(hosts.drain(SOON).await);
    }
}

#[tokio::test]
async fn a_commit_without_an_answer_does_not_hold_the_zone() {
    for fault in [OnCommit::Vanish, OnCommit::StoreAndVanish] {
        let ground = Ground::in_memory().await;
        let patience = Duration::from_millis(100);
        let hosts = ground.start_with(HostConfig { commit_deadline: patience, ..ground.host_config("a") });
        let (ann, _ben) = two(&ground).await;
        ground.faults.set(fault).await;
        let (heard, ()) = tokio::join!(ann.reads(&ground, "1", "say once"), async {
            ground.faults.vanished.notified().await;
            ground.faults.set(OnCommit::Store).await;
        });
        assert_eq!(heard, "You say: once");
        assert_eq!(times(&ground.said("room.town_hall").await, "Ann says: once"), 1, "{fault:?}");
        assert!(hosts.drain(SOON).await);
    }
}

#[tokio::test]
async fn a_move_whose_answer_is_lost_is_made_once() {
    let ground = Ground::in_memory().await;
    let hosts = ground.start("a");
    let (ann, _) = two(&ground).await;
    ground.faults.lose_answers("cmd.zone.hill", 3).await;
    ann.types("1", "go east").await;
    assert_eq!(ann.reads(&ground, "2", "go north").await, "You go north.");
    // Asked again of the zone it left, it has the same outcome.
    assert_eq!(ann.reads(&ground, "2", "go north").await, "You go north.");
    assert_eq!(ground.whereabouts().await[&ann.id.to_string()], "hill_foot");
    assert_eq!(ground.said("room.hill_foot").await, ["Ann arrives from the south."]);
    assert!(hosts.drain(SOON).await);
}

#[tokio::test]
async fn a_move_goes_on_when_the_host_dies_before_its_answer() {
    let ground = Ground::in_memory().await;
    let hosts = ground.start("a");
    let (ann, _) = two(&ground).await;
    ann.types("1", "go east").await;
    // The target's answer never comes: the source has frozen Ann, the target has let her in.
    ground.faults.lose_answers("cmd.zone.hill", u32::MAX).await;
    let request = tidings_protocol::proto::world::v1::ZoneRequest { ask: Some(ann.line("2", "go north")) };
    let asked = ann.caller.zone(&ann.zone, &request, Duration::from_millis(300)).await;
    assert!(asked.is_err(), "{asked:?}");
    drop(hosts);
    ground.faults.lose_answers("", 0).await;
    let hosts = ground.start("b");
    assert_eq!(ann.reads(&ground, "2", "go north").await, "You go north.");
    assert_eq!(ground.whereabouts().await[&ann.id.to_string()], "hill_foot");
    let ann = Player { zone: "hill".parse().unwrap(), ..ann };
    assert_eq!(ann.reads(&ground, "3", "say here").await, "You say: here");
    assert!(hosts.drain(SOON).await);
}

#[tokio::test]
async fn of_two_owners_one_speaks() {
    let ground = Ground::in_memory().await;
    let a = ground.start("a");
    let (ann, ben) = two(&ground).await;
    // A second host with leases of its own believes that it owns every zone, as a paused one would.
    let b = ground.start_with(HostConfig { lease_bucket: "other-leases".into(), ..ground.host_config("b") });
    for n in 0..40 {
        let (ann_says, ben_goes) = (format!("say {n}"), if n % 2 == 0 { "go east" } else { "go west" });
        let id = n.to_string();
        assert_eq!(ann.reads(&ground, &id, &ann_says).await, format!("You say: {n}"));
        ben.types(&id, ben_goes).await;
    }
    let said = ground.said("room.town_hall").await;
    for n in 0..40 {
        assert_eq!(times(&said, &format!("Ann says: {n}")), 1, "line {n}");
    }
    assert_eq!(ground.whereabouts().await.len(), 2);
    drop(a);
    assert!(b.drain(SOON).await);
}

#[tokio::test]
async fn a_dead_hosts_zones_are_taken_over() {
    let ground = Ground::in_memory().await;
    let a = ground.start("a");
    let (ann, _) = two(&ground).await;
    let b = ground.start("b");
    ann.types("1", "say before").await;
    drop(a);
    let killed = std::time::Instant::now();
    // A dropped host's threads may still answer for a moment: what counts is that the other one does.
    let leases = ground.bus.kv("leases").unwrap();
    let holders = || async {
        let mut holders = Vec::new();
        for zone in ["hill", "town"] {
            holders.push(leases.get(zone).await.unwrap().map(|entry| entry.value));
        }
        holders
    };
    while holders().await.iter().any(|holder| holder.as_deref() != Some(b"b")) {
        assert!(killed.elapsed() < LEASE + Duration::from_secs(2), "{:?}", holders().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ann.reads(&ground, "2", "say after").await, "You say: after");
    assert!(b.drain(SOON).await);
    // A drained host gives its leases back: the next one need not wait for them to lapse.
    assert_eq!(leases.keys().await.unwrap(), Vec::<String>::new());
    let _c = ground.start("c");
    ann.types("3", "say at once").await;
}
