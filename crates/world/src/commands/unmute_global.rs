//! `unmute_global <who>`: ends a silence.

use super::{Call, Done, Found, Ran, Spec, kick, mute_global, teleport, usage};
use crate::input::Role;
use crate::post;
use crate::text::t1;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["unmute_global"],
    usage: "unmute_global <player>",
    summary: "Lets a silenced player speak again.",
    see: &["mute_global"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(usage(&SPEC));
    }
    let target = match super::player(turn, call, call.rest)? {
        Found::Player(target) => target,
        Found::Asked => return Ok(Done::Later),
    };
    kick::above(turn, call, target.role, target.account)?;
    post::has_room(turn)?;
    turn.audit(call.me, "unmute_global", &target.name, "");
    mute_global::silence(turn, &target, None, "");
    let own = t1("staff.unsilenced", "name", target.name);
    Ok(teleport::done(turn, call, own))
}
