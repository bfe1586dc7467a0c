//! Mutes hold from their confirmation on, whatever storage knows of them, and replays are judged by the newest.

use std::time::Duration;

use prost::Message as _;
use tidings_bus::Append;
use tidings_client::Connection;
use tidings_client::frames::{ServerFrame, What};
use tidings_protocol::Text;
use tidings_protocol::proto::world::v1::{Actor, Event, MuteChange};
use tidings_storage::{Mute, Record, Stamp};
use tidings_test_support::Player;

use crate::harness::House;

/// What the edge asks for mutes.
const MUTES: &str = "svc.moderation.v1.mutes";
/// What it asks for the room.
const VIEW: &str = "cmd.zone.town view";

async fn two() -> (House, Player, Player) {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let ben = house.player("Ben").await;
    ann.hears("Ben has joined the world.").await.unwrap();
    (house, ann, ben)
}

fn said(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| line.contains(" says: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_that_storage_does_not_have_yet_outlives_a_reload_and_a_reconnect() {
    let (house, mut ann, mut ben) = two().await;
    let account = house.account("Ann").await.to_string();
    house.between.freeze(MUTES);
    house.mutes_changed(&account).await;
    house.between.frozen(MUTES).await; // what is known now is what storage says from here on
    assert_eq!(ann.does("mute Ben").await.unwrap(), "You have muted Ben.");
    house.mutes_changed(&account).await;
    // Answered after the list that was asked for.
    ann.connection.state(What::Room, None).await.unwrap();
    ben.does("say one").await.unwrap();
    assert_eq!(said(ann.lines().await), Vec::<String>::new());
    let mut ann = ann.reconnect().await.unwrap();
    ben.does("say two").await.unwrap();
    assert_eq!(said(ann.lines().await), Vec::<String>::new());
    // Taken back, it is taken back at once, though storage says nothing of that either.
    assert_eq!(ann.does("unmute Ben").await.unwrap(), "You have unmuted Ben.");
    house.mutes_changed(&account).await;
    ben.does("say three").await.unwrap();
    ann.hears("Ben says: three").await.unwrap();
    house.between.thaw(MUTES);
    house.mutes_changed(&account).await;
    ben.does("say four").await.unwrap();
    ann.hears("Ben says: four").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_whose_confirmation_was_missed_holds_at_another_edge() {
    let (house, mut ann, mut ben) = two().await;
    let (_edge, api) = house.another_edge("edge-2").await;
    let (_, secret, position) = ann.connection.resume_point();
    // The other edge hears what storage says now, and nothing later.
    house.between.freeze(MUTES);
    house.mutes_changed(&house.account("Ann").await.to_string()).await;
    house.between.frozen(MUTES).await;
    ann.does("mute Ben").await.unwrap();
    ben.does("say unheard").await.unwrap();
    let Player { name, session, connection, state } = ann;
    drop(connection);
    let connection = Connection::resume(api.address(), &secret, Some(position)).await.unwrap();
    assert!(connection.welcome().recovered);
    let mut ann = Player { name, session, connection, state };
    ben.does("say unheard too").await.unwrap();
    let lines = ann.lines().await;
    assert!(lines.contains(&"You have muted Ben.".to_owned()), "{lines:?}");
    assert_eq!(said(lines), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_holds_at_once_for_all_characters_of_the_account() {
    let (house, mut ann, mut ben) = two().await;
    // As many as an account may have beside Ann: some of them in the other shard.
    let mut others = Vec::new();
    for name in ["Anna", "Anne", "Annie", "Annika", "Annelie", "Annabel", "Anka"] {
        let session = house.api.sign_in("ann-account", "correct horse Ann").await.unwrap();
        house.api.create_character(&session, name).await.unwrap();
        others.push(Player::enter(&house.api, session, Some(name)).await.unwrap());
    }
    house.between.freeze(MUTES);
    house.mutes_changed(&house.account("Ann").await.to_string()).await;
    house.between.frozen(MUTES).await;
    // A mute and a line right behind it, in one commit: nothing passes from shard to shard between the two.
    let (ann_id, ben_id) = (house.account("Ann").await, house.account("Ben").await);
    let mute = MuteChange {
        account: ann_id.to_string(),
        target_account: ben_id.to_string(),
        ..MuteChange::default()
    };
    let muted = Event { kind: "event.muted".into(), mute: Some(mute), ..Event::default() };
    let from = Actor { name: "Ben".into(), account: ben_id.to_string(), ..Actor::default() };
    let line = Event {
        kind: "chat.say".into(),
        from: Some(from),
        text: Some(Text::new("chat.say").with("name", "Ben").with("text", "unheard").into()),
        channel: "say".into(),
        ..Event::default()
    };
    let own_log = house.log(&format!("player.{}", ann.connection.welcome().character.id));
    let batch = [(own_log, muted), (house.log("room.town_hall"), line)];
    let batch = batch.map(|(subject, event)| Append { subject, payload: event.encode_to_vec().into() });
    house.bus.commit(batch.into(), Vec::new()).await.unwrap();
    ben.does("say unheard too").await.unwrap();
    for player in others.iter_mut().chain([&mut ann]) {
        assert_eq!(said(player.lines().await), Vec::<String>::new(), "{}", player.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_holds_at_once_for_the_account_at_another_edge() {
    let (house, mut ann, mut ben) = two().await;
    let (_edge, api) = house.another_edge("edge-2").await;
    let session = house.api.sign_in("ann-account", "correct horse Ann").await.unwrap();
    house.api.create_character(&session, "Anna").await.unwrap();
    let mut anna = Player::enter(&api, session, Some("Anna")).await.unwrap();
    // Whatever the other edge asks storage from here on, it hears of no mute.
    house.between.freeze(MUTES);
    house.mutes_changed(&house.account("Ann").await.to_string()).await;
    house.between.frozen(MUTES).await;
    ann.does("mute Ben").await.unwrap();
    ben.does("say unheard").await.unwrap();
    assert_eq!(said(anna.lines().await), Vec::<String>::new());
    // Back after a drop, it is told so by what it missed.
    let mut anna = anna.reconnect().await.unwrap();
    ben.does("say unheard too").await.unwrap();
    assert_eq!(said(anna.lines().await), Vec::<String>::new());
    ann.does("unmute Ben").await.unwrap();
    ben.does("say hello").await.unwrap();
    anna.hears("Ben says: hello").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_made_while_a_session_joins_holds_for_what_it_missed() {
    let (house, ann, mut ben) = two().await;
    let (ann_id, ben_id) = (house.account("Ann").await, house.account("Ben").await);
    let (address, secret, position) = ann.connection.resume_point();
    let Player { name, session, connection, state } = ann;
    drop(connection);
    ben.hears("Ann's connection is lost.").await.unwrap();
    ben.does("say missed").await.unwrap();
    // Ann's mutes are loaded; the room's state, which is asked for after them, keeps her waiting.
    house.between.asked();
    house.between.silence(VIEW, true);
    let joining =
        tokio::spawn(async move { Connection::resume(address, &secret, Some(position)).await.unwrap() });
    house.between.until_asked(VIEW).await;
    let mute = Mute {
        account: ann_id,
        target: Some(ben_id),
        channel: String::new(),
        name: "Ben".into(),
        until_ms: None,
        reason: String::new(),
    };
    let stamp = Stamp { epoch: house.bus.epoch(), seq: u64::from(u32::MAX) };
    house.store.apply(&stamp, &[Record::Mute { mute, removed: false }]).await.unwrap();
    house.between.silence(MUTES, true);
    house.mutes_changed(&ann_id.to_string()).await;
    house.between.until_asked(MUTES).await;
    house.between.silence(VIEW, false);
    // Time for what would be wrong: the replay, by what was known before.
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.between.silence(MUTES, false);
    let connection = joining.await.unwrap();
    assert!(connection.welcome().recovered);
    let mut ann = Player { name, session, connection, state };
    ben.does("local the end").await.unwrap();
    assert_eq!(said(ann.lines().await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_is_of_lines_and_not_of_who_is_there() {
    let (_house, mut ann, mut ben) = two().await;
    ann.does("mute Ben").await.unwrap();
    ann.lines().await;
    for command in ["say unheard", "emote waves unseen", "pose in plain sight", "go east", "go west"] {
        ben.does(command).await.unwrap();
    }
    ben.does("party invite Ann").await.unwrap();
    let (address, secret, position) = ben.connection.resume_point();
    drop(ben);
    ann.hears("Ben's connection is lost.").await.unwrap();
    let mut ben = Connection::resume(address, &secret, Some(position)).await.unwrap();
    ann.hears("Ben is back.").await.unwrap();
    ben.command("say still unheard").await.unwrap();
    let mut told = Vec::new();
    while let Ok(frame) = ann.connection.next_within(Duration::from_millis(300)).await {
        match frame {
            ServerFrame::Event(event) => told.push(event.kind),
            ServerFrame::Patch(_) => told.push("a patch".to_owned()),
            _ => {}
        }
    }
    assert_eq!(told, ["a patch", "event.left", "event.entered"]);
}
