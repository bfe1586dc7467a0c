//! `kick <who> [reason]`: staff sends somebody out of the world.

use tidings_protocol::CloseCode;

use super::{Call, Ran, Spec, teleport, usage, within};
use crate::input::{Present, Role};
use crate::limits::REASON_CHARS_MAX;
use crate::names::split;
use crate::output::RemoteAct;
use crate::remote;
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["kick"],
    usage: "kick <player> [reason]",
    summary: "Sends a player out of the world. They may come back.",
    see: &["ban", "mute_global"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (name, reason) = split(call.rest);
    if name.is_empty() {
        return Err(usage(&SPEC));
    }
    let reason = within(reason, REASON_CHARS_MAX)?;
    let Some(target) = turn.find_present(name).cloned() else { return super::not_online(turn, call, name) };
    above(turn, call, target.role, target.account)?;
    remote::in_reach(turn, &target)?;
    turn.audit(call.me, "kick", &target.name, reason);
    send_out(turn, &target, CloseCode::Kicked, reason);
    let own = t1("staff.kicked", "name", target.name.as_str());
    Ok(teleport::done(turn, call, own))
}

/// Staff acts on those below its own role, and on nobody of its own account.
pub(crate) fn above(
    turn: &Turn<'_>,
    call: &Call<'_>,
    role: Role,
    account: tidings_protocol::AccountId,
) -> Result<(), tidings_protocol::Text> {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    if account == me.account {
        return Err(t("staff.self"));
    }
    if role > Role::Player && role >= me.role { Err(t("refuse.role")) } else { Ok(()) }
}

/// Ends a character's stay in this zone or another.
pub(crate) fn send_out(turn: &mut Turn<'_>, target: &Present, code: CloseCode, reason: &str) {
    let said = if reason.is_empty() { code.reason().to_owned() } else { reason.to_owned() };
    remote::reach(turn, target, RemoteAct::Kick(code.code(), said));
}
