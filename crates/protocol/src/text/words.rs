//! Texts as the renderer reads them: held by the program, or where they lie in a message.

use std::borrow::Borrow;

use super::{Arg, Text};
use crate::form::field;

/// A text that can be read: [`Text`] or [`TextRef`].
pub trait Words<'a>: Copy {
    /// Texts one after the other.
    type Lines: Iterator<Item = Self>;
    /// The key of its message.
    fn key(self) -> &'a str;
    /// Its arguments: in the order of their names, as every writer of ours has them.
    fn args(self) -> impl Iterator<Item = (&'a str, Word<'a, Self>)>;
    /// The argument of a name.
    fn arg(self, name: &str) -> Option<Word<'a, Self>> {
        self.args().find(|(known, _)| *known == name).map(|(_, word)| word)
    }
}

/// An argument as it is read.
#[derive(Debug)]
pub enum Word<'a, T: Words<'a>> {
    /// As it is.
    Plain(&'a str),
    /// Another text.
    Text(T),
    /// Texts, each on a line of its own.
    Lines(T::Lines),
}

impl<'a> Words<'a> for &'a Text {
    type Lines = std::slice::Iter<'a, Text>;

    fn key(self) -> &'a str {
        self.key.borrow()
    }

    fn args(self) -> impl Iterator<Item = (&'a str, Word<'a, Self>)> {
        self.args.iter().map(|(name, arg)| {
            let word = match arg {
                Arg::Plain(plain) => Word::Plain(plain.as_str()),
                Arg::Text(text) => Word::Text(text),
                Arg::Lines(lines) => Word::Lines(lines.iter()),
            };
            (name, word)
        })
    }
}

/// `tidings.world.v1.Text`, where it lies. What is wrong with it reads as nothing.
#[derive(Debug, Clone, Copy)]
pub struct TextRef<'a>(&'a [u8]);

impl<'a> TextRef<'a> {
    /// The text in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Words<'a> for TextRef<'a> {
    type Lines = LinesRef<'a>;

    fn key(self) -> &'a str {
        delimited(self.0).find(|(number, _)| *number == 1).map_or("", |(_, bytes)| text(bytes))
    }

    fn args(self) -> impl Iterator<Item = (&'a str, Word<'a, Self>)> {
        delimited(self.0).filter(|(number, _)| *number == 2).map(|(_, entry)| {
            let (mut name, mut word) = ("", Word::Plain(""));
            for (number, bytes) in delimited(entry) {
                match number {
                    1 => name = text(bytes),
                    2 => word = arg(bytes),
                    _ => {}
                }
            }
            (name, word)
        })
    }

    /// Of the others nothing is read but their names.
    fn arg(self, name: &str) -> Option<Word<'a, Self>> {
        delimited(self.0).filter(|(number, _)| *number == 2).find_map(|(_, entry)| {
            let (mut known, mut value) = (&[][..], &[][..]);
            for (number, bytes) in delimited(entry) {
                match number {
                    1 => known = bytes,
                    2 => value = bytes,
                    _ => {}
                }
            }
            (known == name.as_bytes()).then(|| arg(value))
        })
    }
}

/// `tidings.world.v1.Lines`, where they lie.
#[derive(Debug, Clone)]
pub struct LinesRef<'a>(&'a [u8]);

impl<'a> Iterator for LinesRef<'a> {
    type Item = TextRef<'a>;

    fn next(&mut self) -> Option<TextRef<'a>> {
        loop {
            let (number, value) = field(&mut self.0).ok()??;
            if let (1, Ok(bytes)) = (number, value.bytes()) {
                return Some(TextRef(bytes));
            }
        }
    }
}

/// `tidings.world.v1.Arg`; one of a kind from a later version reads as nothing.
fn arg(bytes: &[u8]) -> Word<'_, TextRef<'_>> {
    delimited(bytes).last().map_or(Word::Plain(""), |(number, bytes)| match number {
        1 => Word::Plain(text(bytes)),
        2 => Word::Text(TextRef(bytes)),
        3 => Word::Lines(LinesRef(bytes)),
        _ => Word::Plain(""),
    })
}

/// The fields of a message that have a length, up to where it is broken.
fn delimited(mut left: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || field(&mut left).ok().flatten())
        .filter_map(|(number, value)| Some((number, value.bytes().ok()?)))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::world::v1 as wire;

    #[test]
    fn an_argument_is_found_by_its_name_as_among_all() {
        let text =
            Text::new("k").with("b", "two").with("ab", Text::new("in")).with("list", vec![Text::new("x")]);
        let bytes = wire::Text::from(text).encode_to_vec();
        let found = TextRef::new(&bytes);
        for name in ["b", "ab", "list", "a", ""] {
            let among = found.args().find(|(known, _)| *known == name).map(|(_, word)| word);
            assert_eq!(format!("{:?}", found.arg(name)), format!("{among:?}"), "{name}");
        }
        assert!(matches!(found.arg("b"), Some(Word::Plain("two"))));
    }
}
