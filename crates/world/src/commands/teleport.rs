//! `teleport <who> <direction, room or person>`: staff sends somebody elsewhere.

use tidings_protocol::{CharacterId, RoomId, Text};

use super::{Call, Done, Ran, Spec, goto, usage};
use crate::content::model::Direction;
use crate::input::{Origin, Present, Role};
use crate::movement::{self, Moved, Story};
use crate::names::{shown, split};
use crate::output::RemoteAct;
use crate::remote;
use crate::text::{t, t1, way};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["teleport", "send"],
    usage: "teleport <player> <direction, room or player>",
    summary: "Sends a player in a direction, to a room, or to another player.",
    see: &["goto", "summon"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (name, place) = split(call.rest);
    if name.is_empty() || place.is_empty() {
        return Err(usage(&SPEC));
    }
    let Some(target) = turn.find_present(name).cloned() else { return super::not_online(turn, call, name) };
    let me = turn.person(call.me).map(|me| me.name.clone()).ok_or_else(|| t("refuse.session"))?;
    let (to, direction) = destination(turn, &target, place)?;
    let to_where = match direction {
        Some(direction) => way("to", direction),
        None => t1("to.place", "place", turn.room_name(&to)),
    };
    let theirs = t1("move.sent", "name", me).with("place", to_where.clone());
    let own = t1("staff.sent", "name", target.name.as_str()).with("place", to_where);
    remote::in_reach(turn, &target)?;
    turn.audit(call.me, "teleport", &target.name, to.as_str());
    if target.id == call.me {
        // A move of one's own: between zones its outcome is the target's to tell.
        let moved = take(turn, call.me, &to, own.clone(), direction, call.origin);
        return Ok(if moved == Moved::Here { Done::InLog(own) } else { Done::Later });
    }
    remote::reach(turn, &target, RemoteAct::Teleport(to, theirs, direction));
    Ok(done(turn, call, own))
}

fn destination(turn: &Turn<'_>, target: &Present, typed: &str) -> Result<(RoomId, Option<Direction>), Text> {
    if let Some(direction) = Direction::from_name(&typed.to_lowercase()) {
        let exit = turn.exit(&target.room, direction).filter(|exit| turn.room(&exit.to).is_some());
        let exit = exit.ok_or_else(|| t("refuse.no_way"))?;
        return Ok((exit.to.clone(), Some(direction)));
    }
    let to = goto::place(turn, typed).ok_or_else(|| t1("refuse.no_room", "name", shown(typed)))?;
    Ok((to, None))
}

/// Moves a character of this zone; the others see it go in the direction, where there is one.
pub(crate) fn take(
    turn: &mut Turn<'_>,
    id: CharacterId,
    to: &RoomId,
    own: Text,
    direction: Option<Direction>,
    origin: &Origin,
) -> Moved {
    let name = turn.person(id).map_or_else(String::new, |person| person.name.clone());
    let mut story: Story = goto::vanishing(&name, own);
    if let Some(direction) = direction {
        let from = movement::arrival_from(turn, id, to, direction);
        story.leaves = t1("move.leaves", "name", name.as_str()).with("direction", way("to", direction));
        story.arrives = t1("move.arrives", "name", name).with("direction", from);
    }
    movement::relocate(turn, id, to, story, origin)
}

/// The actor's reply by its own log.
pub(crate) fn done(turn: &mut Turn<'_>, call: &Call<'_>, own: Text) -> Done {
    let event = turn.own_event(call.me, "event.done", call.origin, own.clone());
    turn.emit(event);
    Done::InLog(own)
}
