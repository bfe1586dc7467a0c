//! Between the house's own words and their protobuf form: texts. Both directions, since the world writes what
//! the edge renders.

use crate::proto::world::v1 as wire;
use crate::text::{Arg, Text};

impl From<Text> for wire::Text {
    fn from(text: Text) -> Self {
        let args = text.args.into_iter().map(|(name, arg)| (name.into_owned(), arg.into())).collect();
        Self { key: text.key.into_owned(), args }
    }
}

impl From<Arg> for wire::Arg {
    fn from(arg: Arg) -> Self {
        let value = match arg {
            Arg::Plain(plain) => wire::arg::Value::Plain(plain),
            Arg::Text(text) => wire::arg::Value::Text(text.into()),
            Arg::Lines(lines) => {
                wire::arg::Value::Lines(wire::Lines { lines: lines.into_iter().map(Into::into).collect() })
            }
        };
        Self { value: Some(value) }
    }
}

impl From<wire::Text> for Text {
    fn from(text: wire::Text) -> Self {
        let args = text.args.into_iter().map(|(name, arg)| (name, arg.into())).collect();
        Self { key: text.key.into(), args }
    }
}

impl From<wire::Arg> for Arg {
    /// An argument of a kind from a later version reads as nothing.
    fn from(arg: wire::Arg) -> Self {
        match arg.value {
            Some(wire::arg::Value::Plain(plain)) => Self::Plain(plain),
            Some(wire::arg::Value::Text(text)) => Self::Text(text.into()),
            Some(wire::arg::Value::Lines(lines)) => {
                Self::Lines(lines.lines.into_iter().map(Into::into).collect())
            }
            None => Self::Plain(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back_as_it_was_written() {
        let inner = Text::new("direction.east");
        let text = Text::new("move.left")
            .with("name", "Ann")
            .with("direction", inner.clone())
            .with("lines", vec![inner, Text::new("x").with("y", "z")]);
        assert_eq!(Text::from(wire::Text::from(text.clone())), text);
    }
}
