//! `ban <who> [minutes] [reason]`: staff shuts an account out.

use tidings_protocol::CloseCode;

use super::{Call, Done, Found, Ran, Spec, kick, mute, teleport, usage};
use crate::input::{Present, Role};
use crate::names::split;
use crate::output::Act;
use crate::text::{minutes, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["ban"],
    usage: "ban <player> [minutes] [reason]",
    summary: "Shuts a player's account out, for a time or for good.",
    see: &["kick"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (name, rest) = split(call.rest);
    if name.is_empty() {
        return Err(usage(&SPEC));
    }
    let (time, reason) = mute::time_and_reason(rest)?;
    let target = match super::player(turn, call, name)? {
        Found::Player(target) => target,
        Found::Asked => return Ok(Done::Later),
    };
    kick::above(turn, call, target.role, target.account)?;
    let until = time.map(|n| turn.now + n * 60_000);
    turn.audit(call.me, "ban", &target.name, call.rest);
    turn.act(Act::Ban(target.account, until, reason.to_owned()));
    let online: Vec<Present> =
        turn.zone.known.all().filter(|present| present.account == target.account).cloned().collect();
    for present in &online {
        kick::send_out(turn, present, CloseCode::Banned, reason);
    }
    let said = if reason.is_empty() { CloseCode::Banned.reason() } else { reason };
    turn.act(Act::Revoke(target.account, CloseCode::Banned.code(), said.to_owned()));
    let own = match time {
        Some(time) => t1("staff.banned_for", "name", target.name).with("time", minutes(time)),
        None => t1("staff.banned", "name", target.name),
    };
    Ok(teleport::done(turn, call, own))
}
