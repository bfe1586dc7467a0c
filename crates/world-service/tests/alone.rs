//! A line in a room is one message: what it decides lies with it, until the zone's next record has it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::Ground;
use common::faults::OnCommit;
use common::player::Player;
use tidings_bus::Subject;
use tidings_service::Subjects;
use tidings_world_service::HostConfig;

const SOON: Duration = Duration::from_secs(5);

/// Lines are commits of their own, as on NATS.
async fn ground() -> Ground {
    let ground = Ground::in_memory().await;
    ground.faults.apart.store(true, Ordering::Relaxed);
    ground
}

fn zone_log(ground: &Ground) -> Subject {
    Subjects(ground.bus.registry()).zone_log(&"town".parse().unwrap()).unwrap()
}

async fn records(ground: &Ground) -> usize {
    ground.bus.read(&[zone_log(ground)], 0, 1000).await.unwrap().len()
}

/// Takes everything out of the room where everybody is, as retention does.
async fn forget_the_room(ground: &Ground) {
    let room = Subjects(ground.bus.registry()).log(&"room.town_hall".parse().unwrap()).unwrap();
    let last = ground.bus.last(&room).await.unwrap().unwrap().seq;
    ground.bus.trim(&room, last).await.unwrap();
}

/// The command is known: it is answered with its first outcome, and nothing is stored.
async fn is_known(ground: &Ground, who: &Player, id: &str) {
    let before = ground.log("room.town_hall").await.len();
    assert!(!who.types(id, "say it is not known").await.in_log, "command {id}");
    assert_eq!(ground.log("room.town_hall").await.len(), before, "command {id}");
}

#[tokio::test]
async fn a_line_in_a_room_is_one_message_and_the_next_owner_knows_of_it() {
    let ground = ground().await;
    let hosts = ground.start("a");
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    let before = records(&ground).await;
    let (one, two) = (ann.types("1", "say one").await.seq, ann.types("2", "emote waves").await.seq);
    assert_eq!(two, one + 1, "nothing is stored between the two");
    assert_eq!(records(&ground).await, before);
    let said = ground.log("room.town_hall").await;
    assert!(said.iter().rev().take(2).all(|(_, event)| !event.record.is_empty()), "{said:?}");
    drop(hosts);

    // What lies with the lines is all that a new owner has.
    let hosts = ground.start("b");
    assert_eq!(ann.reads(&ground, "1", "say one").await, "You say: one", "the first outcome");
    is_known(&ground, &ann, "1").await;
    is_known(&ground, &ann, "2").await;
    assert_eq!(ann.types("3", "emote bows").await.seq, ground.log("room.town_hall").await.last().unwrap().0);
    assert_eq!(records(&ground).await, before);
    drop(hosts);

    // The next record has it too, so that the lines may go.
    let hosts = ground.start("c");
    ann.types("4", "pose is well").await;
    assert_eq!(records(&ground).await, before + 1);
    drop(hosts);
    forget_the_room(&ground).await;
    let _hosts = ground.start("d");
    is_known(&ground, &ann, "1").await;
    is_known(&ground, &ann, "2").await;
}

/// Five people, and what each of the last four says while a line of the first is stored: it is decided together.
async fn all_at_once(ground: &Ground, people: &[Player]) -> Vec<u64> {
    let (ann, rest) = people.split_first().unwrap();
    let seqs = std::sync::Mutex::new(Vec::new());
    let together = async {
        let lines = rest.iter().map(|player| async {
            let done = player.types("1", &format!("say I am {}", player.name)).await;
            seqs.lock().unwrap().push(done.seq);
        });
        let all = futures_util::future::join_all(lines);
        tokio::join!(all, async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            ground.faults.go_on.notify_one();
        });
    };
    ground.while_busy(ann, together).await;
    seqs.into_inner().unwrap()
}

async fn five(ground: &Ground) -> Vec<Player> {
    let mut people = Vec::new();
    for (number, name) in (1..).zip(["Ann", "Ben", "Cat", "Dan", "Eve"]) {
        let player = Player::new(ground, number, name).await;
        player.enter(ground).await;
        people.push(player);
    }
    people
}

#[tokio::test]
async fn in_the_process_a_line_has_the_zones_record() {
    let ground = Ground::in_memory().await;
    let _hosts = ground.start("a");
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    let before = records(&ground).await;
    ann.types("1", "say one").await;
    assert_eq!(records(&ground).await, before + 1);
    assert!(ground.log("room.town_hall").await.iter().all(|(_, event)| event.record.is_empty()));
}

#[tokio::test]
async fn lines_that_wait_together_are_each_a_message() {
    let ground = ground().await;
    let hosts = ground.start("a");
    let people = five(&ground).await;
    let before = records(&ground).await;
    let mut seqs = all_at_once(&ground, &people).await;
    assert_eq!(records(&ground).await, before, "no record of the zone's");
    seqs.sort_unstable();
    assert!(seqs.len() == 4 && seqs.windows(2).all(|two| two[1] == two[0] + 1), "{seqs:?}");
    drop(hosts);
    let _hosts = ground.start("b");
    for player in &people[1..] {
        is_known(&ground, player, "1").await;
    }
}

/// Whoever asks again learns which: each line is said once.
#[tokio::test]
async fn of_lines_that_wait_together_some_may_be_stored() {
    for fault in [OnCommit::Fail(1), OnCommit::StoreAndFail] {
        let ground = ground().await;
        let _hosts = ground.start("a");
        let people = five(&ground).await;
        ground.faults.after_held(fault).await;
        all_at_once(&ground, &people).await;
        assert_eq!(ground.faults.in_part.load(Ordering::Relaxed), 1, "{fault:?}: some were stored, some not");
        let mut said = ground.said("room.town_hall").await;
        said.retain(|line| line.contains("I am"));
        said.sort_unstable();
        assert_eq!(
            said,
            ["Ben", "Cat", "Dan", "Eve"].map(|who| format!("{who} says: I am {who}")),
            "{fault:?}"
        );
        for player in &people[1..] {
            is_known(&ground, player, "1").await;
        }
    }
}

#[tokio::test]
async fn what_is_said_beyond_the_room_has_the_zones_record() {
    let ground = ground().await;
    let _hosts = ground.start("a");
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    for (id, line) in ["global hello", "local hello"].into_iter().enumerate() {
        let before = records(&ground).await;
        ann.types(&id.to_string(), line).await;
        assert_eq!(records(&ground).await, before + 1, "{line}");
    }
    assert!(ground.log("world.test").await.iter().all(|(_, event)| event.record.is_empty()));
}

/// What is between the brackets of a record's effects.
fn effects(record: &[u8]) -> &str {
    let record = std::str::from_utf8(record).unwrap();
    let effects = record.strip_prefix(r#"{"effects":["#).unwrap();
    effects.split(r#"],"prev":"#).next().unwrap_or_default()
}

#[tokio::test]
async fn so_much_lies_with_lines_and_no_more() {
    let ground = ground().await;
    let config = HostConfig { checkpoint_commits: 10_000, ..ground.host_config("a") };
    let _hosts = ground.start_with(config);
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    let long = format!("say {}", "again ".repeat(60));
    let (mut most, mut alone, mut at) = (0, 0, records(&ground).await);
    for n in 0..300 {
        assert!(ann.types(&n.to_string(), &long).await.ok);
        let now = records(&ground).await;
        if now > at {
            (at, alone) = (now, 0);
        }
        let (_, event) = ground.log("room.town_hall").await.pop().unwrap();
        // A comma between.
        alone += effects(&event.record).len() + usize::from(alone > 0);
        most = most.max(alone);
    }
    println!("{most} bytes of effects lay alone");
    assert!((63 * 1024..=64 * 1024).contains(&most), "{most} bytes lay alone");
}

#[tokio::test]
async fn a_line_of_a_log_that_was_lost_or_restored_holds_nothing_up() {
    let ground = ground().await;
    let hosts = ground.start("a");
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    ann.types("1", "say hello").await;
    assert!(hosts.drain(SOON).await);
    drop(hosts);
    // As in a stream that was restored: the checkpoint is of another epoch, and the zone's log before it is gone.
    let mut checkpoint = ground.store.checkpoint(&ann.zone).await.unwrap().unwrap();
    checkpoint.stamp = tidings_storage::Stamp { epoch: "before".into(), seq: checkpoint.stamp.seq };
    ground.store.save_checkpoint(&checkpoint).await.unwrap();
    assert_eq!(records(&ground).await, 0);
    let hosts = ground.start("b");
    assert_eq!(ann.reads(&ground, "2", "pose is well").await, "You are now: is well");
    drop(hosts);
    // Its first record now follows one that is no more.
    let _hosts = ground.start("c");
    assert!(ann.types("3", "say hello").await.ok);
}

#[tokio::test]
async fn a_checkpoint_has_what_lies_with_lines() {
    let ground = ground().await;
    let config = HostConfig { checkpoint_commits: 10, ..ground.host_config("a") };
    let hosts = ground.start_with(config.clone());
    let ann = Player::new(&ground, 1, "Ann").await;
    ann.enter(&ground).await;
    let mut last = 0;
    for n in 0..25 {
        last = ann.types(&n.to_string(), "say something").await.seq;
    }
    assert!(hosts.drain(SOON).await);
    let checkpoint = ground.store.checkpoint(&ann.zone).await.unwrap().unwrap();
    assert!(checkpoint.stamp.seq > last, "the zone's record comes after all that was said");
    drop(hosts);
    forget_the_room(&ground).await;
    let _hosts = ground.start_with(HostConfig { name: "b".into(), ..config });
    for n in [24, 20, 12] {
        is_known(&ground, &ann, &n.to_string()).await;
    }
}
