//! A text as the world speaks it: a message key and its arguments, rendered in a locale by the catalogue.

use serde::{Deserialize, Serialize};

use crate::json;

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

impl Arg {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(plain) => json::string(out, plain),
            Self::Text(text) => text.write_json(out),
            Self::Lines(lines) => json::value(out, lines),
        }
    }
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

    /// Writes it as JSON, as serde does.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"key":"#);
        json::string(out, &self.key);
        if !self.args.is_empty() {
            let mut before: &[u8] = br#","args":{"#;
            for (name, arg) in self.args.iter() {
                out.extend_from_slice(before);
                json::string(out, name);
                out.push(b':');
                arg.write_json(out);
                before = b",";
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// The text with one argument more.
    #[must_use]
    pub fn with(mut self, name: impl Into<Name>, value: impl Into<Arg>) -> Self {
        self.args.insert(name, value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_serde_does() {
        let nested = Text::new("in\"ner").with("n", "1");
        for text in [
            Text::new("plain"),
            Text::new("chat.say").with("name", "Ann").with("text", "a \"word\"\n\u{1}"),
            Text::new("all").with("lines", vec![nested.clone(), Text::new("x")]).with("one", nested),
        ] {
            let mut out = Vec::new();
            text.write_json(&mut out);
            assert_eq!(String::from_utf8(out), Ok(serde_json::to_string(&text).expect("JSON")));
        }
    }
}
