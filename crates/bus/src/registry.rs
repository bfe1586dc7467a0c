//! The registry: every subject of a system, declared once, and the only maker of subjects and patterns.
//!
//! What cannot enter a subject cannot be written into one later: alphabets are checked here, by kind, and text
//! from outside goes through [`escape_token`](crate::escape_token), which is injective, so that two texts never share a subject.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};
use crate::subject::{Pattern, SUBJECT_BYTES_MAX, Subject};
use crate::token::{Kind, is_plain, push_escaped, unescape_token};

/// More wildcards than these in one pattern need a declared reason.
const WILDCARDS_MAX: usize = 2;

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
    /// The publisher is told `Overloaded`. Across a network only one who asks is told; what was published is
    /// dropped and counted.
    Refuse,
}

type HasForm = dyn Fn(&[u8]) -> Result<(), String> + Send + Sync;

/// Says whether a payload has its message's form; the error says why not.
#[derive(Clone)]
pub struct Check(Arc<HasForm>);

impl Check {
    /// A check.
    pub fn new(check: impl Fn(&[u8]) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// Whether the payload has the form.
    pub fn run(&self, payload: &[u8]) -> Result<(), String> {
        (self.0)(payload)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// One template: a row of the registry.
#[derive(Debug, Clone)]
pub struct TemplateDef {
    /// Its name in the registry, for example `room.log`.
    pub name: &'static str,
    /// The template: literal tokens and `{parameter:kind}`; kinds: `slug` (`[a-z0-9-]{1,40}`), `place`
    /// (`<zone>_<name>`, two slugs), `id` (32 lower-case hex digits), `token` (any text, escaped).
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
    pub check: Option<Check>,
    /// Why a pattern over this template may be wide (start with a wildcard, or hold more than two).
    pub wide: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(&'static str),
    Parameter(&'static str, Kind),
}

fn subject_error(what: String) -> Error {
    Error::new(ErrorKind::Subject, what)
}

fn parse_template(def: &TemplateDef) -> Result<Vec<Part>, Error> {
    let refuse = |why: &str| Err(subject_error(format!("template '{}': {why}", def.template.escape_debug())));
    let mut parts = Vec::new();
    for token in def.template.split('.') {
        if let Some(inner) = token.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let Some((name, kind)) = inner.split_once(':') else {
                return refuse("a parameter is {name:kind}");
            };
            let Some(kind) = Kind::parse(kind) else {
                return refuse("a kind is slug, place, id or token");
            };
            if name.is_empty() || !name.bytes().all(is_plain) {
                return refuse("a parameter's name is letters, digits, - and _");
            }
            parts.push(Part::Parameter(name, kind));
        } else if !token.is_empty() && token.bytes().all(is_plain) {
            parts.push(Part::Literal(token));
        } else {
            return refuse("a token is letters, digits, - and _, and not empty");
        }
    }
    if matches!(parts.first(), Some(Part::Parameter(..))) && def.wide.is_none() {
        return refuse("the first token is a literal, unless the template is declared wide with a reason");
    }
    Ok(parts)
}

fn overlap(left: &[Part], right: &[Part]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|pair| match pair {
            (Part::Literal(one), Part::Literal(other)) => one == other,
            (Part::Literal(text), Part::Parameter(_, kind))
            | (Part::Parameter(_, kind), Part::Literal(text)) => kind.holds(text),
            (Part::Parameter(_, one), Part::Parameter(_, other)) => one.meets(*other),
        })
}

/// The number of the next registry.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Every subject of a system.
#[derive(Debug)]
pub struct Registry {
    number: u64,
    prefix: Option<String>,
    templates: Vec<TemplateDef>,
    parts: Vec<Vec<Part>>,
    by_name: HashMap<&'static str, u16>,
}

impl Registry {
    /// Checks the templates: alphabet, length, duplicates, overlaps. `prefix` goes before every subject, so
    /// that two systems share one server. All mistakes are in the error, one a line.
    pub fn new(prefix: Option<&str>, templates: Vec<TemplateDef>) -> Result<Self, Error> {
        let mut mistakes = Vec::new();
        if let Some(text) = prefix
            && !text.split('.').all(|token| !token.is_empty() && token.bytes().all(is_plain))
        {
            mistakes.push(format!("prefix '{}': letters, digits, - and _", text.escape_debug()));
        }
        if templates.len() >= usize::from(u16::MAX) {
            mistakes.push(format!("{} templates: at most {}", templates.len(), u16::MAX - 1));
        }
        let mut parts: Vec<Vec<Part>> = Vec::new();
        let mut by_name = HashMap::new();
        for (index, def) in templates.iter().enumerate() {
            let mine = parse_template(def).unwrap_or_else(|error| {
                mistakes.push(error.to_string());
                Vec::new()
            });
            if by_name.insert(def.name, u16::try_from(index).unwrap_or(u16::MAX)).is_some() {
                mistakes.push(format!("template '{}' is declared twice", def.name));
            }
            for (other, theirs) in templates.iter().zip(&parts) {
                if !mine.is_empty() && overlap(&mine, theirs) {
                    mistakes.push(format!("'{}' and '{}' overlap", other.template, def.template));
                }
            }
            parts.push(mine);
        }
        if mistakes.is_empty() {
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            let prefix = prefix.map(|text| format!("{text}."));
            Ok(Self { number, prefix, templates, parts, by_name })
        } else {
            Err(subject_error(mistakes.join("\n")))
        }
    }

    /// Tells it from every other one of the process; never 0.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn find(&self, name: &str) -> Result<(u16, &TemplateDef, &[Part]), Error> {
        let index = *self.by_name.get(name).ok_or_else(|| {
            subject_error(format!("the registry has no template '{}'", name.escape_debug()))
        })?;
        let place = usize::from(index);
        Ok((index, &self.templates[place], &self.parts[place]))
    }

    fn wrong_count(def: &TemplateDef, given: usize) -> Error {
        subject_error(format!("'{}' does not take {given} parameters", def.template))
    }

    /// The subject of the template called `name` with these parameters, in the order of the template. A `token`
    /// is given as it is and escaped here; every other kind is refused unless it has its form.
    pub fn subject(&self, name: &str, parameters: &[&str]) -> Result<Subject, Error> {
        let (index, def, parts) = self.find(name)?;
        let mut given = parameters.iter();
        // Exact where nothing is escaped, so that the text is not moved again.
        let prefix = self.prefix.as_ref().map_or(0, String::len);
        let mut text = String::with_capacity(prefix + text_length(parts, parameters));
        text.push_str(self.prefix.as_deref().unwrap_or(""));
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push('.');
            }
            match part {
                Part::Literal(token) => text.push_str(token),
                Part::Parameter(name, kind) => {
                    let value = given.next().ok_or_else(|| Self::wrong_count(def, parameters.len()))?;
                    push_parameter(&mut text, def, name, *kind, value)?;
                }
            }
        }
        if given.next().is_some() {
            return Err(Self::wrong_count(def, parameters.len()));
        }
        check_length(&text, def)?;
        Ok(Subject::new(text, index, def.class, def.slow))
    }

    /// The pattern of the template called `name`: `None` is a wildcard in that parameter's place.
    pub fn pattern(&self, name: &str, parameters: &[Option<&str>]) -> Result<Pattern, Error> {
        let (index, def, parts) = self.find(name)?;
        let mut given = parameters.iter();
        let mut text = String::from(self.prefix.as_deref().unwrap_or(""));
        let mut wildcards = 0;
        let mut leading = false;
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push('.');
            }
            match part {
                Part::Literal(token) => text.push_str(token),
                Part::Parameter(name, kind) => match given.next() {
                    Some(Some(value)) => push_parameter(&mut text, def, name, *kind, value)?,
                    Some(None) => {
                        wildcards += 1;
                        leading |= place == 0;
                        text.push('*');
                    }
                    None => return Err(Self::wrong_count(def, parameters.len())),
                },
            }
        }
        if given.next().is_some() {
            return Err(Self::wrong_count(def, parameters.len()));
        }
        if def.wide.is_none() && (wildcards > WILDCARDS_MAX || leading || wildcards == parts.len()) {
            return Err(subject_error(format!(
                "the pattern '{text}' is too wide: at most {WILDCARDS_MAX} wildcards and none in front, unless \
                 the template is declared wide with a reason"
            )));
        }
        check_length(&text, def)?;
        Ok(Pattern::new(text, index, def.class))
    }

    /// The pattern of every subject of the template called `name`.
    pub fn pattern_of(&self, name: &str) -> Result<Pattern, Error> {
        let (_, _, parts) = self.find(name)?;
        let parameters = parts.iter().filter(|part| matches!(part, Part::Parameter(..))).count();
        self.pattern(name, &vec![None; parameters])
    }

    /// The subject that `text` is, with its parameters (a `token` as it was before it was escaped), if the
    /// registry has it. [`Subject::template`] says which template it is.
    pub fn parse(&self, text: &str) -> Result<(Subject, Vec<String>), Error> {
        let none = || subject_error(format!("no template matches '{}'", text.escape_debug()));
        let rest = match &self.prefix {
            Some(prefix) => text.strip_prefix(prefix.as_str()).ok_or_else(none)?,
            None => text,
        };
        if text.len() > SUBJECT_BYTES_MAX {
            return Err(none());
        }
        for (index, parts) in self.parts.iter().enumerate() {
            if let Some(parameters) = parse_parts(parts, rest) {
                let def = &self.templates[index];
                let index = u16::try_from(index).expect("checked when the registry was made");
                return Ok((Subject::new(text.to_owned(), index, def.class, def.slow), parameters));
            }
        }
        Err(none())
    }

    /// The subject that `text` is, where it is one of the template's.
    pub(crate) fn parse_as(&self, template: u16, text: &str) -> Option<Subject> {
        let def = self.row(template)?;
        let rest = text.strip_prefix(self.prefix())?;
        parse_parts(&self.parts[usize::from(template)], rest)?;
        Some(Subject::new(text.to_owned(), template, def.class, def.slow))
    }

    /// What goes before every subject, with its dot; empty where nothing does.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or("")
    }

    /// The patterns that hold every subject of a class.
    pub(crate) fn patterns_of(&self, class: Class) -> Vec<String> {
        let rows = self.templates.iter().zip(&self.parts).filter(|(def, _)| def.class == class);
        rows.map(|(_, parts)| self.widest(parts)).collect()
    }

    /// The pattern of a template for the servers' permissions, where it may be as wide as it is.
    pub(crate) fn widest_of(&self, name: &str) -> Result<String, Error> {
        let (_, _, parts) = self.find(name)?;
        Ok(self.widest(parts))
    }

    fn widest(&self, parts: &[Part]) -> String {
        let tokens: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Part::Literal(token) => *token,
                Part::Parameter(..) => "*",
            })
            .collect();
        format!("{}{}", self.prefix(), tokens.join("."))
    }

    /// Every row.
    pub fn templates(&self) -> &[TemplateDef] {
        &self.templates
    }

    /// The row of a subject or pattern, where this registry made it.
    pub(crate) fn row(&self, template: u16) -> Option<&TemplateDef> {
        self.templates.get(usize::from(template))
    }
}

fn text_length(parts: &[Part], parameters: &[&str]) -> usize {
    let literals: usize = parts
        .iter()
        .map(|part| match part {
            Part::Literal(token) => token.len() + 1,
            Part::Parameter(..) => 1,
        })
        .sum();
    literals + parameters.iter().map(|value| value.len()).sum::<usize>() - 1
}

fn push_parameter(
    text: &mut String,
    def: &TemplateDef,
    name: &str,
    kind: Kind,
    value: &str,
) -> Result<(), Error> {
    let fits = match kind {
        Kind::Token => !value.is_empty(),
        kind => kind.holds(value),
    };
    if !fits {
        return Err(subject_error(format!(
            "'{}' is no {name} of '{}': {}",
            value.escape_debug(),
            def.template,
            kind.form()
        )));
    }
    if kind == Kind::Token {
        push_escaped(text, value);
    } else {
        text.push_str(value);
    }
    Ok(())
}

fn check_length(text: &str, def: &TemplateDef) -> Result<(), Error> {
    if text.len() <= SUBJECT_BYTES_MAX {
        return Ok(());
    }
    Err(subject_error(format!(
        "a subject of '{}' would be {} bytes long: at most {SUBJECT_BYTES_MAX}",
        def.template,
        text.len()
    )))
}

fn parse_parts(parts: &[Part], text: &str) -> Option<Vec<String>> {
    let mut tokens = text.split('.');
    let mut parameters = Vec::new();
    for part in parts {
        let token = tokens.next()?;
        match part {
            Part::Literal(literal) if *literal == token => {}
            Part::Literal(_) => return None,
            Part::Parameter(_, Kind::Token) => parameters.push(unescape_token(token)?),
            Part::Parameter(_, kind) if kind.holds(token) => parameters.push(token.to_owned()),
            Part::Parameter(..) => return None,
        }
    }
    tokens.next().is_none().then_some(parameters)
}
