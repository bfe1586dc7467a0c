//! `help [topic]`: commands and the world's own topics, with a search; what one may not do is not shown.

use tidings_protocol::Text;

use super::{ALL, Call, Done, Ran, Spec, find};
use crate::content::model::Help;
use crate::input::Role;
use crate::names::{nearest, shown};
use crate::text::{or_nothing, t, t1};
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
    let word = call.rest.to_lowercase();
    if word.is_empty() {
        return Ok(Done::Read(index(turn, role)));
    }
    let topic = turn.zone.content.help.get(&word).filter(|help| may_read(help, role));
    if let Some(spec) = find(&word).filter(|spec| role >= spec.role) {
        return Ok(Done::Read(command(spec, topic)));
    }
    match topic {
        Some(help) => Ok(Done::Read(of_topic(help))),
        None => search(turn, role, &word),
    }
}

fn index(turn: &Turn<'_>, role: Role) -> Text {
    let commands: Vec<&str> = ALL.iter().filter(|spec| role >= spec.role).map(|spec| spec.names[0]).collect();
    let topics: Vec<&str> = topics(turn, role).map(|(topic, _)| topic).filter(|topic| find(topic).is_none()).collect();
    let text = t1("help.index", "commands", commands.join(", "));
    if topics.is_empty() {
        return Text { key: "help.index_bare".to_owned(), ..text };
    }
    text.with("topics", topics.join(", "))
}

fn topics<'a>(turn: &'a Turn<'_>, role: Role) -> impl Iterator<Item = (&'a str, &'a Help)> {
    let all = turn.zone.content.help.iter().filter(move |(_, help)| may_read(help, role));
    all.map(|(topic, help)| (topic.as_str(), help))
}

fn may_read(help: &Help, role: Role) -> bool {
    role >= match help.role.as_str() {
        "builder" => Role::Builder,
        "moderator" => Role::Moderator,
        "admin" => Role::Admin,
        _ => Role::Player,
    }
}

fn command(spec: &Spec, topic: Option<&Help>) -> Text {
    let others = spec.names[1..].join(", ");
    let mut see: Vec<&str> = spec.see.to_vec();
    let more = topic.iter().flat_map(|help| help.see_also.iter().map(String::as_str));
    see.extend(more.filter(|topic| !spec.see.contains(topic)));
    let summary = topic.map_or_else(|| spec.summary.to_owned(), |help| help.text.clone());
    t1("help.command", "summary", summary)
        .with("usage", spec.usage)
        .with("names", or_nothing((!others.is_empty()).then(|| t1("help.names", "names", others))))
        .with("see", see_also(&see))
}

fn of_topic(help: &Help) -> Text {
    let see: Vec<&str> = help.see_also.iter().map(String::as_str).collect();
    t1("help.topic", "title", help.title.as_str()).with("text", help.text.as_str()).with("see", see_also(&see))
}

fn see_also(topics: &[&str]) -> Text {
    or_nothing((!topics.is_empty()).then(|| t1("help.see", "topics", topics.join(", "))))
}

fn search(turn: &Turn<'_>, role: Role, word: &str) -> Ran {
    let commands = ALL.iter().filter(|spec| role >= spec.role);
    let in_commands = commands
        .filter(|spec| spec.summary.to_lowercase().contains(word) || spec.names.iter().any(|n| n.contains(word)))
        .map(|spec| spec.names[0]);
    let in_topics = topics(turn, role)
        .filter(|(topic, help)| {
            topic.contains(word)
                || help.title.to_lowercase().contains(word)
                || help.text.to_lowercase().contains(word)
        })
        .map(|(topic, _)| topic);
    let mut found: Vec<&str> = in_commands.chain(in_topics).take(FOUND_MAX).collect();
    found.dedup();
    if found.is_empty() {
        let names = ALL.iter().filter(|spec| role >= spec.role).flat_map(|spec| spec.names.iter().copied());
        found.extend(nearest(word, names.chain(topics(turn, role).map(|(topic, _)| topic))));
    }
    if found.is_empty() {
        return Err(t1("help.none", "word", shown(word)));
    }
    Ok(Done::Read(t1("help.found", "word", shown(word)).with("topics", found.join(", "))))
}
