//! `[npcs.<name>]` in a zone's file: a character that lives there.

use tidings_protocol::{RoomId, ZoneId};
use toml::de::DeTable;

use super::builder::{Builder, bad_slug, keep_room_ref};
use super::fields::{Fields, type_name};
use super::limits::*;
use super::mistake::{Place, Source};
use super::model::{Npc, Reaction, RoutineStep};
use super::text::{Shape, check_places};
use super::zone_file::{ROOM_REF_CHARS_MAX, lower};

pub(super) fn read(builder: &mut Builder, fields: &Fields<'_>, zone: &ZoneId) {
    for (place, key, value) in fields.entries("npcs", NPCS_PER_ZONE_MAX) {
        // An npc's id has the form of a room's: the same check, the same characters.
        if RoomId::in_zone(zone, key).is_err() {
            bad_slug(fields.source, &place, "npc", key);
            continue;
        }
        let Some(table) = value.as_table() else {
            fields.error(&place, format!("npc '{key}' takes a table, not {}", type_name(value)));
            continue;
        };
        if let Some(npc) = npc(builder, fields.source, zone, key, &place, table) {
            name_is_free(builder, fields, zone, &place, &npc);
            builder.npcs_at.insert(npc.id.clone(), place);
            builder.content.npcs.insert(npc.id.clone(), npc);
        }
    }
}

/// Two of a name in a zone could not be told apart.
fn name_is_free(builder: &Builder, fields: &Fields<'_>, zone: &ZoneId, place: &Place, npc: &Npc) {
    let same = |other: &&Npc| other.home.zone() == *zone && other.name.eq_ignore_ascii_case(&npc.name);
    if let Some(other) = builder.content.npcs.values().find(same) {
        fields.error(place, format!("'{}' and '{}' are both called {}", other.id, npc.id, npc.name));
    }
}

fn npc(
    builder: &mut Builder,
    source: &Source<'_>,
    zone: &ZoneId,
    key: &str,
    place: &Place,
    table: &DeTable<'_>,
) -> Option<Npc> {
    let known = [
        "name",
        "words",
        "description",
        "home",
        "population",
        "wanders",
        "routine",
        "greetings",
        "reactions",
        "idle",
    ];
    let fields = Fields::new(source, table, place.clone(), format!("npc '{key}'"), &known);
    let name = fields.need_text("name", Shape::Line(NAME_CHARS_MAX));
    let mut words: Vec<String> = vec![name.to_lowercase()];
    words.extend(lower(fields.texts("words", Shape::Line(WORD_CHARS_MAX), WORDS_MAX)));
    words.sort();
    words.dedup();
    let description = fields.need_text("description", Shape::Prose(DESCRIPTION_CHARS_MAX));
    let home = fields.need_text("home", Shape::Line(ROOM_REF_CHARS_MAX));
    let home_at = fields.text("home", Shape::Line(ROOM_REF_CHARS_MAX)).map_or(place.clone(), |(at, _)| at);
    let population = fields.number("population", 1..=POPULATION_MAX).map_or(1, |(_, number)| number);
    let wanders = fields.texts("wanders", Shape::Line(ROOM_REF_CHARS_MAX), WANDERS_MAX);
    let wanders = wanders
        .into_iter()
        .filter_map(|(at, text)| own_room(builder, &fields, zone, at, "'wanders'", &text))
        .collect();
    let routine = routine(builder, &fields, zone, key);
    let reactions = reactions(&fields, key);
    let home =
        (!home.is_empty()).then(|| own_room(builder, &fields, zone, home_at, "'home'", &home)).flatten();
    Some(Npc {
        id: format!("{zone}_{key}"),
        name,
        words,
        description,
        home: home?,
        population: u32::try_from(population).expect("the bounds were checked"),
        wanders,
        routine,
        greetings: spoken(&fields, "greetings", &["name"]),
        reactions,
        idle: spoken(&fields, "idle", &[]),
    })
}

/// A room of the character's own zone: its owner is who moves it.
fn own_room(
    builder: &mut Builder,
    fields: &Fields<'_>,
    zone: &ZoneId,
    at: Place,
    key: &str,
    text: &str,
) -> Option<RoomId> {
    let room = keep_room_ref(builder, fields.source.report, at.clone(), key.into(), text, Some(zone))?;
    if room.zone() == *zone {
        return Some(room);
    }
    fields.error(&at, format!("{key} is '{room}', in another zone: characters stay in their own"));
    None
}

fn spoken(fields: &Fields<'_>, key: &str, places: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, line) in fields.texts(key, Shape::Line(LINE_CHARS_MAX), LINES_MAX) {
        match check_line(&line, places) {
            Ok(()) => lines.push(line),
            Err(why) => fields.error(&place, format!("a line of '{key}' {why}")),
        }
    }
    lines
}

fn check_line(line: &str, places: &[&str]) -> Result<(), String> {
    if line.trim_start_matches(':').trim().is_empty() {
        return Err("has nothing after the ':'".into());
    }
    check_places(line, places, &[])
}

fn routine(builder: &mut Builder, fields: &Fields<'_>, zone: &ZoneId, npc: &str) -> Vec<RoutineStep> {
    let mut steps: Vec<RoutineStep> = Vec::new();
    for (place, table) in fields.tables("routine", ROUTINE_MAX) {
        let what = format!("the routine of npc '{npc}'");
        let step = Fields::new(fields.source, table, place.clone(), what, &["hour", "go", "line"]);
        let go = step.text("go", Shape::Line(ROOM_REF_CHARS_MAX));
        let go = go.and_then(|(at, text)| own_room(builder, &step, zone, at, "'go'", &text));
        let line = step.text("line", Shape::Line(LINE_CHARS_MAX));
        if let Some((at, why)) = line.as_ref().and_then(|(at, text)| Some((at, check_line(text, &[]).err()?)))
        {
            step.error(at, format!("'line' {why}"));
        }
        let Some((at, hour)) = step.number("hour", 0..=23) else {
            if !table.keys().any(|key| key.get_ref() == "hour") {
                step.error(&place, "'hour' is missing");
            }
            continue;
        };
        let hour = u8::try_from(hour).expect("the bounds were checked");
        if go.is_none() && line.is_none() {
            step.error(&place, format!("nothing happens at hour {hour}: it takes 'go', 'line' or both"));
        }
        if steps.iter().any(|other| other.hour == hour) {
            step.error(&at, format!("hour {hour} is there twice"));
        }
        steps.push(RoutineStep { hour, go, line: line.map(|(_, line)| line).unwrap_or_default() });
    }
    steps.sort_by_key(|step| step.hour);
    steps
}

fn reactions(fields: &Fields<'_>, npc: &str) -> Vec<Reaction> {
    let mut reactions = Vec::new();
    for (place, table) in fields.tables("reactions", REACTIONS_MAX) {
        let what = format!("a reaction of npc '{npc}'");
        let reaction = Fields::new(fields.source, table, place.clone(), what, &["words", "lines"]);
        let words: Vec<String> =
            lower(reaction.texts("words", Shape::Line(WORD_CHARS_MAX), WORDS_MAX)).collect();
        let lines = spoken(&reaction, "lines", &["name"]);
        for (key, empty) in [("words", words.is_empty()), ("lines", lines.is_empty())] {
            if empty && !table.keys().any(|found| found.get_ref() == key) {
                reaction.error(&place, format!("'{key}' is missing"));
            }
        }
        reactions.push(Reaction { words, lines });
    }
    reactions
}
