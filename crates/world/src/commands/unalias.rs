//! `unalias <word>`: ends an alias.

use super::{Call, Done, Ran, Spec, usage};
use crate::effect::Change;
use crate::input::Role;
use crate::names::shown;
use crate::text::t1;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["unalias"],
    usage: "unalias <word>",
    summary: "Removes an alias.",
    see: &["alias"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(usage(&SPEC));
    }
    let word = call.rest.to_lowercase();
    let known = turn.person(call.me).is_some_and(|me| me.kept.aliases.contains_key(&word));
    if !known {
        return Err(t1("alias.unknown", "word", shown(&word)));
    }
    turn.apply(Change::Alias(call.me, word.clone(), None));
    turn.keep(call.me);
    Ok(Done::Changed(t1("alias.gone", "word", word)))
}
