//! `global <text>`: to everyone in the world.

use super::{Call, Ran, Spec};
use crate::input::Role;
use crate::speech::{self, Channel};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["global", "gossip"],
    usage: "global <text>",
    summary: "Speaks to everyone in the world.",
    see: &["say", "local", "channel"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    speech::on_channel(turn, call, Channel::Global)
}
