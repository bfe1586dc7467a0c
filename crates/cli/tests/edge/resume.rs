//! Coming back: what was missed comes once, in order; a second sign-in takes over.

use std::time::Duration;

use tidings_client::frames::{ClientFrame, ServerFrame, What};
use tidings_client::{Api, Connection};
use tidings_protocol::Position;
use tidings_test_support::Player;

use crate::harness::House;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_once_and_in_order() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    ann.hears("Ben has joined the world.").await.unwrap();
    let Player { name, session, connection, state } = ann;
    let (address, secret, position) = connection.resume_point();
    drop(connection);
    ben.hears("Ann's connection is lost.").await.unwrap();
    let mut expected = vec![];
    for number in 0..100 {
        ben.does(&format!("say line {number}")).await.unwrap();
        expected.push(format!("Ben says: line {number}"));
    }
    let connection = Connection::resume(house.elsewhere(address), &secret, Some(position)).await.unwrap();
    assert!(connection.welcome().recovered, "{:?}", connection.welcome().reason);
    let mut ann = Player { name, session, connection, state };
    ben.hears("Ann is back.").await.unwrap();
    let heard: Vec<String> =
        ann.lines().await.into_iter().filter(|line| line.starts_with("Ben says")).collect();
    assert_eq!(heard, expected);
    ben.does("say live").await.unwrap();
    ann.hears("Ben says: live").await.unwrap();
    assert_eq!(ann.does("say hi").await.unwrap(), "You say: hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_epoch_or_none_says_so() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let (address, secret, _) = ann.connection.resume_point();
    drop(ann);
    let connection =
        Connection::resume(house.elsewhere(address), &secret, Some(Position::new("other", 1))).await.unwrap();
    let welcome = connection.welcome().clone();
    assert_eq!((welcome.recovered, welcome.reason.as_deref()), (false, Some("epoch")));
    drop(connection);
    let connection = Connection::resume(address, &welcome.resume, None).await.unwrap();
    assert_eq!(connection.welcome().reason.as_deref(), Some("no_position"));
    let foreign = Connection::resume(address, "0123", None).await;
    assert!(foreign.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sign_in_takes_over() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let session = house.api.sign_in("ann-account", "correct horse Ann").await.unwrap();
    let api = Api::new(house.elsewhere(house.api.address()));
    let again = Player::enter(&api, session, Some("Ann")).await.unwrap();
    loop {
        match ann.connection.next().await.unwrap() {
            ServerFrame::Bye(bye) => break assert_eq!(bye.code, 4001),
            _ => continue,
        }
    }
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sent_again_after_a_drop_is_done_once_and_answered_as_it_was() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    let command = || ClientFrame::Command { id: "once".to_owned(), text: "say once".to_owned() };
    ann.connection.send(&command()).await.unwrap();
    assert_eq!(ann.connection.reply("once").await.unwrap().text, "You say: once");
    let mut ann = ann.reconnect().await.unwrap();
    ann.connection.send(&command()).await.unwrap();
    assert_eq!(ann.connection.reply("once").await.unwrap().text, "You say: once");
    assert_eq!(ann.does("say twice").await.unwrap(), "You say: twice");
    ben.hears("Ann says: twice").await.unwrap();
    let said = ben.lines().await.into_iter().filter(|line| line == "Ann says: once").count();
    assert_eq!(said, 1, "left waiting by `hears`, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_filtered_by_the_mutes_as_they_stand_now() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    let mut cat = house.player("Cat").await;
    ann.hears("Cat has joined the world.").await.unwrap();
    assert_eq!(ann.does("mute Ben").await.unwrap(), "You have muted Ben.");
    let Player { name, session, connection, state } = ann;
    let (address, secret, position) = connection.resume_point();
    drop(connection);
    cat.hears("Ann's connection is lost.").await.unwrap();
    ben.does("say unheard").await.unwrap();
    cat.does("say heard").await.unwrap();
    let connection = Connection::resume(house.elsewhere(address), &secret, Some(position)).await.unwrap();
    assert!(connection.welcome().recovered);
    let mut ann = Player { name, session, connection, state };
    let said: Vec<String> = ann.lines().await.into_iter().filter(|line| line.contains("says")).collect();
    assert_eq!(said, ["Cat says: heard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_and_not_taken_outlives_a_reconnect() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    ben.does("say one").await.unwrap();
    // Her reply comes behind the line, which waits.
    assert_eq!(ann.does("say hi").await.unwrap(), "You say: hi");
    let mut ann = ann.reconnect().await.unwrap();
    ben.does("say two").await.unwrap();
    let said = ann.lines().await.into_iter().filter(|line| line.starts_with("Ben says"));
    assert_eq!(said.collect::<Vec<_>>(), ["Ben says: one", "Ben says: two"]);
}

/// What the edge asks for the room.
const VIEW: &str = "cmd.zone.town view";
/// Until nothing more comes.
const SILENCE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_behind_the_welcome_waits_until_everything_missed_was_told() {
    let house = House::new().await;
    let ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    let Player { connection, .. } = ann;
    let (address, secret, position) = connection.resume_point();
    drop(connection);
    ben.hears("Ann's connection is lost.").await.unwrap();
    // More than a part of a replay, and than a socket takes from a client that does not read.
    for _ in 0..200 {
        house.long_event("event.done").await;
    }
    let mut connection = Connection::resume(house.elsewhere(address), &secret, Some(position)).await.unwrap();
    assert!(connection.welcome().recovered);
    connection.send(&ClientFrame::State { what: What::Map, page: None }).await.unwrap();
    let ids = [connection.start("say one").await.unwrap(), connection.start("say two").await.unwrap()];
    let (mut missed, mut seen) = (0, Vec::new());
    while seen.len() < 3 {
        match connection.next_within(Duration::from_secs(10)).await.unwrap() {
            ServerFrame::Event(event) if event.kind == "event.done" => missed += 1,
            ServerFrame::Reply(reply) => seen.push((reply.id, missed)),
            ServerFrame::State(state) if state.what == What::Map => seen.push(("map".to_owned(), missed)),
            ServerFrame::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    // The view may come before or after the replies; the replies come in order.
    let map = seen.iter().position(|(what, _)| what == "map").map(|at| seen.remove(at));
    assert_eq!(map.map(|(_, missed)| missed), Some(200));
    assert_eq!(seen, ids.map(|id| (id, 200)));
}

/// The occupants whose pose the patches say that come until nothing more does.
async fn posed(player: &mut Player) -> Vec<String> {
    let mut posed = Vec::new();
    while let Ok(frame) = player.connection.next_within(SILENCE).await {
        if let ServerFrame::Patch(patch) = frame {
            let patch = serde_json::to_value(&patch.patch).unwrap();
            posed.extend(patch["occupants"].as_object().unwrap().values().map(|o| o["pose"].to_string()));
        }
    }
    posed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_the_state_holds_already_is_not_told() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    ann.hears("Ben has joined the world.").await.unwrap();
    let (_, _, before) = ann.connection.resume_point();
    ben.does("pose in the hall").await.unwrap();
    ann.does("go east").await.unwrap();
    ann.sees_room().await.unwrap();
    ben.does("go east").await.unwrap();
    ben.sees_room().await.unwrap();
    // From before Ann left the hall: its patch is none of the room she is in.
    let (address, secret, _) = ann.connection.resume_point();
    let Player { name, session, connection, state } = ann;
    drop(connection);
    let connection = Connection::resume(house.elsewhere(address), &secret, Some(before)).await.unwrap();
    assert!(connection.welcome().recovered);
    let mut ann = Player { name, session, connection, state };
    assert_eq!(posed(&mut ann).await, Vec::<String>::new());
    ben.does("pose at the gate").await.unwrap();
    assert_eq!(posed(&mut ann).await, ["\"at the gate\""]);
    // One that was made while the room's state is on its way is in that state.
    ben.does("go west").await.unwrap();
    ben.sees_room().await.unwrap();
    house.between.asked();
    house.between.silence(VIEW, true);
    let moved = ann.connection.start("go west").await.unwrap();
    house.between.until_asked(VIEW).await;
    ben.does("pose in the hall again").await.unwrap();
    house.between.silence(VIEW, false);
    assert!(ann.connection.reply(&moved).await.unwrap().ok);
    let room = ann.sees_room().await.unwrap();
    assert!(room.body["room"].to_string().contains("in the hall again"), "{}", room.body["room"]);
    assert_eq!(posed(&mut ann).await, Vec::<String>::new());
}
