//! Where values come from, from the least to the most: defaults, the profile, a file, the environment, flags, `--set`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::Mistake;
use super::keys::{KEYS, Key, find};
use super::value::Value;
use crate::roles::Roles;

/// The file that is read where none is named and it is there.
pub const USUAL_FILE: &str = "tidings.toml";
/// The variable that names the file.
const FILE_VARIABLE: &str = "TIDINGS_CONFIG";
/// Variables of the project's own tests that reach a server they start.
const NOT_OURS: [&str; 3] = ["TIDINGS_BIN", "TIDINGS_TEST_", "TIDINGS_TOOLS"];
/// Largest file: every key with a comment, a hundred times over.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Characters of an unknown name that are compared and shown.
const NAME_CHARS_MAX: usize = 60;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The profile says so.
    Profile,
    /// The roles say so.
    Roles,
    /// A line of a file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile => f.write_str("profile"),
            Self::Roles => f.write_str("roles"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value in force.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What holds.
    pub value: Value,
    /// Who says so.
    pub origin: Origin,
}

/// What the process was started with.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment; only names that start with `TIDINGS_` count.
    pub environment: BTreeMap<String, String>,
    /// Keys that have a flag of their own, with the flag's name.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// `--set KEY=VALUE`.
    pub set: Vec<String>,
}

/// Gathers the layers; every mistake is kept.
pub struct Layers {
    pub settings: BTreeMap<&'static str, Setting>,
    pub mistakes: Vec<Mistake>,
}

impl Layers {
    pub fn read(sources: &Sources) -> Self {
        let defaults =
            KEYS.iter().map(|key| (key.name, Setting { value: (key.default)(), origin: Origin::Default }));
        let mut layers = Self { settings: defaults.collect(), mistakes: Vec::new() };
        layers.file(sources);
        layers.environment(&sources.environment);
        for (name, flag, value) in &sources.flags {
            let key = find(name).expect("a flag stands for a key");
            layers.put(key, Origin::Flag((*flag).to_owned()), key.kind.parse(value));
        }
        for text in &sources.set {
            layers.set(text);
        }
        layers.profile();
        layers.roles();
        layers
    }

    fn put(&mut self, key: &Key, origin: Origin, value: Result<Value, String>) {
        match value {
            Ok(value) => _ = self.settings.insert(key.name, Setting { value, origin }),
            Err(why) => self.mistake(origin, format!("'{}' {why}", key.name)),
        }
    }

    fn mistake(&mut self, origin: Origin, message: String) {
        self.mistakes.push(Mistake { origin, message });
    }

    /// What a profile changes where nobody says otherwise.
    fn profile(&mut self) {
        let production = self.settings["profile"].value == Value::from("production");
        let cookies = self.settings.get_mut("http.secure_cookies").expect("a key");
        if production && cookies.origin == Origin::Default {
            *cookies = Setting { value: Value::Flag(true), origin: Origin::Profile };
        }
    }

    /// What a process without people listens on where nobody says otherwise: not where an edge beside it does.
    fn roles(&mut self) {
        let Value::List(roles) = &self.settings["roles"].value else { return };
        let people = Roles::of(roles).edge;
        let listen = self.settings.get_mut("listen").expect("a key");
        if !people && listen.origin == Origin::Default {
            *listen = Setting { value: Value::from("127.0.0.1:0"), origin: Origin::Roles };
        }
    }

    fn set(&mut self, text: &str) {
        let origin = Origin::Flag(format!("--set {}", short(text.split('=').next().unwrap_or_default())));
        let Some((name, value)) = text.split_once('=') else {
            return self.mistake(origin, "--set takes KEY=VALUE".to_owned());
        };
        match find(name.trim()) {
            Some(key) => self.put(key, origin, key.kind.parse(value)),
            None => self.mistake(origin, unknown(name.trim())),
        }
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        for (name, value) in environment.iter().filter(|(name, _)| is_ours(name)) {
            let origin = Origin::Environment(name.clone());
            match KEYS.iter().find(|key| key.variable() == *name) {
                Some(key) => self.put(key, origin, key.kind.parse(value)),
                None => {
                    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
                    let hint = meant(name, known.iter().map(String::as_str));
                    self.mistake(origin, format!("unknown variable '{}'{hint}", short(name)));
                }
            }
        }
    }

    fn file(&mut self, sources: &Sources) {
        let named =
            sources.file.clone().or_else(|| sources.environment.get(FILE_VARIABLE).map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None if Path::new(USUAL_FILE).is_file() => PathBuf::from(USUAL_FILE),
            None => return,
        };
        match read_file(&path) {
            Ok(text) => self.text(&path, &text),
            Err(why) => self.mistake(Origin::File(path, 1), format!("cannot be read: {why}")),
        }
    }

    fn text(&mut self, path: &Path, text: &str) {
        let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.mistake(Origin::File(path.to_owned(), line(at)), error.message().replace('\n', ": "));
        }
        self.table(path, &line, "", table.get_ref());
    }

    fn table(&mut self, path: &Path, line: &dyn Fn(usize) -> usize, prefix: &str, table: &DeTable<'_>) {
        for (found, value) in table {
            let name = format!("{prefix}{}", found.get_ref());
            let origin = Origin::File(path.to_owned(), line(found.span().start));
            let inner = format!("{name}.");
            match (find(&name), value.get_ref()) {
                (Some(key), value) => self.put(key, origin, key.kind.read(value)),
                (None, DeValue::Table(table)) if KEYS.iter().any(|key| key.name.starts_with(&inner)) => {
                    self.table(path, line, &inner, table);
                }
                (None, _) => self.mistake(origin, unknown(&name)),
            }
        }
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("TIDINGS_")
        && name != FILE_VARIABLE
        && !NOT_OURS.iter().any(|other| name.starts_with(other))
}

fn read_file(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn unknown(name: &str) -> String {
    format!("unknown key '{}'{}", short(name), meant(name, KEYS.iter().map(|key| key.name)))
}

/// The known name that was probably meant: near as a whole, or the same after the last dot.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let name = short(name);
    let far = (name.chars().count() / 3).max(2);
    let near = known.clone().map(|known| (strsim::damerau_levenshtein(&name, known), known));
    let near = near.filter(|(distance, _)| *distance <= far).min().map(|(_, known)| known);
    let tail = |known: &str| known.rsplit('.').next().is_some_and(|tail| tail == name);
    match near.or_else(|| known.clone().find(|known| tail(known))) {
        Some(known) => format!(": did you mean '{known}'?"),
        None => ": 'tidings config' lists the keys".to_owned(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect::<String>().escape_debug().to_string()
}
