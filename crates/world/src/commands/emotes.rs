//! `emotes`: the named emotes of this world.

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::text::{plain, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["emotes"],
    usage: "emotes",
    summary: "Lists the named emotes: type one by itself, or with a name after it.",
    see: &["emote"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let words: Vec<_> = turn.zone.content.emotes.keys().map(plain).collect();
    let text = if words.is_empty() { t("emotes.none") } else { t1("emotes.list", "list", turn.row(call.me, words)) };
    Ok(Done::Read(text))
}
