//! The registry: every subject of a system, declared once.

use crate::error::{Error, ErrorKind};
use crate::subject::{Pattern, Subject};

/// How a subject's messages are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// At most once, no store: publish and subscribe.
    Ephemeral,
    /// Request and reply, served by a queue group.
    Request,
    /// A log: stored before the call returns, replayable.
    Durable,
    /// Consumed by one of a group, with explicit acknowledgement.
    Work,
}

/// What happens to a subscriber that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowReader {
    /// The newest messages are dropped and counted.
    DropNewest,
    /// The oldest messages are dropped and counted.
    DropOldest,
    /// The publisher is told `Overloaded`.
    Refuse,
}

/// One template: a row of the registry.
#[derive(Debug, Clone)]
pub struct TemplateDef {
    /// Its name in the registry, for example `room.log`.
    pub name: &'static str,
    /// The template: literal tokens and `{parameter:kind}`; kinds: `slug`, `place` (`<zone>_<name>`), `id`
    /// (32 hex digits), `token`.
    pub template: &'static str,
    /// How its messages are delivered.
    pub class: Class,
    /// The message's type, for example `tidings.world.v1.Event`.
    pub message: &'static str,
    /// Largest payload, in bytes.
    pub max_payload: usize,
    /// What happens to a subscriber that does not keep up.
    pub slow: SlowReader,
    /// Whether a payload has the message's form; the error says why not.
    pub check: Option<fn(&[u8]) -> Result<(), String>>,
    /// Why a pattern over this template may be wide (start with a wildcard, or hold more than two).
    pub wide: Option<&'static str>,
}

/// Every subject of a system.
#[derive(Debug)]
pub struct Registry {
    prefix: Option<String>,
    templates: Vec<TemplateDef>,
}

impl Registry {
    /// Checks the templates: alphabet, length, duplicates, overlaps. `prefix` goes before every subject, so
    /// that two systems share one server.
    pub fn new(prefix: Option<&str>, templates: Vec<TemplateDef>) -> Result<Self, Error> {
        Ok(Self { prefix: prefix.map(str::to_owned), templates })
    }

    /// The subject of the template called `name` with these parameters, in the order of the template.
    pub fn subject(&self, name: &str, parameters: &[&str]) -> Result<Subject, Error> {
        let _ = (name, parameters, &self.prefix, &self.templates);
        Err(Error::new(ErrorKind::Subject, "not built yet"))
    }

    /// The pattern of the template called `name`: `None` is a wildcard in that parameter's place.
    pub fn pattern(&self, name: &str, parameters: &[Option<&str>]) -> Result<Pattern, Error> {
        let _ = (name, parameters);
        Err(Error::new(ErrorKind::Subject, "not built yet"))
    }

    /// The subject that `text` is, with its template's name and parameters, if the registry has it.
    pub fn parse(&self, text: &str) -> Result<(Subject, Vec<String>), Error> {
        Err(Error::new(ErrorKind::Subject, format!("no template matches '{}'", text.escape_debug())))
    }

    /// Every row.
    pub fn templates(&self) -> &[TemplateDef] {
        &self.templates
    }
}
