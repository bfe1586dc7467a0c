//! `staff <text>`: to the staff alone.

use super::{Call, Ran, Spec};
use crate::input::Role;
use crate::speech::{self, Channel};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["staff"],
    usage: "staff <text>",
    summary: "Speaks to the staff of the world.",
    see: &["system", "channel"],
    role: Role::Builder,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    speech::on_channel(turn, call, Channel::Staff)
}
