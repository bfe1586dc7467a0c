//! `tidings world check`: every mistake in a world's files, and reading a world's folder.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;
use tidings_world::Content;
use tidings_world::content::limits::{FILE_BYTES_MAX, FILES_MAX, WORLD_BYTES_MAX};
use tidings_world::content::{Checked, Mistake, Severity};

use crate::args::WorldVerb;
use crate::{Outcome, output};

/// Folders within folders: a world has two levels.
const DEPTH_MAX: usize = 4;
/// Entries of a folder that are looked at: what a world may have, and as many notes beside it.
const ENTRIES_MAX: usize = 4 * FILES_MAX;

/// Runs the verb.
pub fn run(verb: &WorldVerb) -> anyhow::Result<Outcome> {
    let WorldVerb::Check { dir, json } = verb;
    let checked = check(dir)?;
    if *json {
        print_json(&checked);
    } else {
        print(dir, &checked);
    }
    Ok(if checked.content.is_some() { Outcome::Done } else { Outcome::Failed })
}

fn print(dir: &Path, checked: &Checked) {
    for mistake in &checked.mistakes {
        output::say(&mistake.to_string());
    }
    let count = checked.mistakes.len();
    let dir = dir.display();
    match &checked.content {
        Some(content) => {
            let warnings = if count == 0 { "no mistakes".to_owned() } else { format!("{count} to look at") };
            let (zones, rooms) = (content.zones.len(), content.rooms.len());
            let (npcs, emotes, help) = (content.npcs.len(), content.emotes.len(), content.help.len());
            output::say(&format!(
                "{dir}: {warnings}. {zones} zones, {rooms} rooms, {npcs} characters, {emotes} emotes, {help} help topics."
            ));
        }
        None => {
            output::complain(&format!("{dir}: {count} {}.", if count == 1 { "mistake" } else { "mistakes" }))
        }
    }
}

fn print_json(checked: &Checked) {
    let count = |count: fn(&Content) -> usize| checked.content.as_ref().map(count);
    output::json(&json!({
        "ok": checked.content.is_some(),
        "mistakes": checked.mistakes,
        "zones": count(|content| content.zones.len()),
        "rooms": count(|content| content.rooms.len()),
        "characters": count(|content| content.npcs.len()),
    }));
}

/// The world in a folder.
///
/// # Errors
/// The folder cannot be read; mistakes in its files are in what is returned.
pub fn check(dir: &Path) -> anyhow::Result<Checked> {
    let mut reading = Reading::default();
    reading.folder(dir, "", 0).with_context(|| format!("the world in {}", dir.display()))?;
    let mut checked = Content::check(&reading.files);
    if !reading.unreadable.is_empty() {
        // What stands in a file that cannot be read is not missing twice.
        checked.content = None;
        checked.mistakes = reading.unreadable;
    }
    Ok(checked)
}

/// The world of a configuration: of a folder, or the one in the binary. Mistakes are told, warnings logged.
pub fn load(dir: Option<&Path>) -> anyhow::Result<Content> {
    let checked = match dir {
        Some(dir) => check(dir)?,
        None => Content::check(&tidings_world_service::demo_world::files()),
    };
    let Checked { content, mistakes } = checked;
    match content {
        Some(content) => {
            for mistake in mistakes {
                tracing::warn!("{mistake}");
            }
            Ok(content)
        }
        None => {
            for mistake in &mistakes {
                output::complain(&mistake.to_string());
            }
            let folder = dir.map_or_else(|| "the binary".into(), |dir| dir.display().to_string());
            bail!("the world in {folder} has mistakes; 'tidings world check' names them too");
        }
    }
}

#[derive(Default)]
struct Reading {
    files: BTreeMap<String, String>,
    unreadable: Vec<Mistake>,
    bytes: usize,
    entries: usize,
}

impl Reading {
    fn folder(&mut self, dir: &Path, inside: &str, depth: usize) -> anyhow::Result<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                bail!("it has more than {ENTRIES_MAX} files in it");
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
            // Hidden files and folders are an editor's or git's.
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.folder(&entry.path(), &path, depth + 1)?;
            } else if name.ends_with(".toml") && entry.path().is_file() {
                self.file(&entry.path(), path)?;
            }
        }
        Ok(())
    }

    /// Reads a little more than is allowed, so that the checker says that it is too much.
    fn file(&mut self, path: &Path, name: String) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).with_context(|| name.clone())?;
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(|| name.clone())?;
        self.bytes += bytes.len();
        if self.bytes > WORLD_BYTES_MAX || self.files.len() > FILES_MAX {
            bail!("its files are more than {FILES_MAX}, or larger together than {WORLD_BYTES_MAX} bytes");
        }
        match String::from_utf8(bytes) {
            Ok(text) => _ = self.files.insert(name, text),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
                let message = "the file is not UTF-8 text here".to_owned();
                self.unreadable.push(Mistake { file: name, line, message, severity: Severity::Error });
            }
        }
        Ok(())
    }
}
