//! `tidings world check`, and a server's refusal of a world with mistakes.

use crate::harness::Place;

const WORLD: &str = "id = 'small'\nname = 'Small'\nstart = 'town_hall'\nwelcome = 'Welcome.'\n";
const TOWN: &str = "name = 'Town'
[rooms.hall]
name = 'Hall'
description = 'A hall.'
exits.east = 'yard'
[rooms.yard]
name = 'Yard'
description = 'A yard.'
exits.west = 'hall'
";

fn place(town: &str) -> Place {
    let place = Place::new();
    place.write("w/world.toml", WORLD);
    place.write("w/zones/town.toml", town);
    place
}

#[test]
fn a_world_without_mistakes_is_told_so() {
    let place = place(TOWN);
    place.write("w/README.md", [0xff, 0xfe]);
    place.write("w/.git/x.toml", "not = = toml");
    let ran = place.run(&["world", "check", "w"]).ends(0);
    assert_eq!(ran.out, "w: no mistakes. 1 zones, 2 rooms, 0 characters, 0 emotes, 0 help topics.\n");
    let json = place.run(&["world", "check", "w", "--json"]).ends(0).json();
    assert_eq!((json["ok"].as_bool(), json["rooms"].as_u64()), (Some(true), Some(2)));
}

#[test]
fn the_world_that_comes_along_has_none() {
    let lantern = concat!(env!("CARGO_MANIFEST_DIR"), "/../../worlds/lantern");
    assert!(Place::new().run(&["world", "check", lantern]).ends(0).out.contains("no mistakes"));
}

#[test]
fn mistakes_are_told_by_file_and_line() {
    let place = place(&TOWN.replace("exits.west = 'hall'", "exits.west = 'hal'\nnmae = 'x'"));
    let ran = place.run(&["world", "check", "w"]).ends(1);
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            "zones/town.toml:5: exit east of room 'hall' to 'town_yard' has no way back: add 'exits.west' there, or \
             declare it here: one_way = true",
            "zones/town.toml:9: exit west of room 'yard': there is no room 'town_hal': did you mean 'hall'?",
            "zones/town.toml:10: unknown key 'nmae' in room 'yard': did you mean 'name'?",
        ]
    );
    assert_eq!(ran.err, "w: 3 mistakes.\n");
    let json = place.run(&["world", "check", "w", "--json"]).ends(1).json();
    assert_eq!(json["mistakes"][1]["line"], 9);
    assert_eq!(json["mistakes"][1]["file"], "zones/town.toml");
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let place = place(TOWN);
    place.write("w/zones/bad.toml", [b"name = 'x'\n\n".as_slice(), &[0xff]].concat());
    let ran = place.run(&["world", "check", "w"]).ends(1);
    assert_eq!(ran.out, "zones/bad.toml:3: the file is not UTF-8 text here\n");
    assert!(place.run(&["world", "check", "nowhere"]).ends(1).err.contains("nowhere"));
    place.write("w/zones/bad.toml", "#".repeat(2_000_000));
    let ran = place.run(&["world", "check", "w"]).ends(1);
    assert!(ran.out.starts_with("zones/bad.toml:1: the file is 1048577 bytes"), "{ran:?}");
}

#[test]
fn a_server_refuses_a_world_with_mistakes() {
    let place = place(&TOWN.replace("'yard'", "'yrad'"));
    let ran = place.run(&["serve", "--world", "w", "--data", "data", "--listen", "127.0.0.1:0"]).ends(1);
    assert!(ran.err.contains("zones/town.toml:5: exit east of room 'hall'"), "{ran:?}");
    assert!(!place.data().exists(), "nothing is opened for a world that cannot be served");
}
