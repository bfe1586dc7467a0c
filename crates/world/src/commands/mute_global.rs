//! `mute_global <who> [minutes] [reason]`: staff silences an account everywhere.

use super::{Call, Done, Found, Ran, Spec, kick, mute, teleport, usage};
use crate::input::{Fact, KnownPlayer, Millis, Role, Silence};
use crate::names::split;
use crate::post;
use crate::remote;
use crate::speech::FOR_GOOD;
use crate::text::{minutes, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["mute_global"],
    usage: "mute_global <player> [minutes] [reason]",
    summary: "Silences a player on every channel, for a time or for good.",
    see: &["unmute_global", "kick"],
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
    let until = time.map_or(FOR_GOOD, |n| turn.now + n * 60_000);
    post::has_room(turn)?;
    turn.audit(call.me, "mute_global", &target.name, call.rest);
    silence(turn, &target, Some(until), reason);
    let own = match time {
        Some(time) => t1("staff.silenced_for", "name", target.name).with("time", minutes(time)),
        None => t1("staff.silenced", "name", target.name),
    };
    Ok(teleport::done(turn, call, own))
}

/// Silences an account, or ends that, in storage and in every zone.
pub(crate) fn silence(turn: &mut Turn<'_>, target: &KnownPlayer, until: Option<Millis>, reason: &str) {
    let known = turn.zone.state.silences.get(&target.account).map(|silence| &silence.made);
    let silence = Silence { made: turn.made(known), until, reason: reason.to_owned() };
    remote::keep_silence(turn, target.account, &silence);
    post::post_to_all(turn, &Fact::Silenced(target.account, silence.clone()));
    remote::silenced(turn, target.account, silence);
}
