//! A small world for tests that host zones in their own process: its files as text, so that nothing here need know
//! who reads them.

use std::collections::BTreeMap;

const WORLD: &str = r#"
id = "test"
name = "Test"
start = "town_hall"
hour_seconds = 150
welcome = "Welcome."
"#;

const TOWN: &str = r#"
name = "Town"
[areas]
centre = "the centre"
[rooms.hall]
name = "Hall"
description = "A hall."
exits.east = "gate"
[rooms.gate]
name = "Gate"
description = "A gate."
exits.west = "hall"
exits.north = "hill_foot"
"#;

const HILL: &str = r#"
name = "Hill"
[areas]
slope = "the slope"
[rooms.foot]
name = "Foot"
description = "The foot of the hill."
exits.south = "town_gate"
exits.up = "top"
[rooms.top]
name = "Top"
description = "The top of the hill."
exits.down = "foot"
"#;

/// Two zones, two rooms each, with one way between them. By path, as a world's folder has them.
pub fn small_world() -> BTreeMap<String, String> {
    let files = [("world.toml", WORLD), ("zones/town.toml", TOWN), ("zones/hill.toml", HILL)];
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}
