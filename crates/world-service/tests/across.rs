//! What zones do to each other, and what they ask of services: presence, whispers, staff, questions.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Ground;
use common::player::Player;
use parking_lot::Mutex;
use tidings_protocol::proto::services::v1 as services;
use tidings_protocol::proto::world::v1::{self as wire, zone_reply};
use tidings_protocol::{CharacterId, SessionId};
use tidings_service::{CallContext, CallError, Server};
use tidings_storage::{CharacterName, NewCharacter, Record, Role, Stamp};
use tidings_world_service::Hosts;

const SOON: Duration = Duration::from_secs(5);

/// Ann, a moderator, in the hall; Ben on the hill.
async fn apart(ground: &Ground) -> (Player, Player, Hosts) {
    let hosts = ground.start("a");
    let ann = Player::with_role(ground, 1, "Ann", Role::Moderator).await;
    let mut ben = Player::new(ground, 2, "Ben").await;
    ann.enter(ground).await;
    ben.enter(ground).await;
    ben.types("1", "east").await;
    ben.types("2", "north").await;
    ben.zone = "hill".parse().unwrap();
    (ann, ben, hosts)
}

/// Waits for what another zone does after the reply.
async fn until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}");
}

async fn own_log(ground: &Ground, player: &Player) -> Vec<wire::Event> {
    ground.log(&format!("player.{}", player.id)).await.into_iter().map(|(_, event)| event).collect()
}

#[tokio::test]
async fn who_is_where_is_known_in_every_zone_at_the_reply() {
    let ground = Ground::in_memory().await;
    let (ann, ben, _hosts) = apart(&ground).await;
    let who = ann.reads(&ground, "1", "who").await;
    assert!(who.starts_with("Online: 2") && who.contains("Ben - Foot"), "{who}");
    // Each reply is followed by a question in the other zone: it knows already.
    for n in 0..20 {
        let (way, place) = if n % 2 == 0 { ("up", "Top") } else { ("down", "Foot") };
        ben.types(&format!("w{n}"), way).await;
        let who = ann.reads(&ground, &format!("w{n}"), "who").await;
        assert!(who.contains(&format!("Ben - {place}")), "{n}: {who}");
    }
    ben.leave().await;
    let who = ann.reads(&ground, "2", "who").await;
    assert!(who.starts_with("Online: 1"), "{who}");
    assert_eq!(ground.bus.kv("presence").unwrap().keys().await.unwrap(), [ann.id.to_string()]);
}

#[tokio::test]
async fn whispers_cross_zones_and_the_answer_finds_its_way() {
    let ground = Ground::in_memory().await;
    let (ann, ben, _hosts) = apart(&ground).await;
    assert_eq!(ann.reads(&ground, "1", "whisper Ben psst").await, "[whisper] You to Ben: psst");
    let heard = own_log(&ground, &ben).await.into_iter().filter_map(|event| event.text).map(common::render);
    assert_eq!(heard.collect::<Vec<_>>(), ["[whisper] Ann to you: psst"]);
    until("Ben's zone knows whom to answer", async || {
        ben.reads(&ground, &format!("r{:?}", std::time::Instant::now()), "reply yes").await
            == "[whisper] You to Ann: yes"
    })
    .await;
}

#[tokio::test]
async fn a_player_who_is_away_is_known_by_name() {
    let ground = Ground::in_memory().await;
    let (ann, _ben, _hosts) = apart(&ground).await;
    Player::new(&ground, 3, "Cat").await;
    assert_eq!(ann.reads(&ground, "1", "whisper Cat hello").await, "Cat is not in the world.");
    assert_eq!(ann.reads(&ground, "2", "whisper Dan hello").await, "There is no player called 'Dan'.");
    assert_eq!(ann.reads(&ground, "3", "mute Cat").await, "You have muted Cat.");
}

#[tokio::test]
async fn staff_reaches_into_other_zones() {
    let ground = Ground::in_memory().await;
    let (ann, ben, _hosts) = apart(&ground).await;
    ann.types("1", "summon Ben").await;
    until("Ben is summoned", async || {
        ground.whereabouts().await.get(&ben.id.to_string()).is_some_and(|room| room == "town_hall")
    })
    .await;
    ann.types("2", "teleport Ben hill_top").await;
    until("Ben is sent", async || {
        ground.whereabouts().await.get(&ben.id.to_string()).is_some_and(|room| room == "hill_top")
    })
    .await;
    ann.types("3", "kick Ben enough").await;
    until("Ben is out", async || own_log(&ground, &ben).await.iter().any(|event| event.bye.is_some())).await;
    let bye = own_log(&ground, &ben).await.into_iter().find_map(|event| event.bye).unwrap();
    assert_eq!((bye.code, bye.reason.as_str()), (4004, "enough"));
    assert_eq!(ground.whereabouts().await.len(), 1);
    until("the audit log has it", async || {
        let page = ground.store.audit_page(None, 10).await.unwrap();
        page.iter().any(|(_, entry)| entry.action == "kick" && entry.target == "Ben")
    })
    .await;
}

#[tokio::test]
async fn a_ban_is_kept_and_ends_the_sessions() {
    let ground = Ground::in_memory().await;
    let revoked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&revoked);
    let session = Server::new(ground.bus.clone(), "session")
        .method("revoke", move |_: CallContext, request: services::RevokeRequest| {
            told.lock().push((request.account, request.code));
            async { Ok::<_, CallError>(services::RevokeReply { revoked: 1 }) }
        })
        .start()
        .await
        .unwrap();
    let (ann, ben, hosts) = apart(&ground).await;
    ann.types("1", "ban Ben 5 rude").await;
    until("the service is told", async || !revoked.lock().is_empty()).await;
    assert_eq!(*revoked.lock(), [(ben.account.to_string(), 4005)]);
    until("the ban is kept", async || {
        ground.store.account(ben.account).await.unwrap().unwrap().ban.is_some()
    })
    .await;
    // Killed and replayed: nothing changes the second time.
    drop(hosts);
    let _hosts = ground.start("b");
    ann.types("2", "say still here").await;
    let ban = ground.store.account(ben.account).await.unwrap().unwrap().ban.unwrap();
    assert_eq!(ban.reason, "rude");
    session.drain(SOON).await;
}

#[tokio::test]
async fn one_who_is_silenced_is_silent_in_every_zone() {
    let ground = Ground::in_memory().await;
    let (ann, ben, _hosts) = apart(&ground).await;
    ann.types("1", "mute_global Ben 5").await;
    until("Ben is silenced", async || {
        let id = format!("s{:?}", std::time::Instant::now());
        ben.reads(&ground, &id, "say hello").await.starts_with("You are muted until")
    })
    .await;
    until("storage has it", async || {
        ground.store.account(ben.account).await.unwrap().unwrap().silenced_until_ms.is_some()
    })
    .await;
    // It holds for the next visit too: what storage has is asked when one enters.
    ben.leave().await;
    ben.enter(&ground).await;
    let answer = ben.reads(&ground, "9", "say hello").await;
    assert!(answer.starts_with("You are muted until"), "{answer}");
}

/// It was here when it asked to enter, and had left when that was decided: then too storage is asked.
#[tokio::test]
async fn one_who_leaves_while_it_enters_is_silent_still() {
    let ground = Ground::in_memory().await;
    let _hosts = ground.start("a");
    let ben = Player::new(&ground, 2, "Ben").await;
    ben.enter(&ground).await;
    let silence = Record::Silence(ben.account, Some(4_000_000_000_000), "rude".into());
    let stamp = Stamp { epoch: ground.bus.epoch(), seq: 1 };
    ground.store.apply(&stamp, &[silence]).await.unwrap();
    assert_eq!(ben.reads(&ground, "1", "say hello").await, "You say: hello", "its zone has not heard of it");
    let entering = ben.entering(&ground).await;
    let (left, entered) = tokio::join!(ben.leave(), ben.ask(entering));
    let Ok(zone_reply::Answer::Entered(entered)) = entered else { panic!("{entered:?}") };
    assert!(!entered.was_there && entered.seq > left.seq, "{entered:?} after {left:?}");
    let answer = ben.reads(&ground, "2", "say hello").await;
    assert!(answer.starts_with("You are muted until"), "{answer}");
}

/// A mute holds from its confirmation on, for who enters before storage has it, too; and so does its end.
#[tokio::test]
async fn a_mute_that_is_not_in_storage_yet_is_known_to_who_enters() {
    let ground = Ground::in_memory().await;
    let (ann, ben, _hosts) = apart(&ground).await;
    let mut others = Vec::new();
    for (number, name) in [(8, "Annette"), (9, "Annie")] {
        let (id, account) = (CharacterId::new(2, number), ann.account);
        let new = NewCharacter { id, account, name: CharacterName::new(name).unwrap(), created_ms: 1 };
        ground.store.create_character(&new, 10).await.unwrap();
        let session = SessionId::new(3, number);
        others.push(Player { id, session, name: name.into(), ..Player::known(&ground, 1, name) });
    }
    let held = ground.hold_storage().await;
    for (other, (command, removed)) in others.iter().zip([("mute Ben", false), ("unmute Ben", true)]) {
        ann.types(command, command).await;
        let mutes = other.enter(&ground).await.mutes.expect("they were looked up").mutes;
        let told: Vec<_> = mutes.iter().map(|mute| (mute.target_account.clone(), mute.removed)).collect();
        assert_eq!(told, [(ben.account.to_string(), removed)], "after '{command}'");
        assert!(mutes[0].seq > 0, "by its commit it is told from a later one");
        let listed = other.reads(&ground, "1", "mutes").await;
        assert_eq!(listed.contains("Ben"), !removed, "{listed}");
    }
    assert_eq!(ground.store.mutes(ann.account, 0).await.unwrap(), []);
    drop(held);
    until("storage has both", async || {
        let marks = ground.store.mute_marks(&[ann.account], 0).await.unwrap();
        marks.iter().any(|mark| mark.ended)
    })
    .await;
}

#[tokio::test]
async fn one_who_enters_the_wrong_zone_is_found_where_it_is() {
    let ground = Ground::in_memory().await;
    let (_ann, ben, _hosts) = apart(&ground).await;
    let confused = Player { zone: "town".parse().unwrap(), ..ben };
    let entered = confused.enter(&ground).await;
    assert!(entered.was_there, "{entered:?}");
    assert_eq!(entered.zone, "hill");
    assert!(entered.audiences.contains(&"room.hill_foot".to_owned()), "{:?}", entered.audiences);
    assert_eq!(ground.whereabouts().await.len(), 2);
}
