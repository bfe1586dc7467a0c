//! `emotes`: the named emotes of this world.

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::text::plain;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["emotes"],
    usage: "emotes",
    summary: "Lists the named emotes: type one by itself, or with a name after it.",
    see: &["emote"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, _: &Call<'_>) -> Ran {
    let words: Vec<&str> = turn.zone.content.emotes.keys().map(String::as_str).collect();
    Ok(Done::Read(plain(words.join(", "))))
}
