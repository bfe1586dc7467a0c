//! `look`, `look <thing/person/direction>`: what one sees.

use tidings_protocol::{CharacterId, RoomId, Text};

use super::{Call, Done, Ran, Spec};
use crate::content::model::{Direction, Exit, Room};
use crate::input::Role;
use crate::limits::LOOK_NAMES_MAX;
use crate::names::{fit, shown};
use crate::npc;
use crate::state::Person;
use crate::text::{or_nothing, plain, t, t1, way};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["look", "l"],
    usage: "look [thing, person or direction]",
    summary: "Shows the room, or one thing in it.",
    see: &["examine", "who", "brief"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let typed = call.rest.strip_prefix("at ").unwrap_or(call.rest).trim();
    let text = if typed.is_empty() { room(turn, me) } else { at(turn, me, typed)? };
    Ok(Done::Read(text))
}

fn room(turn: &Turn<'_>, me: &Person) -> Text {
    let Some(room) = turn.room(&me.room) else { return plain(me.room.to_string()) };
    let weather = npc::weather_line(turn, room).map(|text| t1("look.weather", "text", text));
    t1("look.room", "name", room.name.as_str())
        .with("description", room.description.as_str())
        .with("weather", or_nothing(weather))
        .with("exits", exits(turn, me, room))
        .with("here", here(turn, me))
}

fn exits(turn: &Turn<'_>, me: &Person, room: &Room) -> Text {
    let shown: Vec<Text> =
        room.exits.iter().filter(|(_, exit)| !exit.hidden).map(|(dir, exit)| exit_name(*dir, exit)).collect();
    if shown.is_empty() { t("look.no_exits") } else { t1("look.exits", "list", turn.row(me.id, shown)) }
}

fn exit_name(direction: Direction, exit: &Exit) -> Text {
    let name = way("direction", direction);
    match (&exit.door, exit.locked) {
        (None, _) => name,
        (Some(door), locked) => {
            let key = if locked { "look.door_locked" } else { "look.door" };
            t1(key, "direction", name).with("door", door.as_str())
        }
    }
}

fn here(turn: &Turn<'_>, me: &Person) -> Text {
    let state = &turn.zone.state;
    let total = state.rooms.get(&me.room).map_or(0, |seats| seats.len()).saturating_sub(1);
    let mut names: Vec<Text> = state
        .seats(&me.room)
        .filter(|id| *id != me.id)
        .take(LOOK_NAMES_MAX)
        .filter_map(|id| name_of(turn, id))
        .collect();
    if total > LOOK_NAMES_MAX {
        names.push(t1("look.more", "n", (total - LOOK_NAMES_MAX).to_string()));
    }
    if names.is_empty() {
        t("nothing")
    } else {
        t1("look.here", "list", turn.row(me.id, names))
    }
}

fn name_of(turn: &Turn<'_>, id: CharacterId) -> Option<Text> {
    let Some(person) = turn.person(id) else { return npc::of(turn.zone, id).map(|npc| plain(npc.name.as_str())) };
    let key = match (person.kept.pose.is_empty(), person.lost.is_some()) {
        (true, false) => return Some(plain(person.name.as_str())),
        (true, true) => "look.lost",
        (false, false) => "look.posed",
        (false, true) => "look.posed_lost",
    };
    let text = t1(key, "name", person.name.as_str());
    Some(if person.kept.pose.is_empty() { text } else { text.with("pose", person.kept.pose.as_str()) })
}

fn at(turn: &Turn<'_>, me: &Person, typed: &str) -> Result<Text, Text> {
    let lower = typed.to_lowercase();
    if lower == "me" || lower == "self" {
        return Ok(person_text(me, me.id));
    }
    if let Some(direction) = Direction::from_name(&lower) {
        return Ok(direction_text(turn, &me.room, direction));
    }
    if let Some(id) = looked_at(turn, &me.room, typed) {
        if let Some(person) = turn.person(id) {
            return Ok(person_text(person, me.id));
        }
        if let Some(npc) = npc::of(turn.zone, id) {
            return Ok(plain(npc.description.as_str()));
        }
    }
    thing(turn, &me.room, &lower).ok_or_else(|| t1("refuse.no_thing", "name", shown(typed)))
}

/// A thing of the room, by any of its words.
pub(crate) fn thing(turn: &Turn<'_>, room: &RoomId, typed: &str) -> Option<Text> {
    let things = &turn.room(room)?.things;
    let best = things
        .iter()
        .filter_map(|thing| thing.words.iter().filter_map(|word| fit(typed, word)).min().map(|fit| (fit, thing)));
    best.min_by_key(|(fit, _)| *fit).map(|(_, thing)| plain(thing.description.as_str()))
}

/// Whom a look is at. A thing called exactly so comes before somebody whose name only begins so: a lamp before the
/// lamplighter.
pub(crate) fn looked_at(turn: &Turn<'_>, room: &RoomId, typed: &str) -> Option<CharacterId> {
    let id = occupant_called(turn, room, typed)?;
    let exact = |name: &str| fit(typed, name) == Some(0);
    let is_called = match turn.person(id) {
        Some(person) => exact(&person.name),
        None => npc::of(turn.zone, id).is_some_and(|npc| exact(&npc.name) || npc.words.iter().any(|word| exact(word))),
    };
    let is_thing = || turn.room(room).is_some_and(|room| room.things.iter().flat_map(|t| &t.words).any(|w| exact(w)));
    (is_called || !is_thing()).then_some(id)
}

/// Somebody in the room, by name, its beginning, or a word of it.
pub(crate) fn occupant_called(turn: &Turn<'_>, room: &RoomId, typed: &str) -> Option<CharacterId> {
    if let Some(present) = turn.find_present(typed).filter(|present| present.room == *room) {
        return Some(present.id);
    }
    let fits = |id: CharacterId| match turn.person(id) {
        Some(person) => fit(typed, &person.name),
        None => {
            let npc = npc::of(turn.zone, id)?;
            npc.words.iter().map(String::as_str).chain([npc.name.as_str()]).filter_map(|w| fit(typed, w)).min()
        }
    };
    let seats = turn.zone.state.seats(room);
    seats.filter_map(|id| fits(id).map(|fit| (fit, id))).min().map(|(_, id)| id)
}

fn person_text(person: &Person, me: CharacterId) -> Text {
    if person.id == me && person.kept.pose.is_empty() {
        return t("look.self");
    }
    let name = person.name.as_str();
    if person.lost.is_some() {
        t1("look.person_lost", "name", name)
    } else if person.kept.pose.is_empty() {
        t1("look.person", "name", name)
    } else {
        t1("look.person_posed", "name", name).with("pose", person.kept.pose.as_str())
    }
}

fn direction_text(turn: &Turn<'_>, room: &RoomId, direction: Direction) -> Text {
    let Some(exit) = turn.exit(room, direction).filter(|exit| !exit.hidden) else {
        return t("look.way_none");
    };
    let (name, place) = (way("direction", direction), turn.room_name(&exit.to));
    match (&exit.door, exit.locked) {
        (Some(door), true) => t1("look.way_locked", "direction", name).with("door", door.as_str()),
        (None, true) => t("look.way_shut"),
        (Some(door), false) => {
            t1("look.way_door", "direction", name).with("door", door.as_str()).with("place", place)
        }
        (None, false) => t1("look.way", "direction", name).with("place", place),
    }
}
