//! A text as the world speaks it: a message key and its arguments, rendered in a locale by the catalogue.

use serde::{Deserialize, Serialize};

mod args;
pub mod catalogue;
mod words;

pub use args::{Args, Name};
pub use catalogue::{Catalogue, CatalogueError, DEFAULT_LOCALE};
pub use words::{LinesRef, TextRef, Word, Words};

/// A message key with its arguments. What a person typed is always an argument, never a key or a template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Text {
    /// For example `chat.say.self`.
    pub key: Name,
    /// By the names in the message's template.
    #[serde(default, skip_serializing_if = "Args::is_empty")]
    pub args: Args,
}

/// What fills a place in a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Arg {
    /// As it is: names, and what people typed.
    Plain(String),
    /// Another text, rendered in the same locale: a direction, a condition of the weather.
    Text(Text),
    /// Texts, each on a line of its own.
    Lines(Vec<Text>),
}

impl From<String> for Arg {
    fn from(plain: String) -> Self {
        Self::Plain(plain)
    }
}

impl From<&str> for Arg {
    fn from(plain: &str) -> Self {
        Self::Plain(plain.to_owned())
    }
}

impl From<Text> for Arg {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Text>> for Arg {
    fn from(lines: Vec<Text>) -> Self {
        Self::Lines(lines)
    }
}

impl Text {
    /// A text without arguments.
    pub fn new(key: impl Into<Name>) -> Self {
        Self { key: key.into(), args: Args::default() }
    }

    /// The text with one argument more.
    #[must_use]
    pub fn with(mut self, name: impl Into<Name>, value: impl Into<Arg>) -> Self {
        self.args.insert(name, value.into());
        self
    }
}
