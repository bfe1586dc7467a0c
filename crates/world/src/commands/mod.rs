//! The commands. Each is a file here with its `SPEC`, and one line in the table below; its test stands beside it.
//!
//! A line is cleaned, short forms (`'`, `:`) and aliases are written out, the command is found by its word, the
//! role is checked, and the outcome is remembered: a repeat of a command's id gets the first outcome again.

use tidings_protocol::text::Name;
use tidings_protocol::{CharacterId, Text};

use crate::content::model::Direction;
use crate::input::{Answer, KnownPlayer, Millis, Origin, Present, Role};
use crate::known::Waiting;
use crate::limits::QUESTIONS_MAX;
use crate::names::{clean, nearest, shown, split};
use crate::outcomes::Outcome;
use crate::output::{Output, Query, Reply};
use crate::speech;
use crate::text::{t, t1};
use crate::turn::Turn;

macro_rules! commands {
    ($($name:ident,)*) => {
        $(pub(crate) mod $name;)*
        /// Every command, in the order help lists them.
        pub(crate) const ALL: &[&Spec] = &[$(&$name::SPEC,)*];
    };
}

// The table: one line a command.
commands! {
    say,
    emote,
    emotes,
    pose,
    whisper,
    reply,
    local,
    global,
    chat,
    party,
    channel,
    mute,
    unmute,
    mutes,
    go,
    look,
    examine,
    who,
    time,
    weather,
    alias,
    unalias,
    settings,
    brief,
    reader,
    help,
    quit,
    staff,
    goto,
    teleport,
    summon,
    kick,
    mute_global,
    unmute_global,
    system,
    ban,
    admin,
    shutdown,
}

/// A command.
pub(crate) struct Spec {
    /// The word that is typed, and its other forms.
    pub names: &'static [&'static str],
    /// How it is typed.
    pub usage: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Other topics.
    pub see: &'static [&'static str],
    /// Who may.
    pub role: Role,
    /// Does it.
    pub run: fn(&mut Turn<'_>, &Call<'_>) -> Ran,
}

/// A command as it was typed.
pub(crate) struct Call<'a> {
    pub me: CharacterId,
    pub origin: &'a Origin,
    /// What follows the command's word.
    pub rest: &'a str,
    /// The whole line, for a command that asks a service and is run again with the answer.
    pub line: &'a str,
    pub answer: Option<&'a Answer>,
}

/// What became of a command; `Err` is a refusal.
pub(crate) type Ran = Result<Done, Text>;

/// What became of a command.
pub(crate) enum Done {
    /// It changed nothing.
    Read(Text),
    /// It changed something that no event tells its session.
    Changed(Text),
    /// An event carries the reply.
    InLog(Text),
    /// The outcome comes later, or was taken care of.
    Later,
}

impl Call<'_> {
    /// What was typed after the command: not empty, and not longer than `max` characters.
    pub fn text(&self, max: usize, empty: impl Into<Name>) -> Result<&str, Text> {
        if self.rest.is_empty() { Err(t(empty)) } else { within(self.rest, max) }
    }

    /// Asks a service; the command is run again with the answer.
    pub fn ask(&self, turn: &mut Turn<'_>, query: Query) -> Ran {
        if turn.zone.known.waiting.len() >= QUESTIONS_MAX {
            return Err(t("refuse.failed"));
        }
        let number = turn.rng.next_u64();
        let waiting = Waiting { origin: self.origin.clone(), character: self.me, line: self.line.to_owned() };
        turn.zone.known.waiting.insert(number, waiting);
        turn.out.push(Output::Ask(number, query));
        Ok(Done::Later)
    }
}

/// The text, if it is not too long.
pub(crate) fn within(text: &str, max: usize) -> Result<&str, Text> {
    // Fewer bytes are no more characters.
    let too_long = text.len() > max && text.chars().count() > max;
    if too_long { Err(t1("refuse.too_long", "n", max.to_string())) } else { Ok(text) }
}

/// How a command is typed, as a refusal.
pub(crate) fn usage(spec: &Spec) -> Text {
    t1("refuse.usage", "usage", spec.usage)
}

/// Whether the word is a command's, so that no emote may have it.
pub(crate) fn is_command(word: &str) -> bool {
    find(word).is_some()
}

/// A line that was typed.
pub(crate) fn line(turn: &mut Turn<'_>, origin: &Origin, me: CharacterId, typed: &str) {
    let Some(person) = turn.person(me) else {
        let known = turn.zone.state.departed.iter().rev().find(|outcome| outcome.origin == *origin);
        let (ok, text) = known.map_or((false, t("refuse.session")), |o| (o.ok, o.text.clone()));
        return turn.out.push(Output::Reply(Reply { origin: origin.clone(), ok, text }));
    };
    if let Some(Outcome { origin, ok, text }) = person.outcome(origin) {
        return turn.out.push(Output::Reply(Reply { origin, ok, text }));
    }
    if person.session != origin.session {
        let text = t("refuse.session");
        return turn.out.push(Output::Reply(Reply { origin: origin.clone(), ok: false, text }));
    }
    run_line(turn, origin, me, &clean(typed), None);
}

/// A question was answered: the command that asked is run again.
pub(crate) fn answered(turn: &mut Turn<'_>, number: u64, answer: &Answer) {
    let Some(waiting) = turn.zone.known.waiting.remove(&number) else { return };
    let Waiting { origin, character, line } = waiting;
    match turn.person(character).map(|person| person.outcome(&origin)) {
        Some(Some(Outcome { origin, ok, text })) => turn.out.push(Output::Reply(Reply { origin, ok, text })),
        Some(None) => run_line(turn, &origin, character, &line, Some(answer)),
        None => turn.out.push(Output::Reply(Reply { origin, ok: false, text: t("refuse.session") })),
    }
}

fn run_line(turn: &mut Turn<'_>, origin: &Origin, me: CharacterId, line: &str, answer: Option<&Answer>) {
    let ran = match answer {
        Some(Answer::Failed) => Err(t("refuse.failed")),
        _ => parse(turn, origin, me, line, answer),
    };
    let outcome = |ok, text| Outcome { origin: origin.clone(), ok, text };
    match ran {
        Ok(Done::Read(text)) => turn.answer(me, outcome(true, text), false),
        Ok(Done::Changed(text)) => turn.answer(me, outcome(true, text), true),
        Ok(Done::InLog(text)) => turn.remember(me, outcome(true, text), true),
        Ok(Done::Later) => {}
        Err(text) => {
            turn.answer(me, outcome(false, text), true);
            speech::send_out_if_flooding(turn, me);
        }
    }
}

fn is_too_long(turn: &Turn<'_>, line: &str) -> bool {
    let max = turn.zone.config.command_chars;
    max != 0 && line.len() > max && line.chars().count() > max
}

/// Finds the command and runs it.
fn parse(turn: &mut Turn<'_>, origin: &Origin, me: CharacterId, line: &str, answer: Option<&Answer>) -> Ran {
    let typed = spell_out(line);
    let expanded = expand(turn, me, &typed);
    if is_too_long(turn, &expanded) {
        return Err(t1("refuse.too_long", "n", turn.zone.config.command_chars.to_string()));
    }
    let (word, rest) = split(&expanded);
    if word.is_empty() {
        return Err(t("refuse.empty"));
    }
    let (typed_word, word) = (word, word.to_lowercase());
    let call = Call { me, origin, rest, line, answer };
    let role = turn.person(me).map_or(Role::Player, |person| person.role);
    if let Some(spec) = find(&word) {
        return if role >= spec.role { (spec.run)(turn, &call) } else { Err(t("refuse.role")) };
    }
    if let Some(direction) = Direction::from_name(&word) {
        return go::towards(turn, &call, direction);
    }
    emote::named(turn, &call, &word).unwrap_or_else(|| Err(no_command(turn, typed_word, role)))
}

/// The command of this word.
pub(crate) fn find(word: &str) -> Option<&'static Spec> {
    ALL.iter().copied().find(|spec| spec.names.contains(&word))
}

fn no_command(turn: &Turn<'_>, word: &str, role: Role) -> Text {
    let commands = ALL.iter().filter(|spec| role >= spec.role).flat_map(|spec| spec.names.iter().copied());
    let directions = Direction::ALL.iter().map(|direction| direction.names().0);
    let emotes = turn.zone.content.emotes.keys().map(String::as_str);
    match nearest(&word.to_lowercase(), commands.chain(directions).chain(emotes)) {
        Some(near) => t1("refuse.no_command_near", "word", shown(word)).with("near", near),
        None => t1("refuse.no_command", "word", shown(word)),
    }
}

/// `'hello` is `say hello`, `:smiles` is `emote smiles`.
fn spell_out(line: &str) -> std::borrow::Cow<'_, str> {
    match line.chars().next() {
        Some('\'' | '"') => format!("say {}", &line[1..]).into(),
        Some(':') => format!("emote {}", &line[1..]).into(),
        _ => line.into(),
    }
}

/// Writes out the character's aliases, each at most once: a loop of them ends.
fn expand(turn: &Turn<'_>, me: CharacterId, line: &str) -> String {
    let mut line = line.to_owned();
    let Some(aliases) = turn.person(me).map(|person| &person.kept.aliases).filter(|all| !all.is_empty())
    else {
        return line;
    };
    let mut used: Vec<String> = Vec::new();
    loop {
        let (word, rest) = split(&line);
        let word = word.to_lowercase();
        let Some(text) = aliases.get(&word).filter(|_| !used.contains(&word)) else { return line };
        let longer = if rest.is_empty() { text.clone() } else { format!("{text} {rest}") };
        line = spell_out(&longer).into_owned();
        used.push(word);
        if is_too_long(turn, &line) {
            return line;
        }
    }
}

/// A player, or the question that was asked.
pub(crate) enum Found {
    Player(KnownPlayer),
    Asked,
}

/// The player called so, in the world or not: who is not known here is asked for.
pub(crate) fn player(turn: &mut Turn<'_>, call: &Call<'_>, name: &str) -> Result<Found, Text> {
    if let Some(present) = turn.find_present(name) {
        let Present { id, name, account, role, .. } = present.clone();
        return Ok(Found::Player(KnownPlayer { id, name, account, role }));
    }
    match call.answer {
        Some(Answer::Player(Some(known))) => Ok(Found::Player(known.clone())),
        Some(_) => Err(t1("refuse.no_player", "name", shown(name))),
        None => call.ask(turn, Query::Player(shown(name))).map(|_| Found::Asked),
    }
}

/// Refuses what only works with a player in the world: there is none of the name, or they are not here.
pub(crate) fn not_online(turn: &mut Turn<'_>, call: &Call<'_>, name: &str) -> Ran {
    match player(turn, call, name)? {
        Found::Player(known) => Err(t1("refuse.not_here", "name", known.name)),
        Found::Asked => Ok(Done::Later),
    }
}

/// Minutes as they are typed: 1 to `max`.
pub(crate) fn minutes_of(word: &str, max: i64) -> Option<Result<Millis, Text>> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| match word.parse::<i64>() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(t1("mute.minutes", "n", max.to_string())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_means_one_thing() {
        let mut seen = BTreeSet::new();
        for spec in ALL {
            assert!(spec.usage.starts_with(spec.names[0]), "{}: usage begins with its word", spec.usage);
            assert!(spec.summary.ends_with('.'), "{}: a summary is a sentence", spec.names[0]);
            for name in spec.names {
                assert!(seen.insert(*name), "'{name}' is there twice");
                assert!(Direction::from_name(name).is_none(), "'{name}' is a direction");
            }
        }
    }

    #[test]
    fn every_topic_that_is_pointed_to_is_there() {
        for spec in ALL {
            for topic in spec.see {
                assert!(find(topic).is_some(), "{} points to '{topic}'", spec.names[0]);
            }
        }
    }
}
