//! What hosting promises, with the real rules: one outcome a command, nothing lost, one speaker, whatever dies.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::Ground;
use common::player::Player;
use tidings_protocol::proto::world::v1::link;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn two_meet_speak_and_walk() {
    let ground = Ground::in_memory().await;
    let hosts = ground.start("a");
    let ann = Player::new(&ground, 1, "Ann").await;
    let ben = Player::new(&ground, 2, "Ben").await;
    let entered = ann.enter(&ground).await;
    assert!(!entered.was_there);
    assert!(entered.audiences.contains(&"room.town_hall".to_owned()), "{:?}", entered.audiences);
    let first = ground.log(&format!("player.{}", ann.id)).await;
    assert_eq!(first[0].0, entered.seq, "heard from the audiences' record on");
    assert_eq!(first[0].1.audiences.as_ref().unwrap().after, entered.audiences);
    ben.enter(&ground).await;

    assert_eq!(ann.reads(&ground, "1", "say hello").await, "You say: hello");
    assert_eq!(ben.reads(&ground, "1", "e").await, "You go east.");
    assert_eq!(ben.reads(&ground, "2", "n").await, "You go north.");
    let (state, _) = ann.state().await.unwrap();
    assert!(state.contains("town_hall") && !state.contains("Ben"), "{state}");
    assert_eq!(
        ground.said("room.town_hall").await,
        [
            "Ann has joined the world.",
            "Ben has joined the world.",
            "Ann says: hello",
            "Ben leaves to the east.",
        ]
    );
    assert_eq!(ground.said("room.hill_foot").await, ["Ben arrives from the south."]);
    assert_eq!(ground.whereabouts().await[&ben.id.to_string()], "hill_foot");

    let ben = Player { zone: "hill".parse().unwrap(), ..ben };
    ben.link(link::Kind::Lost, 60_000).await;
    ben.link(link::Kind::Back, 0).await;
    let left = ben.leave().await;
    assert!(left.seq > 0);
    let stored = ground.store.character(ben.id).await.unwrap().unwrap();
    assert_eq!(stored.room.unwrap().as_str(), "hill_foot", "kept before the answer to leaving");
    assert!(hosts.drain(SOON).await);
    assert_eq!(ground.whereabouts().await.len(), 1);
}
