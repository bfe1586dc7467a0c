//! Texts of builders: their length, what may stand in them, and how wrapped lines become paragraphs.

use super::mistake::{nearest, shown};

/// What a text has to be like; the number is the most characters it may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// One line: names, lines that are said.
    Line(usize),
    /// Paragraphs: lines are joined, an empty line parts paragraphs. Wrapped source reads as it should on any screen.
    Prose(usize),
    /// Lines as they stand: help.
    Plain(usize),
    /// A word that players type: lower case, no space.
    Word(usize),
}

/// The text in its shape, or what is wrong with it, to follow the key's name.
pub(super) fn shape(text: &str, wanted: Shape) -> Result<String, String> {
    if let Some(bad) = text.chars().find(|c| is_forbidden(*c)) {
        return Err(format!("holds the character U+{:04X}, which no text may hold", u32::from(bad)));
    }
    let (shaped, most) = match wanted {
        Shape::Line(most) => (one_line(text)?, most),
        Shape::Word(most) => (word(text)?, most),
        Shape::Prose(most) => (prose(text), most),
        Shape::Plain(most) => (plain(text), most),
    };
    let count = shaped.chars().count();
    if shaped.is_empty() {
        Err("is empty".into())
    } else if count > most {
        Err(format!("is {count} characters long: at most {most}"))
    } else {
        Ok(shaped)
    }
}

/// Control characters, and those that turn the direction of what follows: a screen must show what was written.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.contains(['\n', '\r']) { Err("has to be one line".into()) } else { Ok(text.to_owned()) }
}

fn word(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = |c: char| c.is_alphanumeric() && !c.is_uppercase() || matches!(c, '-' | '\'' | '_');
    if text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("holds '{}': a word is lower case and without spaces", shown(text)))
    }
}

fn prose(text: &str) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match (words.is_empty(), open, paragraphs.last_mut()) {
            (true, ..) => open = false,
            (false, true, Some(paragraph)) => {
                paragraph.push(' ');
                paragraph.push_str(&words);
            }
            _ => {
                paragraphs.push(words);
                open = true;
            }
        }
    }
    paragraphs.join("\n")
}

fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// What is wrong with the places in braces of a text, if something is: an unknown one, or one that has to be there.
pub(super) fn check_places(text: &str, known: &[&str], needed: &[&str]) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let inner = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, after)) = inner else { return Err("has a brace without its other half".into()) };
        if !known.contains(&name) {
            return Err(unknown_place(name, known));
        }
        rest = after;
    }
    match needed.iter().find(|name| !text.contains(&format!("{{{name}}}"))) {
        Some(name) => Err(format!("has no {{{name}}} in it")),
        None => Ok(()),
    }
}

fn unknown_place(name: &str, known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
    let braced = format!("{{{name}}}");
    let hint = match nearest(&braced, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None if known.is_empty() => "nothing is filled in here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    };
    format!("holds '{}': {hint}", shown(&braced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_become_paragraphs() {
        let text = "\n  One\ttwo\nthree.\n\n\n Four.\n";
        assert_eq!(shape(text, Shape::Prose(100)), Ok("One two three.\nFour.".into()));
    }

    #[test]
    fn help_keeps_its_lines() {
        assert_eq!(shape("\nUsage:\n  say <text>  \n", Shape::Plain(99)), Ok("Usage:\n  say <text>".into()));
    }

    #[test]
    fn what_no_text_may_hold_is_refused() {
        for bad in ["a\u{1b}[31m", "a\u{202e}b", "\u{0}", "\u{7f}"] {
            assert!(shape(bad, Shape::Prose(99)).expect_err(bad).contains("no text may hold"));
        }
        assert!(shape("a\nb", Shape::Line(9)).is_err());
        assert!(shape("   ", Shape::Line(9)).is_err());
        assert!(shape("Not a word", Shape::Word(99)).is_err());
        assert_eq!(shape("four", Shape::Line(3)), Err("is 4 characters long: at most 3".into()));
    }

    #[test]
    fn places_in_braces_are_checked() {
        let check = |text, needed: &[&str]| check_places(text, &["name", "target"], needed);
        assert_eq!(check("{name} bows to {target}.", &["name", "target"]), Ok(()));
        assert!(check("{nmae} bows.", &[]).expect_err("unknown").contains("did you mean '{name}'?"));
        assert!(check("{name bows.", &[]).expect_err("open").contains("without its other half"));
        assert!(check("bows.", &["name"]).expect_err("needed").contains("no {name}"));
    }
}
