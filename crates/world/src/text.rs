//! Texts in the server's voice, made short: keys of the catalogue and their arguments.

use tidings_protocol::Text;
use tidings_protocol::text::{Arg, Name};

use crate::content::model::Direction;
use crate::input::Millis;

/// A text without arguments.
pub(crate) fn t(key: impl Into<Name>) -> Text {
    Text::new(key)
}

/// A text with one argument.
pub(crate) fn t1(key: impl Into<Name>, name: &'static str, value: impl Into<Arg>) -> Text {
    Text::new(key).with(name, value)
}

/// A text as it stands.
pub(crate) fn plain(text: impl Into<String>) -> Text {
    t1("plain", "text", text.into())
}

/// A text or nothing.
pub(crate) fn or_nothing(text: Option<Text>) -> Text {
    text.unwrap_or_else(|| t("nothing"))
}

/// Seconds, rounded up, at least one.
pub(crate) fn seconds(ms: Millis) -> Text {
    count("time.seconds", (ms + 999) / 1000)
}

/// Minutes.
pub(crate) fn minutes(n: i64) -> Text {
    count("time.minutes", n)
}

fn count(key: &'static str, n: i64) -> Text {
    t1(key, "n", n.max(1).to_string())
}

/// Texts as `a, b, c`; none: `None`.
fn list(texts: &[Text]) -> Option<Text> {
    // Nested by halves: a renderer bounds how deep texts may be.
    match texts {
        [] => None,
        [one] => Some(one.clone()),
        _ => {
            let (left, right) = texts.split_at(texts.len() / 2);
            Some(t1("list.two", "first", or_nothing(list(left))).with("rest", or_nothing(list(right))))
        }
    }
}

/// Things behind the word that says what they are: in a row, or each on a line of its own, which is how one follows
/// them by ear.
pub(crate) fn row(lines: bool, things: Vec<Text>) -> Text {
    if lines {
        t("list.lines").with("lines", things)
    } else {
        t1("list.row", "list", or_nothing(list(&things)))
    }
}

/// The time of day, UTC, as `14:05`.
pub(crate) fn clock(at: Millis) -> String {
    let minute = at.div_euclid(60_000);
    format!("{:02}:{:02}", minute.div_euclid(60).rem_euclid(24), minute.rem_euclid(60))
}

/// `to the east` and so on, by the prefix `direction`, `to` or `from`.
pub(crate) fn way(prefix: &str, direction: Direction) -> Text {
    t(format!("{prefix}.{}", direction.names().0))
}

/// Fills the places of a builder's line, once: what is filled in is not read again.
pub(crate) fn fill(line: &str, places: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(line.len() + 32);
    let mut rest = line;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let place = places
            .iter()
            .find(|(name, _)| rest[1..].strip_prefix(name).is_some_and(|after| after.starts_with('}')));
        match place {
            Some((name, value)) => {
                out.push_str(value);
                rest = &rest[name.len() + 2..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// About how long a text is when it is rendered.
pub(crate) fn size_of(text: &Text) -> usize {
    let args = text.args.values().map(|arg| match arg {
        Arg::Plain(plain) => plain.len(),
        Arg::Text(text) => size_of(text),
        Arg::Lines(lines) => lines.iter().map(size_of).sum(),
    });
    24 + args.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let places = [("name", "{target}"), ("target", "Ben")];
        assert_eq!(fill("{name} hugs {target}, {x} {", &places), "{target} hugs Ben, {x} {");
    }

    #[test]
    fn the_clock_reads_as_people_write_it() {
        for (at, expected) in [(0, "00:00"), (14 * 3_600_000 + 5 * 60_000, "14:05"), (-60_000, "23:59")] {
            assert_eq!(clock(at), expected);
        }
    }
}
