//! `go <direction>`, and each direction by itself: `north`, `n`.

use super::{Call, Done, Ran, Spec};
use crate::content::model::Direction;
use crate::input::Role;
use crate::movement::{self, Moved};
use crate::text::t;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["go", "walk"],
    usage: "go <direction>",
    summary: "Goes through an exit. A direction by itself does the same: north, or n.",
    see: &["look"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(t("refuse.go_where"));
    }
    let direction = Direction::from_name(&call.rest.to_lowercase()).ok_or_else(|| t("refuse.no_way"))?;
    towards(turn, call, direction)
}

/// Goes in a direction.
pub(crate) fn towards(turn: &mut Turn<'_>, call: &Call<'_>, direction: Direction) -> Ran {
    match movement::walk(turn, call.me, direction, call.origin)? {
        (Moved::Here, own) => Ok(Done::InLog(own)),
        (Moved::Away, _) => Ok(Done::Later),
    }
}
