//! A zone that is away: what others decided for it comes when it is back, whoever died meanwhile; and who walks
//! there is not kept waiting for ever.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::player::Player;
use common::{Ground, LEASE};
use parking_lot::Mutex;
use prost::Message as _;
use tidings_bus::{Pattern, Subject, Subscription};
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::world::v1::{self as wire, ZoneRequest, zone_reply, zone_request};
use tidings_service::{CallError, Subjects};
use tidings_storage::Role;
use tidings_world::input::{Fact, Letter};
use tidings_world_service::{HostConfig, Hosts};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

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
    let hosts = start(&ground, "c");
    until("Ben is sent", async || is_in(&ground, &ben, "hill_top").await).await;
    let answer = ben.reads(&ground, "3", "say hello").await;
    assert!(answer.starts_with("You are muted until"), "{answer}");
    // Once: he comes down, and whoever dies, nothing sends him up again but another word. That one follows the first:
    // where it is done, so is whatever there was before it.
    ben.types("4", "down").await;
    drop(hosts);
    let _hosts = start(&ground, "d");
    let again = async || ann.reads(&ground, &format!("{:?}", Instant::now()), "teleport Ben hill_top").await;
    until("Ben is known again", async || again().await == "You send Ben to Top.").await;
    until("Ben is sent again", async || is_in(&ground, &ben, "hill_top").await).await;
    let log = ground.log("room.hill_top").await;
    let came = log.iter().filter(|(_, event)| event.kind == "event.entered").count();
    assert_eq!(came, 2);
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
    let went = async || ann.reads(&ground, &format!("{:?}", Instant::now()), "north").await;
    until("the hill is there again", async || went().await == "You go north.").await;
    assert!(is_in(&ground, &ann, "hill_foot").await);
}

/// Ann stays at the gate, since the hill is away: what was asked of it.
async fn a_move_that_was_given_up(ground: &Ground) -> (Player, wire::Handover) {
    let mut asked = ground.bus.subscribe(&Pattern::from(&hill(ground)), 64).await.unwrap();
    let ann = Player::new(ground, 1, "Ann").await;
    ann.enter(ground).await;
    ann.types("1", "east").await;
    let refused = ann.reads(ground, "2", "north").await;
    assert_eq!(refused, "That place cannot be reached at the moment. Please try again.");
    let asked = ZoneRequest::decode(asked.next().await.unwrap().payload).unwrap().ask;
    let Some(zone_request::Ask::Handover(handover)) = asked else { panic!("{asked:?}") };
    (ann, handover)
}

/// Where the hill is asked.
fn hill(ground: &Ground) -> Subject {
    Subjects(ground.bus.registry()).zone_commands(&"hill".parse().unwrap()).unwrap()
}

/// The ownership record of a zone: a new one each time that it is loaded.
async fn owner(ground: &Ground, zone: &str) -> u64 {
    let log = Subjects(ground.bus.registry()).zone_owner(&zone.parse().unwrap()).unwrap();
    ground.bus.last(&log).await.unwrap().unwrap().seq
}

async fn on_the_hill(ground: &Ground) -> Player {
    let ben = Player { zone: "hill".parse().unwrap(), ..Player::new(ground, 2, "Ben").await };
    ben.enter(ground).await;
    assert_eq!(ben.reads(ground, "1", "say hello").await, "You say: hello");
    ben
}

/// What was asked for before a move was given up may still be on its way. It is refused before it is decided: a zone
/// that decided it would fail in its commit, and lose its people's patience while it is loaded anew.
#[tokio::test]
async fn a_move_that_was_given_up_is_refused_and_its_target_goes_on() {
    let ground = Ground::in_memory().await;
    take_away(&ground, "hill").await;
    let _hosts = start(&ground, "a");
    let (ann, stale) = a_move_that_was_given_up(&ground).await;
    give_back(&ground, "hill").await;
    let ben = on_the_hill(&ground).await;
    let before = owner(&ground, "hill").await;
    let request = ZoneRequest { ask: Some(zone_request::Ask::Handover(stale)) };
    let answer = ground.caller().zone(&ben.zone, &request, SOON).await;
    assert_eq!(answer.unwrap_err().code, ErrorCode::Unavailable);
    assert_eq!(ben.reads(&ground, "2", "say still here").await, "You say: still here");
    assert_eq!(owner(&ground, "hill").await, before, "the zone was loaded anew");
    assert!(is_in(&ground, &ann, "town_gate").await);
}

/// Whoever asked has given up, and may have been told that nobody came in.
#[tokio::test]
async fn who_comes_after_the_asker_gave_up_does_not_come_in() {
    let ground = Ground::in_memory().await;
    take_away(&ground, "hill").await;
    let _hosts = start(&ground, "a");
    let (ann, handover) = a_move_that_was_given_up(&ground).await;
    give_back(&ground, "hill").await;
    let ben = on_the_hill(&ground).await;
    let cat = Player { zone: "hill".parse().unwrap(), ..Player::new(&ground, 3, "Cat").await };
    let from_owner_seq = owner(&ground, "town").await;
    let moves = zone_request::Ask::Handover(wire::Handover { from_owner_seq, ..handover });
    let enters = cat.entering(&ground).await;
    ground
        .while_busy(&ben, async {
            for ask in [moves, enters] {
                let request = ZoneRequest { ask: Some(ask) };
                let answer = cat.caller.zone(&cat.zone, &request, Duration::from_millis(50)).await;
                assert_eq!(answer.unwrap_err().code, ErrorCode::DeadlineExceeded);
            }
        })
        .await;
    // Time for what would be wrong.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ben.reads(&ground, "2", "say still here").await, "You say: still here");
    let places = ground.whereabouts().await;
    assert_eq!(places.get(&ann.id.to_string()).map(String::as_str), Some("town_gate"));
    assert_eq!(places.get(&cat.id.to_string()), None);
}

/// How many letters came together, and whether they were done.
type Came = Arc<Mutex<Vec<(usize, bool)>>>;

/// The hill in the test's own hands: it answers the first letter when it is told to, refuses letters together, and one
/// that ends a silence.
async fn serve_hill(mut asked: Subscription, first: Arc<Notify>, came: Came) {
    let (mut held, mut heard) = (Some(first), 0);
    while let Some(message) = asked.next().await {
        let Some(zone_request::Ask::Control(control)) =
            ZoneRequest::decode(message.payload.clone()).unwrap().ask
        else {
            continue;
        };
        let Fact::Letters(_, letters) = serde_json::from_str(&control.fact).unwrap() else { panic!() };
        if let Some(first) = held.take() {
            first.notified().await;
        }
        let ends = |letter: &Letter| matches!(&letter.fact, Fact::Silenced(_, s) if s.until.is_none());
        let refused = letters.len() > 1 || letters.iter().any(ends);
        // As a zone does it: a letter waits for the one it follows.
        let done = !refused && letters.iter().all(|letter| letter.after <= heard);
        heard = letters.iter().filter(|_| done).map(|letter| letter.number).max().unwrap_or(heard);
        came.lock().push((letters.len(), done));
        let answer = if refused {
            let refusal = CallError::new(ErrorCode::InvalidArgument, "No.");
            zone_reply::Answer::Refusal(refusal.into())
        } else {
            zone_reply::Answer::Done(wire::Done {})
        };
        message.respond(wire::ZoneReply { answer: Some(answer) }.encode_to_vec().into()).unwrap();
    }
}

#[tokio::test]
async fn letters_that_are_refused_together_come_one_by_one() {
    let ground = Ground::in_memory().await;
    take_away(&ground, "hill").await;
    let (first, came) = (Arc::new(Notify::new()), Came::default());
    let asked = ground.bus.subscribe(&Pattern::from(&hill(&ground)), 64).await.unwrap();
    let _hill =
        AbortOnDropHandle::new(tokio::spawn(serve_hill(asked, Arc::clone(&first), Arc::clone(&came))));
    let _hosts = start(&ground, "a");
    let ann = Player::with_role(&ground, 1, "Ann", Role::Moderator).await;
    ann.enter(&ground).await;
    Player::new(&ground, 2, "Ben").await;
    for (id, line) in ["mute_global Ben 5", "unmute_global Ben", "mute_global Ben 6"].iter().enumerate() {
        assert!(ann.types(&id.to_string(), line).await.ok);
    }
    first.notify_one();
    until("the last is brought by itself", async || came.lock().len() == 4).await;
    // The first; two together; the one that is refused, and the one after it.
    assert_eq!(*came.lock(), [(1, true), (2, false), (1, false), (1, true)]);
    ann.types("3", "mute_global Ben 7").await;
    until("the next one follows none of those", async || came.lock().last() == Some(&(1, true))).await;
    until("it is the fifth", async || came.lock().len() == 5).await;
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
