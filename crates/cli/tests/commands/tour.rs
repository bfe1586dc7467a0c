//! A guest walks through the whole demo world by its exits, as typed, and looks at everything in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, ensure};
use tidings_protocol::RoomId;
use tidings_test_support::{Player, ServerBuilder};
use tidings_world::Content;
use tidings_world::content::model::Direction;

/// The directions from a room to the nearest one that was not seen yet.
fn way(content: &Content, from: &RoomId, seen: &BTreeSet<RoomId>) -> Option<Vec<Direction>> {
    let mut ways = BTreeMap::from([(from.clone(), Vec::new())]);
    let mut queue = VecDeque::from([from.clone()]);
    while let Some(at) = queue.pop_front() {
        if !seen.contains(&at) {
            return ways.remove(&at);
        }
        for (direction, exit) in content.rooms[&at].exits.iter().filter(|(_, exit)| !exit.locked) {
            if !ways.contains_key(&exit.to) {
                let way = [&ways[&at][..], &[*direction]].concat();
                ways.insert(exit.to.clone(), way);
                queue.push_back(exit.to.clone());
            }
        }
    }
    None
}

async fn look_around(guest: &mut Player, content: &Content, room: &RoomId) -> Result<()> {
    let room = &content.rooms[room];
    let shown = guest.does("look").await?;
    ensure!(shown.starts_with(&room.name) && shown.contains(&room.description), "{}: {shown}", room.id);
    for (direction, exit) in &room.exits {
        let listed =
            shown.lines().any(|line| line.starts_with("Exits:") && line.contains(direction.names().0));
        ensure!(listed != exit.hidden, "{}: {} {shown}", room.id, direction.names().0);
    }
    for thing in &room.things {
        for word in &thing.words {
            let seen = guest.does(&format!("look {word}")).await.with_context(|| room.id.to_string())?;
            ensure!(seen.contains(&thing.description), "{}: look {word}: {seen}", room.id);
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_room_can_be_walked_to_and_everything_in_it_looked_at() -> Result<()> {
    let content = Content::load(&tidings_world_service::demo_world::files()).expect("no mistake");
    let server = ServerBuilder::new(env!("CARGO_BIN_EXE_tidings"))
        .set("log.level", "warn")
        .without_limits()
        .start()?;
    let mut guest = Player::guest(&server.api()).await?;
    let mut here = content.world.as_ref().context("a world")?.start.clone();
    let mut seen = BTreeSet::new();
    while let Some(way) = way(&content, &here, &seen) {
        for direction in way {
            guest.does(direction.names().1).await.with_context(|| format!("{here}, {direction:?}"))?;
            here = content.rooms[&here].exits[&direction].to.clone();
        }
        look_around(&mut guest, &content, &here).await?;
        seen.insert(here.clone());
    }
    assert_eq!(seen.len(), content.rooms.len());
    for topic in content.help.keys().filter(|topic| content.help[*topic].role == "player") {
        let text = guest.does(&format!("help {topic}")).await?;
        ensure!(text.matches("Usage:").count() <= 1, "{topic}: {text}");
    }
    for emote in content.emotes.keys() {
        assert_eq!(guest.does(emote).await?, content.emotes[emote].own, "{emote}");
    }
    Ok(())
}
