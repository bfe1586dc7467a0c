//! `goto <room or person>`: staff goes anywhere.

use tidings_protocol::{RoomId, Text};

use super::{Call, Done, Ran, Spec, usage};
use crate::input::Role;
use crate::movement::{self, Moved, Story};
use crate::names::{fit, shown};
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["goto"],
    usage: "goto <room or player>",
    summary: "Goes to a room, or to where a player is.",
    see: &["teleport", "summon"],
    role: Role::Builder,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(usage(&SPEC));
    }
    let to = place(turn, call.rest).ok_or_else(|| t1("refuse.no_room", "name", shown(call.rest)))?;
    let name = turn.person(call.me).map(|me| me.name.clone()).ok_or_else(|| t("refuse.session"))?;
    turn.audit(call.me, "goto", to.as_str(), "");
    let own = t1("move.goto", "place", turn.room_name(&to));
    let story = Story { own: own.clone(), ..vanishing(&name, own.clone()) };
    Ok(match movement::relocate(turn, call.me, &to, story, call.origin) {
        Moved::Here => Done::InLog(own),
        Moved::Away => Done::Later,
    })
}

/// What is read when somebody is taken from one place to another.
pub(crate) fn vanishing(name: &str, own: Text) -> Story {
    Story { own, leaves: t1("move.vanishes", "name", name), arrives: t1("move.appears", "name", name) }
}

/// A room by its id, a player's room by the player's name, or a room by its name.
pub(crate) fn place(turn: &Turn<'_>, typed: &str) -> Option<RoomId> {
    let rooms = &turn.zone.content.rooms;
    let by_id = typed.to_lowercase().parse().ok().filter(|id: &RoomId| rooms.contains_key(id));
    let by_player = || turn.find_present(typed).map(|present| present.room.clone());
    let near = || RoomId::in_zone(&turn.zone.id, &typed.to_lowercase()).ok().filter(|id| rooms.contains_key(id));
    let by_name = || {
        let fits = rooms.iter().filter_map(|(id, room)| fit(typed, &room.name).map(|fit| (fit, id)));
        fits.min().map(|(_, id)| id.clone())
    };
    by_id.or_else(by_player).or_else(near).or_else(by_name)
}
