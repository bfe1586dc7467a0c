//! The configuration: layers of values become types that cannot hold nonsense, and all mistakes are told at once,
//! before anything is opened. Start reading at [`Config::load`]; the keys stand in `keys.rs`.

pub mod keys;
mod layers;
mod nats;
mod nats_security;
mod parts;
mod production;
pub mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;

use self::keys::KEYS;
use self::layers::Layers;
pub use self::layers::{Origin, Setting, Sources};
use self::value::Value;

/// What stands in a report for a value that nobody is shown.
pub const HIDDEN: &str = "(hidden)";

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Who said it.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// How safe the defaults have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// For trying things on one's own machine.
    Development,
    /// For others: what is not safe is refused.
    Production,
}

/// What is in force. The parts that crates take are made of it in `parts.rs`.
#[derive(Debug, Clone)]
pub struct Config {
    settings: BTreeMap<&'static str, Setting>,
}

impl Config {
    /// The configuration of these sources.
    ///
    /// # Errors
    /// Every mistake in them, and everything the profile refuses.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Mistake>> {
        let Layers { settings, mut mistakes } = Layers::read(sources);
        let config = Self { settings };
        nats::check(&config, &mut mistakes);
        nats_security::check(&config, &mut mistakes);
        config.times_fit(&mut mistakes);
        if config.profile() == Profile::Production {
            production::check(&config, &mut mistakes);
        }
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// The values alone, for commands that serve nothing.
    ///
    /// # Errors
    /// Every mistake in the sources.
    pub fn read(sources: &Sources) -> Result<Self, Vec<Mistake>> {
        let Layers { settings, mut mistakes } = Layers::read(sources);
        let config = Self { settings };
        nats::check(&config, &mut mistakes);
        nats_security::check(&config, &mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// What may not be meant, a sentence each: said at the start.
    pub fn warnings(&self) -> Vec<String> {
        match self.profile() {
            Profile::Production => production::warnings(self),
            Profile::Development => self.open_secret_warnings().collect(),
        }
    }

    fn times_fit(&self, mistakes: &mut Vec<Mistake>) {
        let (beat, stale) = (self.number("session.heartbeat_seconds"), self.number("session.stale_seconds"));
        if stale <= beat {
            let message =
                format!("'session.stale_seconds' ({stale}) has to be more than the heartbeat ({beat})");
            mistakes.push(Mistake { origin: self.origin("session.stale_seconds").clone(), message });
        }
    }

    /// Where a value came from.
    pub fn origin(&self, key: &str) -> &Origin {
        &self.settings[key].origin
    }

    fn text(&self, key: &str) -> &str {
        match &self.settings[key].value {
            Value::Text(text) => text,
            _ => unreachable!("'{key}' is a text by its kind"),
        }
    }

    fn number(&self, key: &str) -> u64 {
        match self.settings[key].value {
            Value::Number(number) => number,
            _ => unreachable!("'{key}' is a number by its kind"),
        }
    }

    fn flag(&self, key: &str) -> bool {
        match self.settings[key].value {
            Value::Flag(flag) => flag,
            _ => unreachable!("'{key}' is a flag by its kind"),
        }
    }

    fn list(&self, key: &str) -> &[String] {
        match &self.settings[key].value {
            Value::List(list) => list,
            _ => unreachable!("'{key}' is a list by its kind"),
        }
    }

    /// Where HTTP is served.
    pub fn listen(&self) -> SocketAddr {
        self.text("listen").parse().expect("an address by its kind")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        PathBuf::from(self.text("data"))
    }

    /// The world's folder; `None`: the world in the binary.
    pub fn world(&self) -> Option<PathBuf> {
        Some(self.text("world")).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        if self.text("profile") == "production" { Profile::Production } else { Profile::Development }
    }

    /// Whether log lines are JSON.
    pub fn log_json(&self) -> bool {
        self.text("log.format") == "json"
    }

    /// What is logged, as a filter of `tracing_subscriber`.
    pub fn log_level(&self) -> &str {
        self.text("log.level")
    }

    /// Every key with its value and where it came from, secrets hidden.
    pub fn report(&self) -> serde_json::Value {
        let entry = |key: &keys::Key| {
            let Setting { value, origin } = &self.settings[key.name];
            let hidden = key.secret && *value != (key.default)();
            let value = if hidden { json!(HIDDEN) } else { json!(value) };
            (key.name.to_owned(), json!({ "value": value, "from": origin.to_string(), "help": key.help }))
        };
        KEYS.iter().map(entry).collect::<serde_json::Map<_, _>>().into()
    }
}

#[cfg(test)]
mod tests;
