//! `zones/<zone>.toml`: a zone with its areas, its rooms and the characters that live there.

use tidings_protocol::{AreaId, RoomId, ZoneId};
use toml::de::{DeTable, DeValue};

use super::builder::{Builder, bad_slug, room_ref};
use super::fields::{Fields, type_name};
use super::limits::*;
use super::mistake::{Place, Source, nearest, shown};
use super::model::{Area, Direction, Exit, Room, Thing, Zone};
use super::npc_table;
use super::text::Shape;

/// The only area of a zone that declares none.
const ONLY_AREA: &str = "all";
/// The longest `<zone>_<room>`.
pub(super) const ROOM_REF_CHARS_MAX: usize = 81;

pub(super) fn read(builder: &mut Builder, source: &Source<'_>, zone: &ZoneId, table: &DeTable<'_>) {
    let known = ["name", "weather", "areas", "rooms", "npcs"];
    let what = format!("zone '{zone}'");
    let fields = Fields::new(source, table, source.top(), what, &known);
    let name = fields.need_text("name", Shape::Line(NAME_CHARS_MAX));
    let weather = weather(&fields);
    builder.content.zones.insert(zone.clone(), Zone { id: zone.clone(), name: name.clone(), weather });
    let areas = areas(builder, &fields, zone, &name);
    rooms(builder, &fields, zone, &areas);
    npc_table::read(builder, &fields, zone);
}

fn weather(fields: &Fields<'_>) -> Vec<(String, u32)> {
    let mut conditions = Vec::new();
    for (place, key, value) in fields.entries("weather", WEATHER.len()) {
        if !WEATHER.contains(&key) {
            let known = WEATHER.join(", ");
            fields.error(&place, format!("'{}' is no weather: known are {known}", shown(key)));
        } else if let Some(weight) = fields.entry_number(&place, key, value, 1..=WEATHER_WEIGHT_MAX) {
            conditions.push((key.to_owned(), u32::try_from(weight).expect("the bounds were checked")));
        }
    }
    conditions
}

/// The zone's areas by their short names. A zone without any is one area, called as the zone.
fn areas(builder: &mut Builder, fields: &Fields<'_>, zone: &ZoneId, zone_name: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (place, key, value) in fields.entries("areas", AREAS_PER_ZONE_MAX) {
        let Ok(id) = AreaId::in_zone(zone, key) else {
            bad_slug(fields.source, &place, "area", key);
            continue;
        };
        names.push(key.to_owned());
        let name = match super::text::shape(value.as_str().unwrap_or_default(), Shape::Line(NAME_CHARS_MAX)) {
            Ok(name) => name,
            Err(_) if !value.is_str() => {
                fields.error(&place, format!("area '{key}' takes its name, not {}", type_name(value)));
                continue;
            }
            Err(why) => {
                fields.error(&place, format!("the name of area '{key}' {why}"));
                continue;
            }
        };
        builder.content.areas.insert(id.clone(), Area { id, name });
    }
    if names.is_empty() {
        let id = AreaId::in_zone(zone, ONLY_AREA).expect("a slug");
        builder.content.areas.insert(id.clone(), Area { id, name: zone_name.to_owned() });
        names.push(ONLY_AREA.to_owned());
    }
    names
}

fn rooms(builder: &mut Builder, fields: &Fields<'_>, zone: &ZoneId, areas: &[String]) {
    let rooms = fields.entries("rooms", ROOMS_PER_ZONE_MAX);
    if rooms.is_empty() {
        fields.error(&fields.place, "has no rooms: write one as [rooms.<name>]");
    }
    for (place, key, value) in rooms {
        let Ok(id) = RoomId::in_zone(zone, key) else {
            bad_slug(fields.source, &place, "room", key);
            continue;
        };
        builder.rooms_at.insert(id.clone(), place.clone());
        match value.as_table() {
            Some(table) => room(builder, fields.source, &place, zone, &id, table, areas),
            None => fields.error(&place, format!("room '{key}' takes a table, not {}", type_name(value))),
        }
    }
}

fn room(
    builder: &mut Builder,
    source: &Source<'_>,
    place: &Place,
    zone: &ZoneId,
    id: &RoomId,
    table: &DeTable<'_>,
    areas: &[String],
) {
    let known = ["name", "area", "description", "outdoors", "at", "exits", "things"];
    let what = format!("room '{}'", short(id));
    let fields = Fields::new(source, table, place.clone(), what, &known);
    if let Some((x, y)) = fields.pair("at", &(-MAP_AT_MAX..=MAP_AT_MAX)) {
        builder.drawn.insert(id.clone());
        builder.content.rooms.insert(id.clone(), blank(id, zone, (x as i32, y as i32)));
    }
    let at = builder.content.rooms.get(id).map_or((0, 0), |room| room.at);
    let room = Room {
        name: fields.need_text("name", Shape::Line(NAME_CHARS_MAX)),
        area: area(&fields, zone, areas),
        description: fields.need_text("description", Shape::Prose(DESCRIPTION_CHARS_MAX)),
        outdoors: fields.flag("outdoors"),
        exits: exits(builder, &fields, zone, id),
        things: things(&fields),
        ..blank(id, zone, at)
    };
    builder.content.rooms.insert(id.clone(), room);
}

/// A room with nothing in it yet.
fn blank(id: &RoomId, zone: &ZoneId, at: (i32, i32)) -> Room {
    let area = AreaId::in_zone(zone, ONLY_AREA).expect("a slug");
    let (exits, things) = Default::default();
    let (name, description) = Default::default();
    Room { id: id.clone(), area, name, description, outdoors: false, exits, things, at }
}

/// A room's id without its zone.
pub(super) fn short(id: &RoomId) -> &str {
    id.as_str().split_once('_').map_or(id.as_str(), |(_, room)| room)
}

fn area(fields: &Fields<'_>, zone: &ZoneId, areas: &[String]) -> AreaId {
    let fallback = areas.first().map_or(ONLY_AREA, String::as_str);
    let named = match (fields.text("area", Shape::Line(ROOM_REF_CHARS_MAX)), areas) {
        (Some((place, name)), _) if !areas.contains(&name) => {
            let meant = nearest(&name, areas.iter().map(String::as_str));
            let hint = meant.map_or_else(
                || format!("this zone has {}", areas.join(", ")),
                |meant| format!("did you mean '{meant}'?"),
            );
            fields.error(&place, format!("there is no area '{}': {hint}", shown(&name)));
            None
        }
        (Some((_, name)), _) => Some(name),
        (None, [_]) => None,
        (None, _) => {
            let areas = areas.join(", ");
            fields.error(&fields.place, format!("'area' is missing: the zone has more than one ({areas})"));
            None
        }
    };
    AreaId::in_zone(zone, named.as_deref().unwrap_or(fallback)).expect("a slug that was checked")
}

fn exits(
    builder: &mut Builder,
    fields: &Fields<'_>,
    zone: &ZoneId,
    room: &RoomId,
) -> std::collections::BTreeMap<Direction, Exit> {
    let mut exits = std::collections::BTreeMap::new();
    for (place, key, value) in fields.entries("exits", 2 * Direction::ALL.len()) {
        let Some(direction) = Direction::from_name(key) else {
            let meant = nearest(key, Direction::ALL.map(|direction| direction.names().0));
            let hint = meant.map_or_else(
                || "north, northeast, east, ..., up, down, in, out".to_owned(),
                |meant| format!("did you mean '{meant}'?"),
            );
            fields.error(&place, format!("'{}' is no direction: {hint}", shown(key)));
            continue;
        };
        let Some(exit) = exit(builder, fields, zone, room, direction, &place, value) else { continue };
        if exits.insert(direction, exit).is_some() {
            fields.error(&place, format!("the exit {} is there twice", direction.names().0));
        }
        builder.exits_at.insert((room.clone(), direction), place);
    }
    exits
}

/// `east = "quay"`, or `east = { to = "quay", hidden = true }`.
fn exit(
    builder: &mut Builder,
    fields: &Fields<'_>,
    zone: &ZoneId,
    room: &RoomId,
    direction: Direction,
    place: &Place,
    value: &DeValue<'_>,
) -> Option<Exit> {
    let name = direction.names().0;
    let plain = |to| Exit { to, one_way: false, hidden: false, locked: false, door: None };
    let to = |text: &str| room_ref(text, Some(zone)).map_err(|why| fields.error(place, why)).ok();
    let table = match value {
        DeValue::String(text) => return to(text).map(plain),
        DeValue::Table(table) => table,
        other => {
            let got = type_name(other);
            fields.error(place, format!("the exit {name} takes a room or a table with 'to', not {got}"));
            return None;
        }
    };
    let what = format!("the exit {name} of room '{}'", short(room));
    let known = ["to", "one_way", "hidden", "locked", "door", "winding"];
    let exit = Fields::new(fields.source, table, place.clone(), what, &known);
    if exit.flag("winding") {
        builder.winding.insert((room.clone(), direction));
    }
    let text = exit.need_text("to", Shape::Line(ROOM_REF_CHARS_MAX));
    let to = if text.is_empty() { None } else { to(&text) };
    Some(Exit {
        one_way: exit.flag("one_way"),
        hidden: exit.flag("hidden"),
        locked: exit.flag("locked"),
        door: exit.text("door", Shape::Line(NAME_CHARS_MAX)).map(|(_, door)| door),
        ..plain(to?)
    })
}

/// `lamp = "..."`, or `lamp = { words = ["lantern"], description = "..." }`.
fn things(fields: &Fields<'_>) -> Vec<Thing> {
    let mut things: Vec<Thing> = Vec::new();
    for (place, key, value) in fields.entries("things", THINGS_PER_ROOM_MAX) {
        let Some(thing) = thing(fields, &place, key, value) else { continue };
        let twice = thing.words.iter().find(|word| things.iter().any(|other| other.words.contains(word)));
        if let Some(word) = twice {
            fields.error(&place, format!("two things are called '{word}'"));
        }
        let taken =
            |word: &&String| Direction::from_name(word).is_some() || matches!(word.as_str(), "me" | "self");
        if let Some(word) = thing.words.iter().find(taken) {
            fields.error(&place, format!("a thing cannot be called '{word}': look {word} looks there"));
        }
        things.push(thing);
    }
    things
}

fn thing(fields: &Fields<'_>, place: &Place, key: &str, value: &DeValue<'_>) -> Option<Thing> {
    let check = |text: &str, wanted, what: &str| {
        super::text::shape(text, wanted).map_err(|why| fields.error(place, format!("{what} {why}"))).ok()
    };
    let name =
        check(&key.to_lowercase(), Shape::Line(WORD_CHARS_MAX), &format!("the thing '{}'", shown(key)))?;
    match value {
        DeValue::String(text) => {
            let what = format!("the thing '{name}'");
            let description = check(text, Shape::Prose(DESCRIPTION_CHARS_MAX), &what)?;
            Some(Thing { words: vec![name], description })
        }
        DeValue::Table(table) => {
            let what = format!("the thing '{name}'");
            let thing = Fields::new(fields.source, table, place.clone(), what, &["words", "description"]);
            let mut words = vec![name];
            words.extend(lower(thing.texts("words", Shape::Line(WORD_CHARS_MAX), WORDS_MAX)));
            words.dedup();
            let description = thing.need_text("description", Shape::Prose(DESCRIPTION_CHARS_MAX));
            Some(Thing { words, description })
        }
        other => {
            fields.error(place, format!("the thing '{name}' takes a text, not {}", type_name(other)));
            None
        }
    }
}

/// Texts in lower case, without their places.
pub(super) fn lower(texts: Vec<(Place, String)>) -> impl Iterator<Item = String> {
    texts.into_iter().map(|(_, text)| text.to_lowercase())
}
