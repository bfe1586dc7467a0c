//! `screenreader [on|off]`: the setting of that name.

use super::{Call, Ran, Spec, settings};
use crate::input::Role;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["screenreader"],
    usage: "screenreader [on|off]",
    summary: "For screen readers: lists with one thing a line.",
    see: &["settings"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    settings::set(turn, call, "screenreader", call.rest)
}
