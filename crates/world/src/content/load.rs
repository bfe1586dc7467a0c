//! From files to a checked content, or to every mistake in them.

use std::collections::BTreeMap;

use tidings_protocol::ZoneId;
use toml::de::DeTable;

use super::builder::Builder;
use super::limits::*;
use super::mistake::{Mistake, Place, Report, Severity, Source, nearest, shown};
use super::model::Content;
use super::{checks, layout, word_files, world_file, zone_file};

/// What a world's files came to.
#[derive(Debug)]
pub struct Checked {
    /// The world, where no mistake is an error.
    pub content: Option<Content>,
    /// Every mistake, in the order of files and lines.
    pub mistakes: Vec<Mistake>,
}

impl Content {
    /// The world in these files, by path inside its folder; warnings are let through.
    ///
    /// # Errors
    /// Every mistake in the files, warnings included, where at least one is an error.
    pub fn load(files: &BTreeMap<String, String>) -> Result<Self, Vec<Mistake>> {
        let checked = Self::check(files);
        checked.content.ok_or(checked.mistakes)
    }

    /// The same with the warnings of a world that loads.
    pub fn check(files: &BTreeMap<String, String>) -> Checked {
        let report = Report::default();
        let mut builder = Builder::default();
        if sizes_fit(files, &report) {
            for (file, text) in files {
                read_file(&mut builder, &report, file, text);
            }
            whole_world(&builder, files, &report);
            checks::check(&builder, &report);
            layout::lay_out(&mut builder.content.rooms, &builder.drawn);
        }
        let mistakes = report.into_sorted();
        let fine = mistakes.iter().all(|mistake| mistake.severity < Severity::Error);
        Checked { content: fine.then_some(builder.content), mistakes }
    }
}

/// Sizes are judged before anything is parsed.
fn sizes_fit(files: &BTreeMap<String, String>, report: &Report) -> bool {
    let world = Place { file: "world.toml".into(), line: 1 };
    let total: usize = files.values().map(String::len).sum();
    if files.len() > FILES_MAX {
        report.error(&world, format!("the world has {} files: at most {FILES_MAX}", files.len()));
        return false;
    }
    if total > WORLD_BYTES_MAX {
        report.error(&world, format!("the world's files are {total} bytes: at most {WORLD_BYTES_MAX}"));
        return false;
    }
    true
}

/// What a path holds.
enum Kind {
    World,
    Zone(ZoneId),
    Emotes,
    Help,
}

fn kind(source: &Source<'_>) -> Option<Kind> {
    let stem = source.file.strip_suffix(".toml")?;
    match stem.split_once('/') {
        None if stem == "world" => return Some(Kind::World),
        None if stem == "emotes" => return Some(Kind::Emotes),
        None if stem == "help" => return Some(Kind::Help),
        Some(("emotes", _)) => return Some(Kind::Emotes),
        Some(("help", _)) => return Some(Kind::Help),
        Some(("zones", zone)) => match zone.parse() {
            Ok(zone) => return Some(Kind::Zone(zone)),
            Err(_) => {
                let message = format!("'{}' is no zone's id: 1 to 40 of a-z, 0-9 and '-'", shown(zone));
                source.report.error(&source.top(), message);
            }
        },
        _ => {
            let places = ["world", "emotes", "help", "zones/", "help/", "emotes/"];
            let hint = nearest(stem, places).map(|meant| format!(": did you mean '{meant}'?"));
            let hint = hint
                .unwrap_or_else(|| ": a world is world.toml, zones/*.toml, emotes.toml, help/*.toml".into());
            source.report.error(&source.top(), format!("no part of a world has this name{hint}"));
        }
    }
    None
}

fn read_file(builder: &mut Builder, report: &Report, file: &str, text: &str) {
    // Notes, pictures and licences may lie beside a world.
    if !file.ends_with(".toml") {
        return;
    }
    let source = Source::new(file, text, report);
    let Some(kind) = kind(&source) else { return };
    if text.len() > FILE_BYTES_MAX {
        report.error(&source.top(), format!("the file is {} bytes: at most {FILE_BYTES_MAX}", text.len()));
        mark_broken(builder, &kind);
        return;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = source.place(error.span().unwrap_or(0..0));
        report.error(&place, error.message().replace('\n', ": "));
    }
    if !errors.is_empty() {
        source.broken.set(true);
        mark_broken(builder, &kind);
    }
    read_kind(builder, &source, &kind, table.get_ref());
}

/// What a file with a slip in its syntax lacks is no second mistake.
fn mark_broken(builder: &mut Builder, kind: &Kind) {
    match kind {
        Kind::Zone(zone) => _ = builder.broken.insert(zone.clone()),
        Kind::Help => builder.help_broken = true,
        Kind::World | Kind::Emotes => {}
    }
}

fn read_kind(builder: &mut Builder, source: &Source<'_>, kind: &Kind, table: &DeTable<'_>) {
    match kind {
        Kind::World => world_file::read(builder, source, table),
        Kind::Emotes => word_files::read_emotes(builder, source, table),
        Kind::Help => word_files::read_help(builder, source, table),
        Kind::Zone(zone) if builder.content.zones.len() >= ZONES_MAX => {
            source.report.error(&source.top(), format!("zone '{zone}' is one too many: at most {ZONES_MAX}"));
        }
        Kind::Zone(zone) => zone_file::read(builder, source, zone, table),
    }
}

fn whole_world(builder: &Builder, files: &BTreeMap<String, String>, report: &Report) {
    let world = Place { file: "world.toml".into(), line: 1 };
    if !files.contains_key("world.toml") {
        report.error(&world, "the file is missing: it holds the world's id, name, welcome and start");
    }
    if builder.content.zones.is_empty() && builder.broken.is_empty() {
        report.error(&world, "the world has no zones: write one in zones/<zone>.toml");
    }
}
