//! `admin status`: how the zone and the world stand.

use super::{Call, Done, Ran, Spec, shutdown, usage};
use crate::input::Role;
use crate::text::{or_nothing, seconds, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["admin"],
    usage: "admin status",
    summary: "Tells how many people, characters and rooms there are here, and how many are online.",
    see: &["who", "shutdown"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if !call.rest.eq_ignore_ascii_case("status") {
        return Err(usage(&SPEC));
    }
    let state = &turn.zone.state;
    let rooms = turn.zone.content.rooms.keys().filter(|room| room.zone() == turn.zone.id).count();
    let parties = state.parties.values().filter(|party| party.gone_since().is_none()).count();
    let shutdown = shutdown::planned(turn).map(|at| t1("staff.status_shutdown", "time", seconds(at - turn.now)));
    let text = t1("staff.status", "zone", turn.zone.id.as_str())
        .with("people", state.people.len().to_string())
        .with("npcs", state.npcs.len().to_string())
        .with("rooms", rooms.to_string())
        .with("parties", parties.to_string())
        .with("online", turn.zone.known.all().count().to_string())
        .with("shutdown", or_nothing(shutdown));
    Ok(Done::Read(text))
}
