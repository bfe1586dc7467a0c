//! Hints of a room: who is there hears them, without a place in the flow; a slow reader misses the oldest and is told.

use std::time::Duration;

use prost::Message as _;
use tidings_client::Connection;
use tidings_client::frames::{Event, ServerFrame};
use tidings_protocol::proto::world::v1 as wire;
use tidings_service::Subjects;
use tidings_test_support::Player;

use crate::harness::House;

/// Publishes a hint in a room of the test's world.
async fn hint(house: &House, room: &str, number: usize, bytes: usize) {
    publish(house, room, "event.ambience", number, bytes).await;
}

/// Waits until the edge follows the hints of the room that the player is in: it begins to a moment after the log.
async fn followed(house: &House, room: &str, player: &mut Player) {
    let warm = |frame: &ServerFrame| matches!(frame, ServerFrame::Event(e) if e.kind == "event.warm");
    for _ in 0..100 {
        publish(house, room, "event.warm", 0, 0).await;
        if player.connection.find(warm, Duration::from_millis(100)).await.is_ok() {
            return;
        }
    }
    panic!("{room} has no hints");
}

async fn publish(house: &House, room: &str, kind: &str, number: usize, bytes: usize) {
    let subject = Subjects(house.bus.registry()).hint(&room.parse().unwrap()).unwrap();
    let text =
        wire::Text { key: format!("A gull cries. {number} {}", "x".repeat(bytes)), ..wire::Text::default() };
    let event = wire::Event { kind: kind.into(), text: Some(text), ..wire::Event::default() };
    house.bus.publish(&subject, event.encode_to_vec().into(), Vec::new()).await.unwrap();
}

fn number(event: &Event) -> usize {
    event.text.split(' ').nth(3).and_then(|word| word.parse().ok()).expect("a hint of this test")
}

async fn next_hint(connection: &mut Connection) -> Event {
    let wanted = |frame: &ServerFrame| matches!(frame, ServerFrame::Event(e) if e.kind == "event.ambience");
    match connection.find(wanted, Duration::from_secs(10)).await.unwrap() {
        ServerFrame::Event(event) => event,
        _ => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_reach_those_in_the_room_and_have_no_place_in_the_flow() {
    let house = House::new().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    ben.does("go east").await.unwrap();
    ann.hears("Ben leaves to the east.").await.unwrap();
    followed(&house, "town_hall", &mut ann).await;
    followed(&house, "town_gate", &mut ben).await;
    let position = ann.connection.position().clone();
    hint(&house, "town_hall", 1, 0).await;
    hint(&house, "town_gate", 2, 0).await;
    let event = next_hint(&mut ann.connection).await;
    assert_eq!((number(&event), event.seq, event.position, event.audience.as_str()), (1, 0, None, "room"));
    assert_eq!(number(&next_hint(&mut ben.connection).await), 2);
    assert_eq!(ann.connection.position(), &position);
    // Who walks hears those of the new room, and those of the old no more.
    ben.does("go west").await.unwrap();
    hint(&house, "town_gate", 3, 0).await;
    hint(&house, "town_hall", 4, 0).await;
    for player in [&mut ann, &mut ben] {
        assert_eq!(number(&next_hint(&mut player.connection).await), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_misses_the_oldest_hints_and_is_told_how_many() {
    const HINTS: usize = 400;
    // Ben, who reads each of them, sets the pace for the edge that Ann is at.
    let house = House::at_one_edge().await;
    let mut ann = house.player("Ann").await;
    let mut ben = house.player("Ben").await;
    followed(&house, "town_hall", &mut ben).await;
    // Many times what sockets hold: Ann reads nothing meanwhile, and Ben each of them.
    for sent in 0..HINTS {
        hint(&house, "town_hall", sent, 30_000).await;
        assert_eq!(number(&next_hint(&mut ben.connection).await), sent);
    }
    assert_eq!(house.sessions(), 2, "nobody is sent away for hints");
    let (mut heard, mut missed) = (Vec::new(), 0);
    while heard.last() != Some(&(HINTS - 1)) {
        match ann.connection.next_within(Duration::from_secs(10)).await.unwrap() {
            ServerFrame::Event(event) if event.kind == "event.ambience" => heard.push(number(&event)),
            ServerFrame::Gap { audience, missed: more } => {
                assert_eq!(audience, "room");
                missed += usize::try_from(more).unwrap();
            }
            _ => {}
        }
    }
    assert!(heard.is_sorted() && missed > 0, "{missed}");
    assert_eq!(heard.len() + missed, HINTS);
    assert_eq!(ann.does("say still here").await.unwrap(), "You say: still here");
}
