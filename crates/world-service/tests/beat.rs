//! What a zone does of itself, however much that is.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::Ground;
use common::player::Player;
use futures_util::future::join_all;
use tidings_protocol::proto::world::v1::zone_request::Ask;
use tidings_test_support::small_world;
use tidings_world::Content;
use tidings_world_service::HostConfig;

/// More rooms out of doors than a commit has messages, with somebody in each.
const ROOMS: u128 = tidings_bus::COMMIT_MESSAGES_MAX as u128 + 100;
/// Who enter at once: fewer than a zone lets in at a time.
const AT_ONCE: u128 = 100;

fn many_rooms() -> Content {
    let mut files = small_world();
    let town = files.get_mut("zones/town.toml").unwrap();
    *town = town.replace("[areas]", "[weather]\nrain = 1\n[areas]");
    *town = town.replace("exits.north", "exits.up = \"r0\"\nexits.north");
    for n in 0..ROOMS {
        let back = if n == 0 { "gate".to_owned() } else { format!("r{}", n - 1) };
        write!(town, "[rooms.r{n}]\nname = \"R\"\ndescription = \"A room.\"\noutdoors = true\n").unwrap();
        writeln!(town, "exits.down = \"{back}\"").unwrap();
        if n + 1 < ROOMS {
            writeln!(town, "exits.up = \"r{}\"", n + 1).unwrap();
        }
    }
    Content::load(&files).expect("no mistake")
}

#[tokio::test]
async fn weather_is_told_in_more_rooms_than_a_commit_takes() {
    let mut ground = Ground::in_memory().await;
    ground.content = Arc::new(many_rooms());
    let now = Arc::new(AtomicI64::new(1_763_700_000_000));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let _hosts = ground.start_with(HostConfig { clock, ..ground.host_config("a") });
    let one = Player::new(&ground, 1, "Ann").await;
    let entering = one.entering(&ground).await;
    let enter = async |n: u128| {
        let player = Player::known(&ground, n, &format!("P{n}"));
        let Ask::Enter(mut enter) = entering.clone() else { panic!("an entry") };
        enter.session = player.session.to_string();
        let character = enter.character.as_mut().unwrap();
        (character.id, character.account) = (player.id.to_string(), player.account.to_string());
        (character.name, character.room) = (player.name.clone(), format!("town_r{}", n - 1));
        player.ask(Ask::Enter(enter)).await.unwrap();
    };
    for first in (1..=ROOMS).step_by(AT_ONCE as usize) {
        join_all((first..(first + AT_ONCE).min(ROOMS + 1)).map(&enter)).await;
    }
    now.fetch_add(5_000, Ordering::Relaxed);
    assert_eq!(one.reads(&ground, "1", "say hi").await, "You say: hi");
    for n in 0..ROOMS {
        let log = ground.log(&format!("room.town_r{n}")).await;
        let told = log.iter().filter(|(_, event)| event.patch.contains("rain")).count();
        assert_eq!(told, 1, "room {n}");
    }
}
