//! Places on the map for rooms that were given none: from a room that has one, a step in the exit's direction, or the
//! nearest free cell beyond. Zone by zone, in the order of ids, so that the same files always make the same map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidings_protocol::{RoomId, ZoneId};

use super::model::{Direction, Room};

type Cell = (i32, i32);

/// Gives every room that is not in `drawn` its place.
pub(super) fn lay_out(rooms: &mut BTreeMap<RoomId, Room>, drawn: &BTreeSet<RoomId>) {
    let mut zones: BTreeMap<ZoneId, Vec<RoomId>> = BTreeMap::new();
    for id in rooms.keys() {
        zones.entry(id.zone()).or_default().push(id.clone());
    }
    for ids in zones.values() {
        lay_out_zone(rooms, ids, drawn);
    }
}

fn lay_out_zone(rooms: &mut BTreeMap<RoomId, Room>, ids: &[RoomId], drawn: &BTreeSet<RoomId>) {
    let mut placed: BTreeMap<RoomId, Cell> =
        ids.iter().filter(|id| drawn.contains(*id)).map(|id| (id.clone(), rooms[id].at)).collect();
    let mut taken: BTreeSet<Cell> = placed.values().copied().collect();
    let mut queue: VecDeque<RoomId> = placed.keys().cloned().collect();
    for id in ids {
        if queue.is_empty() && !placed.contains_key(id) {
            place(id, (0, 0), (1, 0), &mut placed, &mut taken, &mut queue);
        }
        while let Some(from) = queue.pop_front() {
            let at = placed[&from];
            for (direction, exit) in &rooms[&from].exits {
                if exit.to.zone() == from.zone()
                    && rooms.contains_key(&exit.to)
                    && !placed.contains_key(&exit.to)
                {
                    place(&exit.to, at, step(*direction), &mut placed, &mut taken, &mut queue);
                }
            }
        }
    }
    for (id, at) in placed {
        if let Some(room) = rooms.get_mut(&id) {
            room.at = at;
        }
    }
}

/// The first free cell from `at` in direction `by`; `at` itself where it is free.
fn place(
    id: &RoomId,
    at: Cell,
    by: Cell,
    placed: &mut BTreeMap<RoomId, Cell>,
    taken: &mut BTreeSet<Cell>,
    queue: &mut VecDeque<RoomId>,
) {
    let mut cell = at;
    while taken.contains(&cell) {
        cell = (cell.0 + by.0, cell.1 + by.1);
    }
    taken.insert(cell);
    placed.insert(id.clone(), cell);
    queue.push_back(id.clone());
}

/// A step on the map: columns to the east, rows to the south. What has no place on a plane gets a slant of its own.
fn step(direction: Direction) -> Cell {
    match direction {
        Direction::North => (0, -1),
        Direction::Northeast | Direction::Up => (1, -1),
        Direction::East => (1, 0),
        Direction::Southeast => (1, 1),
        Direction::South => (0, 1),
        Direction::Southwest | Direction::Down => (-1, 1),
        Direction::West => (-1, 0),
        Direction::Northwest | Direction::Out => (-1, -1),
        Direction::In => (1, 1),
    }
}
