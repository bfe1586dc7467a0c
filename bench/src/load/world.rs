//! A world made for load: a hall, and rooms that are one or two steps away from it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The ways out of each room of the load's world, in the order rooms are numbered.
const DIRECTIONS: [&str; 10] =
    ["north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest", "up", "down"];

/// Every room is left for the hall.
const BACK: &str = "exits.out = { to = \"hall\", one_way = true }";

/// The steps from the hall to a room: none where all are in the hall, one for up to 10 rooms, two for up to 100.
pub fn way(room: usize, rooms: usize) -> Vec<&'static str> {
    match rooms {
        0 | 1 => Vec::new(),
        2..=10 => vec![DIRECTIONS[room]],
        _ => vec![DIRECTIONS[room / 10], DIRECTIONS[room % 10]],
    }
}

/// Writes the world's files into a folder.
pub fn write(folder: &Path) -> Result<()> {
    let zones = folder.join("zones");
    fs::create_dir_all(&zones).context("the load's world")?;
    let world = "id = \"load\"\nname = \"Load\"\nwelcome = \"A world made for load.\"\nstart = \"load_hall\"\nhour_seconds = 3600\n";
    fs::write(folder.join("world.toml"), world)?;
    fs::write(zones.join("load.toml"), zone())?;
    Ok(())
}

fn zone() -> String {
    let mut text = String::from("name = \"Load\"\n\n[areas]\nall = \"All\"\n");
    room(&mut text, "hall", |i| format!("r{i}"));
    for i in 0..10 {
        room(&mut text, &format!("r{i}"), |j| format!("r{i}-{j}"));
        for j in 0..10 {
            let _ = write!(
                text,
                "\n[rooms.r{i}-{j}]\narea = \"all\"\nname = \"Room {i}-{j}\"\ndescription = \"Bare.\"\n{BACK}\n"
            );
        }
    }
    text
}

fn room(text: &mut String, id: &str, to: impl Fn(usize) -> String) {
    let back = if id == "hall" { "" } else { BACK };
    let _ = write!(
        text,
        "\n[rooms.{id}]\narea = \"all\"\nname = \"Room {id}\"\ndescription = \"Bare.\"\n{back}\n"
    );
    for (i, direction) in DIRECTIONS.iter().enumerate() {
        let _ = writeln!(text, "exits.{direction} = {{ to = \"{}\", one_way = true }}", to(i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_of_the_load_is_reached() {
        assert_eq!(way(0, 1), Vec::<&str>::new());
        assert_eq!(way(9, 10), ["down"]);
        assert_eq!(way(42, 100), ["south", "east"]);
        assert_eq!(zone().matches("[rooms.").count(), 111);
    }
}
