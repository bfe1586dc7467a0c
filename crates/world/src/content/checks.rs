//! Checks over the whole world, after every file was read: targets that exist, ways back, rooms one can walk to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidings_protocol::RoomId;

use super::builder::Builder;
use super::mistake::{Place, Report, nearest, shown};
use super::model::{Direction, Exit, Room};
use super::zone_file::short;

pub(super) fn check(builder: &Builder, report: &Report) {
    exits_lead_somewhere(builder, report);
    named_rooms_exist(builder, report);
    ways_back(builder, report);
    rooms_are_reachable(builder, report);
    rooms_can_be_left(builder, report);
    characters_can_walk(builder, report);
    map_cells_are_free(builder, report);
    help_topics_exist(builder, report);
}

fn exits_lead_somewhere(builder: &Builder, report: &Report) {
    for (room, direction, exit) in exits(builder) {
        let place = &builder.exits_at[&(room.id.clone(), direction)];
        let what = format!("exit {} of room '{}'", direction.names().0, short(&room.id));
        if exit.to == room.id {
            report.error(place, format!("{what} leads back into the same room"));
        } else {
            room_exists(builder, report, place, &what, &exit.to);
        }
    }
}

fn named_rooms_exist(builder: &Builder, report: &Report) {
    for (place, what, room) in &builder.room_refs {
        room_exists(builder, report, place, what, room);
    }
}

fn room_exists(builder: &Builder, report: &Report, place: &Place, what: &str, room: &RoomId) {
    let zone = room.zone();
    if builder.rooms_at.contains_key(room) || builder.broken.contains(&zone) || report.is_full() {
        return;
    }
    let hint = if builder.content.zones.contains_key(&zone) {
        let same_zone = builder.rooms_at.keys().filter(|other| other.zone() == zone);
        nearest(short(room), same_zone.map(short))
            .map(|meant| format!(": did you mean '{}'?", shown_as(place, &zone, meant)))
    } else {
        let zones = builder.content.zones.keys().map(tidings_protocol::ZoneId::as_str);
        Some(match nearest(zone.as_str(), zones) {
            Some(meant) => format!(": there is no zone '{zone}', did you mean '{meant}'?"),
            None => format!(": there is no zone '{zone}'"),
        })
    };
    report.error(place, format!("{what}: there is no room '{room}'{}", hint.unwrap_or_default()));
}

/// A room's id as a builder would write it in the file of `place`.
fn shown_as(place: &Place, zone: &tidings_protocol::ZoneId, room: &str) -> String {
    if place.file == format!("zones/{zone}.toml") { room.to_owned() } else { format!("{zone}_{room}") }
}

/// Every exit comes back, in the direction one expects, or says that it does not.
fn ways_back(builder: &Builder, report: &Report) {
    for (room, direction, exit) in exits(builder) {
        let Some(target) = builder.content.rooms.get(&exit.to) else { continue };
        if exit.to == room.id
            || builder.broken.contains(&room.id.zone())
            || builder.broken.contains(&target.id.zone())
        {
            continue;
        }
        let key = (room.id.clone(), direction);
        let (place, name) = (&builder.exits_at[&key], direction.names().0);
        let what = format!("exit {name} of room '{}' to '{}'", short(&room.id), exit.to);
        let back: Vec<Direction> = target
            .exits
            .iter()
            .filter(|(_, back)| back.to == room.id)
            .map(|(direction, _)| *direction)
            .collect();
        let expected = direction.opposite();
        if back.is_empty() && !exit.one_way {
            let expected = expected.names().0;
            report.error(
                place,
                format!(
                    "{what} has no way back: add 'exits.{expected}' there, or declare it here: one_way = true"
                ),
            );
        } else if exit.one_way && !back.is_empty() {
            report.warning(place, format!("{what} is declared one_way, but there is a way back"));
        } else if !back.is_empty() && !back.contains(&expected) && !builder.winding.contains(&key) {
            let (back, expected) = (back[0].names().0, expected.names().0);
            report.warning(
                place,
                format!(
                    "{what}: the way back is {back}, not {expected}; where that is meant: winding = true"
                ),
            );
        }
    }
}

/// Every room can be walked to from the start. Not judged where a file could be read in part only.
fn rooms_are_reachable(builder: &Builder, report: &Report) {
    let Some(start) = builder.content.world.as_ref().map(|world| &world.start) else { return };
    if !builder.broken.is_empty() || !builder.content.rooms.contains_key(start) {
        return;
    }
    let walked = reached(&builder.content.rooms, start, |exit| !exit.locked);
    let with_keys = reached(&builder.content.rooms, start, |_| true);
    for (room, place) in &builder.rooms_at {
        if !with_keys.contains(room) {
            let message = format!("room '{}' cannot be reached from the start, '{start}'", short(room));
            report.error(place, message);
        } else if !walked.contains(room) {
            report.warning(
                place,
                format!("room '{}' is only behind locked exits: nobody can walk there", short(room)),
            );
        }
    }
}

fn reached<'r>(
    rooms: &'r BTreeMap<RoomId, Room>,
    start: &'r RoomId,
    passes: impl Fn(&Exit) -> bool,
) -> BTreeSet<&'r RoomId> {
    let mut seen = BTreeSet::from([start]);
    let mut queue = VecDeque::from([start]);
    while let Some(room) = queue.pop_front().and_then(|id| rooms.get(id)) {
        for exit in room.exits.values().filter(|exit| passes(exit)) {
            if rooms.contains_key(&exit.to) && seen.insert(&exit.to) {
                queue.push_back(&exit.to);
            }
        }
    }
    seen
}

fn rooms_can_be_left(builder: &Builder, report: &Report) {
    let alone = builder.content.rooms.len() == 1;
    for (id, room) in builder.content.rooms.iter().filter(|_| !alone) {
        let shut = room.exits.values().all(|exit| exit.locked);
        if let (true, Some(place)) = (shut && !builder.broken.contains(&id.zone()), builder.rooms_at.get(id))
        {
            report.error(
                place,
                format!("room '{}' cannot be left: it has no exit that is not locked", short(id)),
            );
        }
    }
}

/// Characters walk by the exits of their own zone: where they cannot get to they never are.
fn characters_can_walk(builder: &Builder, report: &Report) {
    for npc in builder.content.npcs.values() {
        let (rooms, zone) = (&builder.content.rooms, npc.home.zone());
        if builder.broken.contains(&zone) || report.is_full() {
            continue;
        }
        let walked = reached(rooms, &npc.home, |exit| !exit.locked && exit.to.zone() == zone);
        let goes = npc.routine.iter().filter_map(|step| step.go.as_ref());
        let lost = |room: &&RoomId| rooms.contains_key(*room) && !walked.contains(room);
        for room in goes.chain(&npc.wanders).filter(lost).collect::<BTreeSet<_>>() {
            let message = format!("{} cannot walk from home to '{}' within the zone", npc.name, short(room));
            report.error(&builder.npcs_at[&npc.id], message);
        }
    }
}

/// Two rooms in one place would be drawn over each other.
fn map_cells_are_free(builder: &Builder, report: &Report) {
    let mut cells = BTreeMap::new();
    for id in &builder.drawn {
        let Some(room) = builder.content.rooms.get(id) else { continue };
        if let Some(other) = cells.insert((id.zone(), room.at), id) {
            let ((x, y), other) = (room.at, short(other));
            let message = format!("room '{}' is drawn at [{x}, {y}], where '{other}' is", short(id));
            report.warning(&builder.rooms_at[id], message);
        }
    }
}

fn help_topics_exist(builder: &Builder, report: &Report) {
    if builder.help_broken {
        return;
    }
    for (place, topic, other) in &builder.help_refs {
        if builder.content.help.contains_key(other) || report.is_full() {
            continue;
        }
        let hint = nearest(other, builder.content.help.keys().map(String::as_str));
        let hint = hint.map(|meant| format!(": did you mean '{meant}'?")).unwrap_or_default();
        report
            .error(place, format!("help topic '{topic}' names '{}', which is no topic{hint}", shown(other)));
    }
}

fn exits(builder: &Builder) -> impl Iterator<Item = (&Room, Direction, &Exit)> {
    let exits = |room: &'_ Room| room.exits.keys().copied().collect::<Vec<_>>();
    builder
        .content
        .rooms
        .values()
        .flat_map(move |room| {
            exits(room).into_iter().map(move |direction| (room, direction, &room.exits[&direction]))
        })
        .filter(|(room, direction, _)| builder.exits_at.contains_key(&(room.id.clone(), *direction)))
}
