//! The message catalogue: every line in the server's voice, one file a language, parsed once into templates.
//!
//! Rendering is total: an unknown key or a missing argument gives something readable, never a panic. What a
//! person typed is an argument and is copied as it is: it is never read as a template again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use foldhash::{HashMap, HashMapExt as _};

use super::{Word, Words};

/// The language that is spoken where another is not known.
pub const DEFAULT_LOCALE: &str = "en";
/// Deepest nesting of texts in arguments that is rendered: the world's lists nest ten deep, more is a fault.
const DEPTH_MAX: usize = 24;
/// Bytes made ready for a line that is rendered: most are shorter.
const RENDERED_BYTES: usize = 192;
/// The files, by locale.
const BUILTIN: [(&str, &str); 2] =
    [("en", include_str!("../../catalogue/en.toml")), ("de", include_str!("../../catalogue/de.toml"))];

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Argument(Box<str>),
    /// By the number that this argument is: the form of one, and of any other.
    Form(Box<str>, Box<str>, Box<str>),
}

impl Part {
    /// The argument it needs.
    fn place(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Argument(name) | Self::Form(name, ..) => Some(name),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Template(Vec<Part>);

/// Why a catalogue's file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The line is not `"key" = "template"`.
    #[error("line {0}: expected \"key\" = \"template\"")]
    Line(usize),
    /// The key is there already.
    #[error("line {0}: the key '{1}' is there twice")]
    Twice(usize, String),
    /// A '{' without its '}', or a name in between that is none.
    #[error("line {0}: the template has a place that is not closed or not named")]
    Place(usize),
}

/// Every language's templates.
#[derive(Debug, Clone)]
pub struct Catalogue {
    locales: BTreeMap<String, HashMap<String, Template>>,
}

impl Catalogue {
    /// The catalogue of this version of Tidings.
    pub fn builtin() -> Self {
        let mut catalogue = Self { locales: BTreeMap::new() };
        for (locale, file) in BUILTIN {
            catalogue.add(locale, file).expect("the built-in files are checked by the tests");
        }
        catalogue
    }

    /// Adds a language from the text of its file.
    pub fn add(&mut self, locale: &str, file: &str) -> Result<(), CatalogueError> {
        let templates = parse(file)?;
        self.locales.entry(locale.to_owned()).or_default().extend(templates);
        Ok(())
    }

    /// The languages there are.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.locales.keys().map(String::as_str)
    }

    /// The keys of a language with the names of their places.
    pub fn keys(&self, locale: &str) -> BTreeMap<String, BTreeSet<String>> {
        let templates = self.locales.get(locale);
        templates
            .into_iter()
            .flatten()
            .map(|(key, template)| {
                let places = template.0.iter().filter_map(Part::place).map(str::to_owned);
                (key.clone(), places.collect())
            })
            .collect()
    }

    /// Whether there is such a message.
    pub fn has(&self, key: &str) -> bool {
        self.locales.get(DEFAULT_LOCALE).is_some_and(|templates| templates.contains_key(key))
    }

    /// The text as one reads it. A locale that is not known is served in its language (`de-AT` in `de`),
    /// else in English.
    pub fn render<'a>(&self, text: impl Words<'a>, locale: &str) -> String {
        let mut out = String::with_capacity(RENDERED_BYTES);
        self.write(&mut out, text, self.templates(locale), 0);
        out
    }

    fn templates(&self, locale: &str) -> Option<&HashMap<String, Template>> {
        self.locales
            .get(locale)
            .or_else(|| self.locales.get(locale.split(['-', '_']).next().unwrap_or_default()))
            .or_else(|| self.locales.get(DEFAULT_LOCALE))
    }

    fn write<'a>(
        &self,
        out: &mut String,
        text: impl Words<'a>,
        templates: Option<&HashMap<String, Template>>,
        depth: usize,
    ) {
        if depth >= DEPTH_MAX {
            out.push('…');
            return;
        }
        let key = text.key();
        let template = templates
            .and_then(|templates| templates.get(key))
            .or_else(|| self.locales.get(DEFAULT_LOCALE).and_then(|english| english.get(key)));
        let Some(template) = template else {
            return self.write_unknown(out, text, templates, depth);
        };
        for part in &template.0 {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Form(name, one, other) => {
                    let is_one = matches!(text.arg(name), Some(Word::Plain("1")));
                    out.push_str(if is_one { one } else { other });
                }
                Part::Argument(name) => match text.arg(name) {
                    Some(word) => self.write_word(out, word, templates, depth),
                    None => {
                        let _ = write!(out, "({name})");
                    }
                },
            }
        }
    }

    fn write_word<'a, T: Words<'a>>(
        &self,
        out: &mut String,
        word: Word<'a, T>,
        templates: Option<&HashMap<String, Template>>,
        depth: usize,
    ) {
        match word {
            Word::Plain(plain) => out.push_str(plain),
            Word::Text(text) => self.write(out, text, templates, depth + 1),
            Word::Lines(lines) => {
                for (at, line) in lines.enumerate() {
                    if at > 0 {
                        out.push('\n');
                    }
                    self.write(out, line, templates, depth + 1);
                }
            }
        }
    }

    /// A message of a newer version: its arguments are all that can be shown.
    fn write_unknown<'a>(
        &self,
        out: &mut String,
        text: impl Words<'a>,
        templates: Option<&HashMap<String, Template>>,
        depth: usize,
    ) {
        let _ = write!(out, "[{}]", text.key());
        for (_, word) in text.args() {
            out.push(' ');
            self.write_word(out, word, templates, depth);
        }
    }
}

/// Reads lines `"key" = "template"`; `#` starts a line of comment. A subset of TOML.
fn parse(file: &str) -> Result<HashMap<String, Template>, CatalogueError> {
    let mut templates = HashMap::new();
    for (at, line) in file.lines().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = parse_line(line).ok_or(CatalogueError::Line(number))?;
        let template = parse_template(&value).ok_or(CatalogueError::Place(number))?;
        if templates.insert(key.clone(), template).is_some() {
            return Err(CatalogueError::Twice(number, key));
        }
    }
    Ok(templates)
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let (key, rest) = line.strip_prefix('"')?.split_once('"')?;
    let value = rest.trim().strip_prefix('=')?.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(match letters.next()? {
                'n' => '\n',
                '"' => '"',
                '\\' => '\\',
                _ => return None,
            }),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some((key.to_owned(), plain))
}

fn parse_template(value: &str) -> Option<Template> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some((literal, after)) = rest.split_once('{') {
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        let (place, after) = after.split_once('}')?;
        parts.push(parse_place(place)?);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.into()));
    }
    Some(Template(parts))
}

/// `name`, or `name?one|other`.
fn parse_place(place: &str) -> Option<Part> {
    let (name, forms) = place.split_once('?').map_or((place, None), |(name, forms)| (name, Some(forms)));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return None;
    }
    let Some(forms) = forms else { return Some(Part::Argument(name.into())) };
    let (one, other) = forms.split_once('|').filter(|(_, other)| !other.contains('|'))?;
    Some(Part::Form(name.into(), one.into(), other.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;
    use proptest::prelude::*;

    #[test]
    fn every_language_says_everything() {
        let catalogue = Catalogue::builtin();
        let english = catalogue.keys("en");
        assert!(english.len() > 100);
        for locale in catalogue.locales() {
            let keys = catalogue.keys(locale);
            let missing: Vec<_> =
                english.iter().filter(|(key, places)| keys.get(*key) != Some(places)).collect();
            assert!(missing.is_empty(), "{locale} lacks, or has other places in: {missing:?}");
            let extra: Vec<_> = keys.keys().filter(|key| !english.contains_key(*key)).collect();
            assert!(extra.is_empty(), "{locale} has what English has not: {extra:?}");
        }
    }

    #[test]
    fn a_text_is_rendered_in_the_language_asked_for() {
        let catalogue = Catalogue::builtin();
        let text = Text::new("chat.say").with("name", "Ann").with("text", "hello {name}");
        for (locale, expected) in [
            ("en", "Ann says: hello {name}"),
            ("de", "Ann sagt: hello {name}"),
            ("de-AT", "Ann sagt: hello {name}"),
            ("xx", "Ann says: hello {name}"),
        ] {
            assert_eq!(catalogue.render(&text, locale), expected);
        }
    }

    #[test]
    fn arguments_may_be_texts_and_lines() {
        let catalogue = Catalogue::builtin();
        let go = Text::new("move.own").with("direction", Text::new("direction.east"));
        assert_eq!(catalogue.render(&go, "en"), "You go east.");
        assert_eq!(catalogue.render(&go, "de"), "Du gehst nach Osten.");
        let lines = vec![Text::new("plain").with("text", "a"), Text::new("plain").with("text", "b")];
        assert_eq!(catalogue.render(&Text::new("lines").with("lines", lines), "en"), "a\nb");
    }

    #[test]
    fn a_word_has_the_form_of_its_number() {
        let catalogue = Catalogue::builtin();
        for (n, en, de) in [
            ("0", "0 seconds", "0 Sekunden"),
            ("1", "1 second", "1 Sekunde"),
            ("2", "2 seconds", "2 Sekunden"),
            ("21", "21 seconds", "21 Sekunden"),
        ] {
            let text = Text::new("time.seconds").with("n", n);
            assert_eq!(
                (catalogue.render(&text, "en").as_str(), catalogue.render(&text, "de").as_str()),
                (en, de)
            );
        }
        let text =
            Text::new("flood.say").with("n", "1").with("time", Text::new("time.seconds").with("n", "1"));
        let expected = "Not so fast: at most 1 line a minute. Try again in 1 second.";
        assert_eq!(catalogue.render(&text, "en"), expected);
    }

    /// Every number that is shown with a word after it gives the word both forms.
    #[test]
    fn no_count_is_shown_with_a_word_of_one_form() {
        for (locale, file) in BUILTIN {
            for line in file.lines().filter(|line| line.starts_with('"')) {
                for count in ["n", "people", "npcs", "rooms", "parties"] {
                    let place = format!("{{{count}}} ");
                    for after in line.split(&place).skip(1) {
                        let fits = after.starts_with(&format!("{{{count}?"))
                            || ["more", "weitere"].iter().any(|word| after.starts_with(word));
                        assert!(fits, "{locale}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_still_readable() {
        let catalogue = Catalogue::builtin();
        let unknown = Text::new("no.such").with("a", "one").with("b", "two");
        assert_eq!(catalogue.render(&unknown, "en"), "[no.such] one two");
        assert_eq!(catalogue.render(&Text::new("chat.say").with("name", "Ann"), "en"), "Ann says: (text)");
        let deep = (0..100)
            .fold(Text::new("plain").with("text", "x"), |text, _| Text::new("plain").with("text", text));
        assert_eq!(catalogue.render(&deep, "en"), "…");
    }

    #[test]
    fn a_faulty_file_is_refused_by_line() {
        let mut catalogue = Catalogue::builtin();
        for (file, error) in [
            ("nonsense", CatalogueError::Line(1)),
            ("# fine\n\"a\" = \"x\\q\"", CatalogueError::Line(2)),
            ("\"a\" = \"{x\"", CatalogueError::Place(1)),
            ("\"a\" = \"{X}\"", CatalogueError::Place(1)),
            ("\"a\" = \"{n?one}\"", CatalogueError::Place(1)),
            ("\"a\" = \"{n?a|b|c}\"", CatalogueError::Place(1)),
            ("\"a\" = \"{?a|b}\"", CatalogueError::Place(1)),
            ("\"a\" = \"1\"\n\"a\" = \"2\"", CatalogueError::Twice(2, "a".into())),
        ] {
            assert_eq!(catalogue.add("zz", file), Err(error), "{file}");
        }
    }

    proptest! {
        #[test]
        fn what_a_person_typed_comes_through_unchanged(name in ".*", text in ".*") {
            let line = Text::new("chat.say").with("name", name.as_str()).with("text", text.as_str());
            prop_assert_eq!(Catalogue::builtin().render(&line, "en"), format!("{name} says: {text}"));
        }

        #[test]
        fn no_file_panics(file in "([\"a{}= \\\\\n]|\\PC)*") {
            let _ = Catalogue { locales: BTreeMap::new() }.add("zz", &file);
        }
    }
}
