//! A builder's mistake, named by file and line, and the list they are gathered in.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use super::limits::MISTAKES_MAX;

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The world loads; somebody should look.
    Warning,
    /// The world does not load.
    Error,
}

/// A mistake in a world's files. Shown as `zones/harbour.toml:12: unknown key ...`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mistake {
    /// The file's path inside the world's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}", self.file, self.line, self.message)
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: String,
    pub line: usize,
}

/// The mistakes found so far, bounded: past [`MISTAKES_MAX`] they are only counted.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: RefCell<Vec<Mistake>>,
    dropped: RefCell<usize>,
}

impl Report {
    pub fn error(&self, place: &Place, message: impl Into<String>) {
        self.add(place, message.into(), Severity::Error);
    }

    pub fn warning(&self, place: &Place, message: impl Into<String>) {
        self.add(place, message.into(), Severity::Warning);
    }

    fn add(&self, place: &Place, message: String, severity: Severity) {
        let mut found = self.found.borrow_mut();
        if found.len() < MISTAKES_MAX {
            found.push(Mistake { file: place.file.clone(), line: place.line, message, severity });
        } else {
            *self.dropped.borrow_mut() += 1;
        }
    }

    /// Whether no more are kept: the costly search for what was meant is not worth it then.
    pub fn is_full(&self) -> bool {
        self.found.borrow().len() >= MISTAKES_MAX
    }

    /// All of them in the order of files and lines.
    pub fn into_sorted(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
        found.dedup();
        let dropped = self.dropped.into_inner();
        if let (true, Some(last)) = (dropped > 0, found.last()) {
            let message = format!("{dropped} more mistakes; the first {MISTAKES_MAX} are shown");
            let (file, line) = (last.file.clone(), last.line);
            found.push(Mistake { file, line, message, severity: Severity::Error });
        }
        found
    }
}

/// A file with its lines, to turn an offset into a line.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub report: &'a Report,
    /// Its syntax is wrong somewhere: what is missing may only be what could not be read.
    pub broken: std::cell::Cell<bool>,
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub fn new(file: &'a str, text: &'a str, report: &'a Report) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { file, report, broken: false.into(), starts: std::iter::once(0).chain(newlines).collect() }
    }

    pub fn place(&self, span: Range<usize>) -> Place {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        Place { file: self.file.to_owned(), line }
    }

    pub fn top(&self) -> Place {
        Place { file: self.file.to_owned(), line: 1 }
    }
}

/// Characters compared at most: what is longer is nothing that somebody meant.
const COMPARED_CHARS_MAX: usize = 40;

/// The candidate that `text` was probably meant to be.
pub(super) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if text.chars().nth(COMPARED_CHARS_MAX).is_some() {
        return None;
    }
    let text = text.to_lowercase();
    let far = (text.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&text, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `text` as it is shown in a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(COMPARED_CHARS_MAX).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("{}{more}", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_a_line() {
        let report = Report::default();
        let source = Source::new("a.toml", "one\ntwo\n\nfour", &report);
        for (offset, line) in [(0, 1), (3, 1), (4, 2), (8, 3), (9, 4), (99, 4)] {
            assert_eq!(source.place(offset..offset).line, line, "offset {offset}");
        }
    }

    #[test]
    fn what_was_meant_is_found_and_nonsense_is_not() {
        let known = ["name", "description", "exits"];
        assert_eq!(nearest("descripton", known), Some("description"));
        assert_eq!(nearest("Exit", known), Some("exits"));
        assert_eq!(nearest("zzzzzz", known), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
    }

    #[test]
    fn mistakes_beyond_the_bound_are_counted() {
        let report = Report::default();
        for line in 0..MISTAKES_MAX + 7 {
            report.error(&Place { file: "a".into(), line }, "wrong");
        }
        let all = report.into_sorted();
        assert_eq!(all.len(), MISTAKES_MAX + 1);
        assert!(all.last().expect("some").message.starts_with("7 more"));
    }
}
