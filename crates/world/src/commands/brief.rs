//! `brief [on|off]`: the setting of that name.

use super::{Call, Ran, Spec, settings};
use crate::input::Role;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["brief"],
    usage: "brief [on|off]",
    summary: "Shows rooms that you walk into without their description, or with it again. look always has it.",
    see: &["settings"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    settings::set(turn, call, "brief", call.rest)
}
