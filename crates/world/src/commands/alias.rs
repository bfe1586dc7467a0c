//! `alias [<word> <text>]`: a word of one's own for a longer line.

use super::{Call, Done, Ran, Spec, within};
use crate::effect::Change;
use crate::input::Role;
use crate::limits::{ALIAS_CHARS_MAX, ALIASES_BYTES_MAX, ALIASES_MAX};
use crate::names::{shown, split};
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["alias", "aliases"],
    usage: "alias [<word> <text>]",
    summary: "Lists your aliases, or makes one: alias hi say hello.",
    see: &["unalias"],
    role: Role::Player,
    run,
};

/// Words that stay what they are, so that no alias locks one out.
const RESERVED: [&str; 4] = ["alias", "aliases", "unalias", "quit"];
/// Longest word, in characters.
const WORD_CHARS_MAX: usize = 40;

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (word, text) = split(call.rest);
    let aliases = &turn.person(call.me).ok_or_else(|| t("refuse.session"))?.kept.aliases;
    if word.is_empty() {
        let lines: Vec<_> = aliases.iter().map(|(word, text)| line(word, text)).collect();
        return Ok(Done::Read(if lines.is_empty() { t("alias.none") } else { t("alias.list").with("lines", lines) }));
    }
    let word = word.to_lowercase();
    if text.is_empty() {
        let unknown = || t1("alias.unknown", "word", shown(&word));
        return aliases.get(&word).map(|text| Done::Read(line(&word, text))).ok_or_else(unknown);
    }
    let text = within(text, ALIAS_CHARS_MAX)?;
    if RESERVED.contains(&word.as_str()) || word.chars().count() > WORD_CHARS_MAX {
        return Err(t1("alias.bad", "word", shown(&word)));
    }
    if aliases.len() >= ALIASES_MAX && !aliases.contains_key(&word) {
        return Err(t("alias.full"));
    }
    let others = aliases.iter().filter(|(other, _)| **other != word);
    let bytes: usize = others.map(|(word, text)| word.len() + text.len()).sum();
    if bytes + word.len() + text.len() > ALIASES_BYTES_MAX {
        return Err(t("alias.full_bytes"));
    }
    let set = t1("alias.set", "word", word.as_str()).with("text", text);
    turn.apply(Change::Alias(call.me, word, Some(text.to_owned())));
    turn.keep(call.me);
    Ok(Done::Changed(set))
}

fn line(word: &str, text: &str) -> tidings_protocol::Text {
    t1("alias.line", "word", word).with("text", text)
}
