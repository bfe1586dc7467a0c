//! `party <text>` speaks to one's party; `party invite|accept|leave|kick|disband|list` runs it.

use super::{Call, Ran, Spec, usage};
use crate::input::Role;
use crate::names::split;
use crate::party;
use crate::speech::{self, Channel};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["party", "p"],
    usage: "party <text>, party invite <player>, party accept [player], party leave, party kick <player>, \
            party disband, party list",
    summary: "Speaks to your party, or runs it. 'party say <text>' speaks whatever the text begins with.",
    see: &["channel", "settings"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (verb, rest) = split(call.rest);
    let words = rest.split_whitespace().count();
    match (verb.to_lowercase().as_str(), words) {
        ("invite", 1) => party::invite(turn, call, rest),
        ("accept", 0 | 1) => party::accept(turn, call, rest),
        ("leave", 0) => party::leave(turn, call),
        ("kick", 1) => party::kick(turn, call, rest),
        ("disband", 0) => party::disband(turn, call),
        ("list", 0) => party::list(turn, call),
        // Half a command is not spoken aloud: `party say` is for text that begins like one.
        ("invite" | "kick", _) => Err(usage(&SPEC)),
        ("say", 1..) => say(turn, &Call { rest, ..*call }),
        _ => say(turn, call),
    }
}

/// Speaks to the party.
pub(crate) fn say(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    speech::on_channel(turn, call, Channel::Party)
}
