//! `help [topic]`: commands and the world's own topics, with a search; what one may not do is not shown.

use tidings_protocol::Text;

use super::{ALL, Call, Done, Ran, Spec, find};
use crate::content::model::Help;
use crate::input::Role;
use crate::names::{nearest, shown};
use crate::text::{or_nothing, plain, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["help", "?"],
    usage: "help [command or topic]",
    summary: "Lists the commands, or tells more of one.",
    see: &[],
    role: Role::Player,
    run,
};

/// Topics that a search shows.
const FOUND_MAX: usize = 12;

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let role = turn.person(call.me).map(|me| me.role).ok_or_else(|| t("refuse.session"))?;
    let reader = Reader { turn, call, role };
    let word = call.rest.to_lowercase();
    if word.is_empty() {
        return Ok(Done::Read(reader.index()));
    }
    let topic = turn.zone.content.help.get(&word).filter(|help| may_read(help, role));
    if let Some(spec) = find(&word).filter(|spec| role >= spec.role) {
        return Ok(Done::Read(reader.command(spec, topic)));
    }
    match topic {
        Some(help) => Ok(Done::Read(reader.topic(help))),
        None => reader.search(&word),
    }
}

fn may_read(help: &Help, role: Role) -> bool {
    role >= match help.role.as_str() {
        "builder" => Role::Builder,
        "moderator" => Role::Moderator,
        "admin" => Role::Admin,
        _ => Role::Player,
    }
}

/// Who reads, and what they may.
struct Reader<'a, 't> {
    turn: &'a Turn<'t>,
    call: &'a Call<'a>,
    role: Role,
}

impl<'a> Reader<'a, '_> {
    fn commands(&self) -> impl Iterator<Item = &'static Spec> {
        let role = self.role;
        ALL.iter().copied().filter(move |spec| role >= spec.role)
    }

    fn topics(&self) -> impl Iterator<Item = (&'a str, &'a Help)> {
        let role = self.role;
        let all = self.turn.zone.content.help.iter().filter(move |(_, help)| may_read(help, role));
        all.map(|(topic, help)| (topic.as_str(), help))
    }

    fn index(&self) -> Text {
        let commands: Vec<&str> = self.commands().map(|spec| spec.names[0]).collect();
        let topics: Vec<&str> = self.topics().map(|(topic, _)| topic).filter(|topic| find(topic).is_none()).collect();
        let text = t1("help.index", "commands", self.row(&commands));
        if topics.is_empty() {
            return Text { key: "help.index_bare".into(), ..text };
        }
        text.with("topics", self.row(&topics))
    }

    fn command(&self, spec: &Spec, topic: Option<&Help>) -> Text {
        let others = &spec.names[1..];
        let more = topic.iter().flat_map(|help| help.see_also.iter().map(String::as_str));
        let see = spec.see.iter().copied().chain(more);
        let summary = topic.map_or_else(|| spec.summary.to_owned(), |help| help.text.clone());
        t1("help.command", "summary", summary)
            .with("usage", spec.usage)
            .with("names", or_nothing((!others.is_empty()).then(|| t1("help.names", "names", self.row(others)))))
            .with("see", self.see_also(see))
    }

    fn topic(&self, help: &Help) -> Text {
        let see = help.see_also.iter().map(String::as_str);
        t1("help.topic", "title", help.title.as_str())
            .with("text", help.text.as_str())
            .with("see", self.see_also(see))
    }

    /// Of the words that are pointed to, those that there is help on for this reader.
    fn see_also<'b>(&self, words: impl Iterator<Item = &'b str>) -> Text {
        let topics = &self.turn.zone.content.help;
        let there = words.filter(|word| {
            let command = find(word);
            let topic = topics.get(*word);
            command.is_some_and(|spec| self.role >= spec.role)
                || (command.is_none() && topic.is_some_and(|help| may_read(help, self.role)))
        });
        let shown = once_each(there);
        or_nothing((!shown.is_empty()).then(|| t1("help.see", "topics", self.row(&shown))))
    }

    fn search(&self, word: &str) -> Ran {
        let in_commands = self
            .commands()
            .filter(|spec| spec.summary.to_lowercase().contains(word) || spec.names.iter().any(|n| n.contains(word)))
            .map(|spec| spec.names[0]);
        let in_topics = self
            .topics()
            // A topic about a command that one may not use is no topic for one.
            .filter(|(topic, _)| find(topic).is_none_or(|spec| self.role >= spec.role))
            .filter(|(topic, help)| {
                topic.contains(word)
                    || help.title.to_lowercase().contains(word)
                    || help.text.to_lowercase().contains(word)
            })
            .map(|(topic, _)| topic);
        let mut found = once_each(in_commands.chain(in_topics));
        found.truncate(FOUND_MAX);
        if found.is_empty() {
            let names = self.commands().flat_map(|spec| spec.names.iter().copied());
            found.extend(nearest(word, names.chain(self.topics().map(|(topic, _)| topic))));
        }
        if found.is_empty() {
            return Err(t1("help.none", "word", shown(word)));
        }
        Ok(Done::Read(t1("help.found", "word", shown(word)).with("topics", self.row(&found))))
    }

    fn row(&self, words: &[&str]) -> Text {
        self.turn.row(self.call.me, words.iter().copied().map(plain).collect())
    }
}

/// Words in their order, without those that came before.
fn once_each<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for word in words {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}
