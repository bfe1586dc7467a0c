//! The checker of worlds by data: files in, mistakes out, each with its file and line.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidings_world::Content;
use tidings_world::content::limits;

const WORLD: &str =
    "id = 'small'\nname = 'Small'\nstart = 'town_hall'\nwelcome = 'Welcome.'\nhour_seconds = 60\n";
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

type Files = BTreeMap<String, String>;

fn files(changes: &[(&str, &str)]) -> Files {
    let mut files = Files::from([
        ("world.toml".to_owned(), WORLD.to_owned()),
        ("zones/town.toml".to_owned(), TOWN.to_owned()),
    ]);
    for (file, text) in changes {
        files.insert((*file).to_owned(), (*text).to_owned());
    }
    files
}

/// The town with `more` after it.
fn town(more: &str) -> Files {
    files(&[("zones/town.toml", &format!("{TOWN}\n{more}"))])
}

/// The town with one text of it changed.
fn changed(from: &str, to: &str) -> Files {
    assert!(TOWN.contains(from), "{from}");
    files(&[("zones/town.toml", &TOWN.replacen(from, to, 1))])
}

/// The world with one text of it changed.
fn world(from: &str, to: &str) -> Files {
    assert!(WORLD.contains(from), "{from}");
    files(&[("world.toml", &WORLD.replacen(from, to, 1))])
}

fn mistakes(files: &Files) -> Vec<String> {
    Content::check(files).mistakes.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(files: &Files, expected: &[&str]) {
    assert_eq!(mistakes(files), expected);
}

#[test]
fn a_world_without_mistakes_loads() {
    let content = Content::load(&files(&[])).expect("no mistake");
    assert_eq!(content.rooms.len(), 2);
    assert_eq!(content.areas.len(), 1, "a zone without areas is one");
    let yard = &content.rooms[&"town_yard".parse().expect("a room")];
    assert_eq!(yard.at, (1, 0), "laid out to the east of the hall");
    assert_eq!(content.world.expect("a world").hour_seconds, 60);
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    check(
        &changed("description = 'A yard.'", "descripton = 'A yard.'"),
        &[
            "zones/town.toml:8: room 'yard': 'description' is missing",
            "zones/town.toml:10: unknown key 'descripton' in room 'yard': did you mean 'description'?",
        ],
    );
    check(
        &world("hour_seconds", "zzzzz"),
        &[
            "world.toml:5: unknown key 'zzzzz' in world.toml: known here: id, name, welcome, start, hour_seconds",
        ],
    );
    check(
        &changed("exits.east = 'yard'", "exits.east = { to = 'yard', one-way = true }"),
        &[
            "zones/town.toml:6: unknown key 'one-way' in the exit east of room 'hall': did you mean 'one_way'?",
        ],
    );
}

#[test]
fn targets_that_are_missing_are_named() {
    check(
        &changed("exits.east = 'yard'", "exits.east = 'yrd'"),
        &[
            "zones/town.toml:6: exit east of room 'hall': there is no room 'town_yrd': did you mean 'yard'?",
            "zones/town.toml:8: room 'yard' cannot be reached from the start, 'town_hall'",
            "zones/town.toml:11: exit west of room 'yard' to 'town_hall' has no way back: add 'exits.east' there, or \
             declare it here: one_way = true",
        ],
    );
    check(
        &changed("exits.west = 'hall'", "exits.west = 'hall'\nexits.north = 'twn_hall'"),
        &[
            "zones/town.toml:12: exit north of room 'yard': there is no room 'twn_hall': there is no zone 'twn', did \
           you mean 'town'?",
        ],
    );
    check(
        &world("town_hall", "town_hal"),
        &["world.toml:3: 'start': there is no room 'town_hal': did you mean 'town_hall'?"],
    );
}

#[test]
fn ways_are_two_way_or_say_that_they_are_not() {
    let with = |exit: &str| changed("exits.west = 'hall'", &format!("exits.west = {exit}"));
    check(&with("{ to = 'hall', door = 'the yard door', hidden = true }"), &[]);
    check(
        &with("{ to = 'hall', one_way = true }"),
        &[
            "zones/town.toml:11: warning: exit west of room 'yard' to 'town_hall' is declared one_way, but there is a \
           way back",
        ],
    );
    let round = changed("exits.west = 'hall'", "exits.south = 'hall'");
    assert_eq!(mistakes(&round).len(), 2, "{:?}", mistakes(&round));
    assert!(mistakes(&round)[0].contains("the way back is south, not west"), "{:?}", mistakes(&round));
    assert!(Content::load(&round).is_ok(), "a warning does not keep a world from loading");
    let both = TOWN.replace("'yard'", "{ to = 'yard', winding = true }");
    let both = both.replace("west = 'hall'", "south = { to = 'hall', winding = true }");
    check(&files(&[("zones/town.toml", &both)]), &[]);
}

#[test]
fn rooms_that_nobody_can_walk_to_or_leave_are_named() {
    check(
        &town(
            "[rooms.attic]\nname = 'Attic'\ndescription = 'Dust.'\nexits.down = { to = 'hall', one_way = true }",
        ),
        &["zones/town.toml:13: room 'attic' cannot be reached from the start, 'town_hall'"],
    );
    check(
        &changed("'yard'", "{ to = 'yard', locked = true }"),
        &[
            "zones/town.toml:3: room 'hall' cannot be left: it has no exit that is not locked",
            "zones/town.toml:8: warning: room 'yard' is only behind locked exits: nobody can walk there",
        ],
    );
    check(
        &changed("exits.west = 'hall'", "exits.west = 'hall'\nexits.up = 'yard'"),
        &["zones/town.toml:12: exit up of room 'yard' leads back into the same room"],
    );
}

#[test]
fn bad_ids_and_duplicates_are_named() {
    check(
        &town("[rooms.'The Cellar']\nname = 'Cellar'\ndescription = 'Dark.'"),
        &["zones/town.toml:13: room 'The Cellar' has a bad id: 1 to 40 of a-z, 0-9 and '-'"],
    );
    let twice = mistakes(&town("[rooms.hall]\nname = 'Hall again'\ndescription = 'A hall.'"));
    assert_eq!(twice[0], "zones/town.toml:13: duplicate key");
    check(
        &changed("exits.east = 'yard'", "exits.east = 'yard'\nexits.e = 'yard'"),
        &["zones/town.toml:6: room 'hall': the exit east is there twice"],
    );
    let emotes = "[wink]\nown = 'You wink.'\nothers = '{name} winks.'\n";
    check(
        &files(&[("emotes.toml", emotes), ("emotes/more.toml", emotes)]),
        &["emotes/more.toml:1: the emote 'wink' is in emotes.toml:1 already"],
    );
    check(
        &files(&[("zones/Old Town.toml", "name = 'x'")]),
        &["zones/Old Town.toml:1: 'Old Town' is no zone's id: 1 to 40 of a-z, 0-9 and '-'"],
    );
    check(
        &files(&[("emote.toml", emotes)]),
        &["emote.toml:1: no part of a world has this name: did you mean 'emotes'?"],
    );
}

#[test]
fn directions_areas_and_weather_are_known_ones() {
    check(
        &changed("exits.west = 'hall'", "exits.west = 'hall'\nexits.noth = 'hall'"),
        &["zones/town.toml:12: room 'yard': 'noth' is no direction: did you mean 'north'?"],
    );
    check(
        &changed("name = 'Town'", "name = 'Town'\nweather = { rain = 2, sunny = 1, fog = 0 }"),
        &[
            "zones/town.toml:2: zone 'town': 'fog' is 0: from 1 to 1000",
            "zones/town.toml:2: zone 'town': 'sunny' is no weather: known are clear, cloudy, fog, mist, rain, snow, \
             storm, wind",
        ],
    );
    let areas = "name = 'Town'\nareas = { mill = 'the mill', green = 'the green' }";
    check(
        &changed("name = 'Town'", areas),
        &[
            "zones/town.toml:4: room 'hall': 'area' is missing: the zone has more than one (green, mill)",
            "zones/town.toml:9: room 'yard': 'area' is missing: the zone has more than one (green, mill)",
        ],
    );
    let one = changed("name = 'Town'", "name = 'Town'\nareas.mill = 'the mill'");
    check(&one, &[]);
    let named = TOWN.replace("name = 'Hall'", "name = 'Hall'\narea = 'mil'");
    check(
        &files(&[(
            "zones/town.toml",
            &named.replace("name = 'Town'", "name = 'Town'\nareas.mill = 'the mill'"),
        )]),
        &["zones/town.toml:6: room 'hall': there is no area 'mil': did you mean 'mill'?"],
    );
}

#[test]
fn things_can_be_looked_at_by_each_of_their_words() {
    let hall = |things: &str| changed("exits.east = 'yard'", &format!("exits.east = 'yard'\n{things}"));
    check(&hall("things.Lamp = { words = ['LANTERN'], description = 'Lit.' }"), &[]);
    check(
        &hall("things.lamp = 'Lit.'\nthings.light = { words = ['lamp'], description = 'Lit.' }"),
        &["zones/town.toml:8: room 'hall': two things are called 'lamp'"],
    );
    check(
        &hall("things.wall = { words = ['west'], description = 'Hollow.' }"),
        &["zones/town.toml:7: room 'hall': a thing cannot be called 'west': look west looks there"],
    );
    check(
        &hall("things.lamp = 3"),
        &["zones/town.toml:7: room 'hall': the thing 'lamp' takes a text, not a whole number"],
    );
}

#[test]
fn characters_are_checked() {
    let npc =
        |lines: &str| town(&format!("[npcs.bo]\nname = 'Bo'\ndescription = 'Tall.'\nhome = 'yard'\n{lines}"));
    let fine = "words = ['TALL one']\nwanders = ['hall', 'yard']\npopulation = 2\nidle = ':hums.'\n\
                greetings = ['Hello, {name}.']\nroutine = [{ hour = 23, go = 'yard' }, { hour = 0, line = 'Late.' }]\n\
                reactions = [{ words = ['Rain'], lines = ['Again?'] }]";
    let content = Content::load(&npc(fine)).expect("no mistake");
    let bo = &content.npcs["town_bo"];
    assert_eq!(bo.words, ["bo", "tall one"]);
    assert_eq!(bo.routine.iter().map(|step| step.hour).collect::<Vec<_>>(), [0, 23]);
    assert_eq!(bo.reactions[0].words, ["rain"]);

    for (lines, expected) in [
        ("routine = [{ hour = 24, go = 'hall' }]", "17: the routine of npc 'bo': 'hour' is 24: from 0 to 23"),
        ("routine = [{ go = 'hall' }]", "17: the routine of npc 'bo': 'hour' is missing"),
        (
            "routine = [{ hour = 3 }]",
            "17: the routine of npc 'bo': nothing happens at hour 3: it takes 'go', 'line' or both",
        ),
        (
            "routine = [{ hour = 3, line = 'A.' },\n{ hour = 3, line = 'B.' }]",
            "18: the routine of npc 'bo': hour 3 is there twice",
        ),
        ("wanders = ['hal']", "17: 'wanders': there is no room 'town_hal': did you mean 'hall'?"),
        (
            "greetings = ['Hi {nam}']",
            "17: npc 'bo': a line of 'greetings' holds '{nam}': did you mean '{name}'?",
        ),
        ("idle = ['{name}!']", "17: npc 'bo': a line of 'idle' holds '{name}': nothing is filled in here"),
        ("idle = [':']", "17: npc 'bo': a line of 'idle' has nothing after the ':'"),
        ("idle = 3", "17: npc 'bo': 'idle' takes a list of texts, not a whole number"),
        ("population = 0", "17: npc 'bo': 'population' is 0: from 1 to 20"),
        ("reactions = [{ lines = ['Yes.'] }]", "17: a reaction of npc 'bo': 'words' is missing"),
    ] {
        check(&npc(lines), &[&format!("zones/town.toml:{expected}")]);
    }
    check(
        &town("[npcs.bo]\nname = 'Bo'\ndescription = 'Tall.'\nhome = 'yrad'"),
        &["zones/town.toml:16: 'home': there is no room 'town_yrad': did you mean 'yard'?"],
    );
    check(
        &npc("[npcs.two]\nname = 'bo'\ndescription = 'Tall.'\nhome = 'yard'"),
        &["zones/town.toml:17: zone 'town': 'town_bo' and 'town_two' are both called bo"],
    );
}

#[test]
fn characters_can_walk_where_they_are_sent() {
    let town = TOWN.replace("exits.west = 'hall'", "exits.west = { to = 'hall', one_way = true }");
    let town = town.replace("exits.east = 'yard'", "exits.up = 'loft'");
    let more = "[rooms.loft]\nname = 'Loft'\ndescription = 'A loft.'\nexits.down = 'hall'\nexits.out = 'field_field'\n\
                [npcs.bo]\nname = 'Bo'\ndescription = 'Tall.'\nhome = 'hall'\nwanders = ['loft', 'yard']\n\
                routine = [{ hour = 1, go = 'yard' }]";
    let field = "name = 'Field'\n[rooms.field]\nname = 'Field'\ndescription = 'Grass.'\nexits.in = 'town_loft'\n\
                 exits.down = { to = 'town_yard', one_way = true }";
    let town = format!("{town}\n{more}");
    check(
        &files(&[("zones/town.toml", &town), ("zones/field.toml", field)]),
        &["zones/town.toml:18: Bo cannot walk from home to 'yard' within the zone"],
    );
}

#[test]
fn characters_stay_in_their_zone() {
    let field =
        "name = 'Field'\n[rooms.field]\nname = 'Field'\ndescription = 'Grass.'\nexits.west = 'town_yard'";
    let town = TOWN.replace("exits.west = 'hall'", "exits.west = 'hall'\nexits.east = 'field_field'");
    let npc = "[npcs.bo]\nname = 'Bo'\ndescription = 'Tall.'\nhome = 'yard'\nwanders = ['field_field']";
    check(&files(&[("zones/town.toml", &town), ("zones/field.toml", field)]), &[]);
    check(
        &files(&[("zones/town.toml", &format!("{town}\n{npc}")), ("zones/field.toml", field)]),
        &[
            "zones/town.toml:18: npc 'bo': 'wanders' is 'field_field', in another zone: characters stay in their own",
        ],
    );
}

#[test]
fn words_are_checked() {
    let emote = |text: &str| files(&[("emotes.toml", text)]);
    let pair = "own = 'You bow.'\nothers = '{name} bows.'";
    check(&emote(&format!("[bow]\n{pair}")), &[]);
    check(&emote(&format!("[say]\n{pair}")), &["emotes.toml:1: emote 'say': its name is a command already"]);
    check(
        &emote(&format!("[north]\n{pair}")),
        &["emotes.toml:1: emote 'north': its name is a command already"],
    );
    check(
        &emote("[bow]\nown = 'You bow.'\nothers = 'Bows.'"),
        &["emotes.toml:3: emote 'bow': 'others' has no {name} in it"],
    );
    check(
        &emote(&format!("[bow]\n{pair}\nown_to = 'You bow to {{target}}.'")),
        &[
            "emotes.toml:1: emote 'bow': 'own_to', 'others_to' and 'target_to' belong together: give all or none",
        ],
    );
    check(
        &emote(&format!("[bow]\n{pair}\n[Bow]\n{pair}")),
        &["emotes.toml:4: emote 'Bow': its name holds 'Bow': a word is lower case and without spaces"],
    );
}

#[test]
fn help_is_checked() {
    let help = |text: &str| files(&[("help/a.toml", text)]);
    check(&help("[say]\ntitle = 'Say'\ntext = 'Speak.'\nsee_also = ['say']\nrole = 'builder'"), &[]);
    check(
        &help("[say]\ntitle = 'Say'\ntext = 'Speak.'\nsee_also = ['sya']\nrole = 'bilder'"),
        &[
            "help/a.toml:4: help topic 'say' names 'sya', which is no topic: did you mean 'say'?",
            "help/a.toml:5: help topic 'say': 'role' is 'bilder': did you mean 'builder'?",
        ],
    );
}

#[test]
fn texts_have_bounds() {
    let long = "x".repeat(limits::DESCRIPTION_CHARS_MAX + 1);
    check(
        &changed("A yard.", &long),
        &["zones/town.toml:10: room 'yard': 'description' is 1501 characters long: at most 1500"],
    );
    check(
        &changed("'A yard.'", "\"\\u001b[31mred\""),
        &[
            "zones/town.toml:10: room 'yard': 'description' holds the character U+001B, which no text may hold",
        ],
    );
    check(&changed("'Yard'", "''"), &["zones/town.toml:9: room 'yard': 'name' is empty"]);
    check(
        &changed("'Yard'", "['Yard']"),
        &["zones/town.toml:9: room 'yard': 'name' takes a text, not a list"],
    );
    check(
        &world("hour_seconds = 60", "hour_seconds = 99999999999999999999"),
        &["world.toml:5: world.toml: 'hour_seconds' is 99999999999999999999: from 1 to 86400"],
    );
}

#[test]
fn a_slip_in_the_syntax_brings_no_others_with_it() {
    let broken = changed("name = 'Yard'", "name = 'Yard");
    let found = mistakes(&broken);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("zones/town.toml:9: "), "{found:?}");
    let mut two = broken;
    two.insert("zones/field.toml".into(), "name = 'Field'\nrooms.a = 3\ncolour = 'red'".into());
    let found = mistakes(&two);
    assert_eq!(found.len(), 3, "mistakes in other files are named all the same: {found:?}");
}

#[test]
fn a_world_needs_its_parts() {
    check(
        &Files::new(),
        &[
            "world.toml:1: the file is missing: it holds the world's id, name, welcome and start",
            "world.toml:1: the world has no zones: write one in zones/<zone>.toml",
        ],
    );
    let mut beside = files(&[("README.md", "{{{ not TOML")]);
    check(&beside, &[]);
    beside.insert("zones/empty.toml".into(), "name = 'Empty'".into());
    check(&beside, &["zones/empty.toml:1: zone 'empty': has no rooms: write one as [rooms.<name>]"]);
}

#[test]
fn hostile_files_are_refused() {
    let cases = [
        ("deep lists", format!("a = {}", "[".repeat(200_000))),
        ("deep tables", format!("a = {}", "{a=".repeat(200_000))),
        ("deep keys", format!("{}a = 1", "a.".repeat(200_000))),
        ("a deep header", format!("[{}a]", "a.".repeat(200_000))),
        ("a long key", format!("{} = 1", "k".repeat(900_000))),
        ("many keys", (0..50_000).map(|n| format!("k{n} = 1\n")).collect()),
        ("a large file", "#".repeat(limits::FILE_BYTES_MAX + 1)),
        ("zeros", "\0".repeat(100_000)),
    ];
    for (what, text) in cases {
        let found = mistakes(&files(&[("zones/bad.toml", &text)]));
        assert!(!found.is_empty(), "{what}");
        assert!(found.len() <= limits::MISTAKES_MAX + 1, "{what}: {}", found.len());
        assert!(found.iter().all(|line| line.len() < 1_000), "{what}");
    }
    let many = (0..=limits::FILES_MAX).map(|n| (format!("zones/z{n}.toml"), String::new())).collect();
    assert_eq!(mistakes(&many).len(), 1);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,400}", file in "(world|emotes|zones/a|help/a)\\.toml") {
        let mut files = files(&[]);
        files.insert(file, text);
        let checked = Content::check(&files);
        prop_assert!(checked.content.is_some() || !checked.mistakes.is_empty());
    }

    /// A world with any few bytes of it replaced either loads or names a mistake inside the file's lines.
    #[test]
    fn any_slip_is_named_on_a_line_of_its_file(at in 0usize..260, with in "[\\[\\]{}='\"a-z.\n#0-9,]{0,6}", gone in 0usize..12) {
        let at = at.min(TOWN.len());
        let end = (at + gone).min(TOWN.len());
        let text = format!("{}{}{}", &TOWN[..at], with, &TOWN[end..]);
        let checked = Content::check(&files(&[("zones/town.toml", &text)]));
        for mistake in &checked.mistakes {
            prop_assert!(mistake.line >= 1 && mistake.line <= text.lines().count() + 1, "{mistake}");
        }
        prop_assert!(checked.content.is_some() || !checked.mistakes.is_empty());
    }
}
