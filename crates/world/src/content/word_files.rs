//! `emotes.toml` and `help/*.toml`: the words of a world.

use toml::de::DeTable;

use super::builder::Builder;
use super::fields::{Fields, entries, type_name};
use super::limits::*;
use super::mistake::{Place, Source, nearest, shown};
use super::model::{Emote, Help};
use super::text::{Shape, check_places, shape};

pub(super) fn read_emotes(builder: &mut Builder, source: &Source<'_>, table: &DeTable<'_>) {
    for (place, word, value) in entries(source, table) {
        let Some(emote) = value.as_table().and_then(|table| emote(source, &place, word, table)) else {
            if !value.is_table() {
                let got = type_name(value);
                source.report.error(&place, format!("emote '{}' takes a table, not {got}", shown(word)));
            }
            continue;
        };
        if builder.content.emotes.len() >= EMOTES_MAX {
            source.report.error(&place, format!("more than {EMOTES_MAX} emotes"));
            return;
        }
        if let Some(first) = builder.emotes_at.insert(emote.word.clone(), place.clone()) {
            let at = format!("{}:{}", first.file, first.line);
            source.report.error(&place, format!("the emote '{}' is in {at} already", emote.word));
        }
        builder.content.emotes.insert(emote.word.clone(), emote);
    }
}

fn emote(source: &Source<'_>, place: &Place, word: &str, table: &DeTable<'_>) -> Option<Emote> {
    let known = ["own", "others", "own_to", "others_to", "target_to"];
    let fields = Fields::new(source, table, place.clone(), format!("emote '{}'", shown(word)), &known);
    if let Err(why) = shape(word, Shape::Word(WORD_CHARS_MAX)) {
        fields.error(place, format!("its name {why}"));
        return None;
    }
    let direction = super::model::Direction::from_name(word).is_some();
    if direction || crate::commands::is_command(word) {
        fields.error(place, "its name is a command already");
    }
    let form = |key: &str, needed: &[&str]| {
        let (at, text) = fields.text(key, Shape::Line(EMOTE_CHARS_MAX))?;
        if let Err(why) = check_places(&text, &["name", "target"], needed) {
            fields.error(&at, format!("'{key}' {why}"));
        }
        Some(text)
    };
    for key in ["own", "others"] {
        fields.need_text(key, Shape::Line(EMOTE_CHARS_MAX));
    }
    let (own, others) = (form("own", &[]), form("others", &["name"]));
    let to =
        [form("own_to", &["target"]), form("others_to", &["name", "target"]), form("target_to", &["name"])];
    let given = to.iter().flatten().count();
    if given != 0 && given != to.len() {
        fields.error(place, "'own_to', 'others_to' and 'target_to' belong together: give all or none");
    }
    let [own_to, others_to, target_to] = to.map(Option::unwrap_or_default);
    let (own, others) = (own.unwrap_or_default(), others.unwrap_or_default());
    Some(Emote { word: word.to_owned(), own, others, own_to, others_to, target_to })
}

pub(super) fn read_help(builder: &mut Builder, source: &Source<'_>, table: &DeTable<'_>) {
    for (place, topic, value) in entries(source, table) {
        let Some(table) = value.as_table() else {
            let got = type_name(value);
            source.report.error(&place, format!("help topic '{}' takes a table, not {got}", shown(topic)));
            continue;
        };
        if builder.content.help.len() >= HELP_MAX {
            source.report.error(&place, format!("more than {HELP_MAX} help topics"));
            return;
        }
        let Some(help) = help(builder, source, &place, topic, table) else { continue };
        if let Some(first) = builder.help_at.insert(help.topic.clone(), place.clone()) {
            let at = format!("{}:{}", first.file, first.line);
            source.report.error(&place, format!("the help topic '{}' is in {at} already", help.topic));
        }
        builder.content.help.insert(help.topic.clone(), help);
    }
}

fn help(
    builder: &mut Builder,
    source: &Source<'_>,
    place: &Place,
    topic: &str,
    table: &DeTable<'_>,
) -> Option<Help> {
    let what = format!("help topic '{}'", shown(topic));
    let fields = Fields::new(source, table, place.clone(), what, &["title", "text", "see_also", "role"]);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ' ' | '-' | '_');
    if topic.is_empty() || topic.len() > TOPIC_CHARS_MAX || !topic.chars().all(fits) {
        let most = TOPIC_CHARS_MAX;
        fields.error(place, format!("its name takes 1 to {most} of a-z, 0-9, space, '-' and '_'"));
        return None;
    }
    let others = fields.texts("see_also", Shape::Line(TOPIC_CHARS_MAX), SEE_ALSO_MAX);
    let see_also = others.iter().map(|(_, other)| other.clone()).collect();
    builder.help_refs.extend(others.into_iter().map(|(at, other)| (at, topic.to_owned(), other)));
    let role = fields.text("role", Shape::Line(WORD_CHARS_MAX));
    if let Some((at, role)) = role.as_ref().filter(|(_, role)| !ROLES.contains(&role.as_str())) {
        let hint =
            nearest(role, ROLES).map_or_else(|| ROLES.join(", "), |meant| format!("did you mean '{meant}'?"));
        fields.error(at, format!("'role' is '{}': {hint}", shown(role)));
    }
    Some(Help {
        topic: topic.to_owned(),
        title: fields.need_text("title", Shape::Line(NAME_CHARS_MAX)),
        text: fields.need_text("text", Shape::Plain(HELP_CHARS_MAX)),
        see_also,
        role: role.map_or_else(|| ROLES[0].to_owned(), |(_, role)| role),
    })
}
