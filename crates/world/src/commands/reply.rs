//! `reply <message>`: whispers to who whispered last.

use super::{Call, Ran, Spec};
use crate::input::Role;
use crate::text::t;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["reply", "r"],
    usage: "reply <message>",
    summary: "Whispers to the player who whispered to you last.",
    see: &["whisper"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let person = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let name = person.kept.reply_to.clone();
    if name.is_empty() {
        return Err(t("refuse.reply_nobody"));
    }
    if call.rest.is_empty() {
        return Err(t("refuse.reply_what"));
    }
    super::whisper::to(turn, call, &name, call.rest)
}
