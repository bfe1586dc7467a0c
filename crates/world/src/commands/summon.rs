//! `summon <who>`: staff brings somebody here.

use super::{Call, Ran, Spec, teleport, usage};
use crate::input::Role;
use crate::output::RemoteAct;
use crate::remote;
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["summon"],
    usage: "summon <player>",
    summary: "Brings a player to where you are.",
    see: &["teleport", "goto"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(usage(&SPEC));
    }
    let Some(target) = turn.find_present(call.rest).cloned() else {
        return super::not_online(turn, call, call.rest);
    };
    if target.id == call.me {
        return Err(t("staff.self"));
    }
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let (name, here) = (me.name.clone(), me.room.clone());
    remote::in_reach(turn, &target)?;
    turn.audit(call.me, "summon", &target.name, here.as_str());
    let act = RemoteAct::Teleport(here, t1("move.summoned", "name", name), None);
    remote::reach(turn, &target, act);
    let own = t1("staff.summoned", "name", target.name.as_str());
    Ok(teleport::done(turn, call, own))
}
