//! The demo world in `worlds/lantern`: it loads without a mistake.

use std::collections::BTreeMap;
use std::path::Path;

use tidings_world::Content;

fn read(folder: &Path, inside: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder.join(inside)).expect("the folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
        if entry.file_type().expect("a type").is_dir() {
            read(folder, &path, files);
        } else {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            files.insert(path, text);
        }
    }
}

fn lantern() -> Content {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../worlds/lantern");
    let mut files = BTreeMap::new();
    read(&folder, "", &mut files);
    let checked = Content::check(&files);
    let mistakes: Vec<String> = checked.mistakes.iter().map(ToString::to_string).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    checked.content.expect("no mistake")
}

/// The commands of a world that builders explain: help has a topic for each.
const COMMANDS: &[&str] = &[
    "go",
    "say",
    "emote",
    "pose",
    "local",
    "global",
    "whisper",
    "reply",
    "party",
    "system",
    "staff",
    "channel",
    "mute",
    "unmute",
    "mutes",
    "mute_global",
    "unmute_global",
    "look",
    "who",
    "examine",
    "time",
    "weather",
    "quit",
    "alias",
    "unalias",
    "help",
    "settings",
    "brief",
    "admin",
    "teleport",
    "goto",
    "summon",
    "kick",
    "ban",
    "shutdown",
    "chat",
    "emotes",
    "screenreader",
];

#[test]
fn it_is_as_large_as_was_promised() {
    let content = lantern();
    assert!(content.zones.len() >= 3, "{} zones", content.zones.len());
    assert!(content.rooms.len() >= 40, "{} rooms", content.rooms.len());
    assert!(content.npcs.len() >= 12, "{} characters", content.npcs.len());
    let with_targets = content.emotes.values().filter(|emote| !emote.own_to.is_empty()).count();
    assert!(with_targets >= 25, "{with_targets} emotes with targets");
    for command in COMMANDS {
        assert!(content.help.contains_key(*command), "no help on '{command}'");
    }
}

#[test]
fn its_characters_have_something_to_say() {
    let content = lantern();
    let people = content.npcs.values().filter(|npc| npc.population == 1);
    for npc in people.clone() {
        assert!(!npc.greetings.is_empty() && !npc.idle.is_empty() && !npc.reactions.is_empty(), "{}", npc.id);
    }
    assert!(people.filter(|npc| !npc.routine.is_empty()).count() >= 8);
    for emote in content.emotes.keys() {
        let listed = &content.help["emotes"].text;
        let word = |found: &str| found == emote;
        assert!(
            listed.split(|c: char| !c.is_alphanumeric()).any(word),
            "help on emotes leaves out '{emote}'"
        );
    }
}

/// Read aloud, a room is a few sentences; and there is something to look at in each.
#[test]
fn its_rooms_are_short_and_have_things_to_look_at() {
    let content = lantern();
    for room in content.rooms.values() {
        let sentences = room.description.matches(['.', '!', '?']).count();
        assert!((2..=5).contains(&sentences), "{}: {sentences} sentences", room.id);
        assert!(room.description.chars().count() <= 420, "{}: {}", room.id, room.description.chars().count());
        assert!(!room.things.is_empty(), "{}", room.id);
    }
}

/// The ways that the help calls secret, one that goes down only, and one that is shut.
#[test]
fn it_has_ways_of_every_kind() {
    let content = lantern();
    let exits: Vec<_> = content.rooms.values().flat_map(|room| room.exits.values()).collect();
    assert!(exits.iter().filter(|exit| exit.hidden).count() >= 5);
    assert!(exits.iter().any(|exit| exit.one_way));
    assert!(exits.iter().any(|exit| exit.locked));
    assert!(exits.iter().filter(|exit| exit.door.is_some()).count() >= 10);
}
