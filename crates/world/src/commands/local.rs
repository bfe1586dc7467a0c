//! `local <text>`: to everyone in the area.

use super::{Call, Ran, Spec};
use crate::input::Role;
use crate::speech::{self, Channel};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["local", "shout"],
    usage: "local <text>",
    summary: "Speaks to everyone in this area.",
    see: &["say", "global", "channel"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    speech::on_channel(turn, call, Channel::Local)
}
