//! A subject and a pattern: made by the registry alone, so that what is in them was checked.

use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::registry::{Class, SlowReader};

/// Longest subject, in bytes: the limit the NATS server's own tools keep to.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// The template index of a subject the bus made for itself.
pub(crate) const NO_TEMPLATE: u16 = u16::MAX;

/// A checked subject. Cheap to clone; equal and ordered by its text, its hash computed once.
#[derive(Clone)]
pub struct Subject(Arc<Inner>);

struct Inner {
    hash: u64,
    template: u16,
    class: Class,
    slow: SlowReader,
    /// As the client takes it: cloned without copying.
    text: async_nats::Subject,
}

pub(crate) fn text_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl Subject {
    pub(crate) fn new(text: String, template: u16, class: Class, slow: SlowReader) -> Self {
        let hash = text_hash(&text);
        // Without room to spare: what has some is copied once more.
        let text = text.into_boxed_str().into_string().into();
        Self(Arc::new(Inner { hash, template, class, slow, text }))
    }

    /// A subject of the bus's own making, or one read from a store before anybody named it.
    pub(crate) fn internal(text: String, class: Class) -> Self {
        Self::new(text, NO_TEMPLATE, class, SlowReader::Refuse)
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// As the NATS client takes it.
    pub(crate) fn wire(&self) -> async_nats::Subject {
        self.0.text.clone()
    }

    /// The hash of its text.
    pub(crate) fn key(&self) -> u64 {
        self.0.hash
    }

    /// Its delivery class: it belongs to the subject, a caller does not choose it.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The index of its template in the registry.
    pub fn template(&self) -> u16 {
        self.0.template
    }

    /// What happens to a subscriber of it that does not keep up.
    pub fn slow(&self) -> SlowReader {
        self.0.slow
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash == other.0.hash && self.0.text == other.0.text)
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.text.cmp(&other.0.text)
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

/// A checked pattern to subscribe to: literal tokens, and `*` for any one token.
#[derive(Clone)]
pub struct Pattern(Arc<PatternInner>);

struct PatternInner {
    text: Box<str>,
    template: u16,
    class: Class,
    wild: bool,
}

impl Pattern {
    pub(crate) fn new(text: String, template: u16, class: Class) -> Self {
        let wild = text.split('.').any(|token| token == "*");
        Self(Arc::new(PatternInner { text: text.into(), template, class, wild }))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The delivery class of its template.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The index of its template in the registry.
    pub fn template(&self) -> u16 {
        self.0.template
    }

    /// Whether it holds a wildcard.
    pub fn is_wild(&self) -> bool {
        self.0.wild
    }

    /// Whether a subject is one of its.
    pub fn matches(&self, subject: &Subject) -> bool {
        matches_text(&self.0.text, subject.as_str())
    }
}

/// Whether `subject` has the form of `pattern`: token by token, `*` for any one.
pub(crate) fn matches_text(pattern: &str, subject: &str) -> bool {
    let mut theirs = subject.split('.');
    for mine in pattern.split('.') {
        match theirs.next() {
            Some(token) if mine == "*" || mine == token => {}
            _ => return false,
        }
    }
    theirs.next().is_none()
}

impl std::convert::From<&Subject> for Pattern {
    fn from(subject: &Subject) -> Self {
        Self::new(subject.as_str().to_owned(), subject.template(), subject.class())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// Spreads a key that is a hash, or a counter, already: one multiplication instead of a second hash.
#[derive(Default, Clone, Copy)]
pub(crate) struct KeyHasher(u64);

/// The odd multiplier of Fibonacci hashing (2^64 / golden ratio): spreads low bits to the high ones.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(SPREAD);
        }
    }

    fn write_u64(&mut self, value: u64) {
        let spread = value.wrapping_mul(SPREAD);
        self.0 = spread ^ (spread >> 32);
    }
}

/// A map by subject or by number that does not hash a second time.
pub(crate) type KeyMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<KeyHasher>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_token_by_token() {
        for (pattern, subject, expected) in [
            ("room.*.log", "room.a.log", true),
            ("room.*.log", "room.a.hint", false),
            ("room.*.log", "room.a", false),
            ("room.*", "room.a.log", false),
            ("room.a.log", "room.a.log", true),
            ("*.*", "a.b", true),
        ] {
            assert_eq!(matches_text(pattern, subject), expected, "{pattern} over {subject}");
        }
    }
}
