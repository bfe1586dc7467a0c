//! `quit`: leaves the world.

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::presence::{self, Parting};
use crate::text::t;
use crate::turn::Turn;
use tidings_protocol::CloseCode;

pub(crate) const SPEC: Spec = Spec {
    names: &["quit", "logout"],
    usage: "quit",
    summary: "Leaves the world. You come back where you left.",
    see: &[],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let name = turn.person(call.me).map(|person| person.name.clone()).ok_or_else(|| t("refuse.session"))?;
    let parting = Parting { origin: call.origin.clone(), own: presence::goodbye(&name) };
    let bye = (CloseCode::Left.code(), CloseCode::Left.reason().to_owned());
    presence::leave(turn, call.me, Some(parting), Some(bye));
    Ok(Done::Later)
}
