//! A subject and a pattern: made by the registry alone, so that what is in them was checked.

use std::fmt;
use std::sync::Arc;

use crate::registry::Class;

/// Longest subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// A checked subject. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Arc<Inner>);

#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Inner {
    text: Box<str>,
    template: u16,
    class: Class,
}

impl Subject {
    pub(crate) fn new(text: String, template: u16, class: Class) -> Self {
        Self(Arc::new(Inner { text: text.into(), template, class }))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Its delivery class: it belongs to the subject, a caller does not choose it.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The index of its template in the registry.
    pub fn template(&self) -> u16 {
        self.0.template
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// A checked pattern to subscribe to: `*` is one token, `>` is all that follow.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pattern(Arc<str>);

impl Pattern {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::convert::From<&Subject> for Pattern {
    fn from(subject: &Subject) -> Self {
        Self(subject.as_str().into())
    }
}
