//! The registry as a list, for whoever looks after a system: `tidings subjects`, and staff over HTTP.

use serde::Serialize;
use tidings_bus::{Class, Registry, SlowReader, TemplateDef};

/// A template of the registry, in words.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its name in the registry.
    pub name: &'static str,
    /// The subject, its parameters in braces, with the system's prefix.
    pub subject: String,
    /// How its messages are delivered: `ephemeral`, `request`, `durable` or `work`.
    pub class: &'static str,
    /// The type of its messages.
    pub message: &'static str,
    /// The largest message, in bytes.
    pub max_payload: usize,
    /// What becomes of a reader that does not keep up.
    pub slow_reader: &'static str,
    /// Why a pattern of it may be wide; none: it may not.
    pub wide: Option<&'static str>,
}

/// Every template, in the order of the registry.
pub fn listed(registry: &Registry) -> Vec<Listed> {
    let one = |row: &TemplateDef| Listed {
        name: row.name,
        subject: format!("{}{}", registry.prefix(), row.template),
        class: class(row.class),
        message: row.message,
        max_payload: row.max_payload,
        slow_reader: slow_reader(row),
        wide: row.wide,
    };
    registry.templates().iter().map(one).collect()
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Ephemeral => "ephemeral",
        Class::Request => "request",
        Class::Durable => "durable",
        Class::Work => "work",
    }
}

fn slow_reader(row: &TemplateDef) -> &'static str {
    match (row.class, row.slow) {
        // A follower holds a place in the log, and a worker asks for the next: neither can be too slow.
        (Class::Durable | Class::Work, _) => "keeps its place",
        (_, SlowReader::DropNewest) => "loses the newest",
        (_, SlowReader::DropOldest) => "loses the oldest",
        (_, SlowReader::Refuse) => "the sender is refused",
    }
}
