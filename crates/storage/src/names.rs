//! Names of accounts and characters: what is allowed, and the key under which two that look alike are one.
//!
//! The key is made so: NFKC, lower case, then each letter or digit that looks like a Latin one becomes that one
//! (common Cyrillic and Greek letters, digits; `i`, `l` and `1` are one, `m` is `rn`). Separators stay. A name in
//! one script is allowed, a mixture is not, so that what the table does not know cannot be built letter by letter.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// Fewest and most letters of a character's name: long enough to speak, short enough for a line of `who`.
pub const CHARACTER_LETTERS: std::ops::RangeInclusive<usize> = 2..=20;
/// Fewest and most characters of a username.
pub const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 2..=32;
/// Longest text that is looked at, in bytes, so that a long one costs nothing.
const RAW_BYTES_MAX: usize = 256;

/// Names that would speak for somebody else. Compared by key.
const RESERVED: &[&str] = &[
    "admin",
    "administrator",
    "all",
    "anyone",
    "builder",
    "channel",
    "console",
    "everybody",
    "everyone",
    "global",
    "guest",
    "here",
    "him",
    "her",
    "host",
    "local",
    "me",
    "mod",
    "moderator",
    "myself",
    "nobody",
    "none",
    "npc",
    "null",
    "official",
    "operator",
    "owner",
    "party",
    "player",
    "root",
    "self",
    "server",
    "someone",
    "staff",
    "support",
    "system",
    "them",
    "tidings",
    "unknown",
    "who",
    "world",
    "you",
];

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too few or too many letters.
    #[error("a name takes {} to {} letters", CHARACTER_LETTERS.start(), CHARACTER_LETTERS.end())]
    CharacterLength,
    /// Something beside letters and one separator.
    #[error("a name takes letters, and one hyphen or apostrophe between them")]
    CharacterForm,
    /// Too few or too many characters.
    #[error("a username takes {} to {} characters", USERNAME_CHARS.start(), USERNAME_CHARS.end())]
    UsernameLength,
    /// Something that a username does not take.
    #[error("a username takes letters, digits, and '-', '_' or '.' between them")]
    UsernameForm,
    /// Letters of two scripts.
    #[error("a name takes the letters of one alphabet")]
    Mixed,
    /// Speaks for somebody else.
    #[error("this name is reserved")]
    Reserved,
}

/// A character's name that is allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct CharacterName {
    shown: String,
    key: String,
}

impl CharacterName {
    /// Checks a name that a player chose.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let name = Self::unreserved(text)?;
        if is_reserved(&name.key) { Err(NameError::Reserved) } else { Ok(name) }
    }

    /// The name of a guest's character: `Guest-4821`. The only names with digits, so nobody chooses one.
    pub fn guest(number: u32) -> Self {
        let shown = format!("Guest-{number}");
        let key = name_key(&shown);
        Self { shown, key }
    }

    fn unreserved(text: &str) -> Result<Self, NameError> {
        let shown = normal(text).ok_or(NameError::CharacterLength)?;
        let letters = shown.chars().filter(|c| c.is_alphabetic()).count();
        if !CHARACTER_LETTERS.contains(&letters) {
            return Err(NameError::CharacterLength);
        }
        let separators = shown.chars().filter(|c| matches!(c, '-' | '\'')).count();
        let inner = shown.starts_with(char::is_alphabetic) && shown.ends_with(char::is_alphabetic);
        if separators > 1 || separators + letters != shown.chars().count() || !inner {
            return Err(NameError::CharacterForm);
        }
        one_script(&shown)?;
        let key = name_key(&shown);
        Ok(Self { shown, key })
    }

    /// As it is shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The key that no other character's name may have.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A username that is allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct Username {
    shown: String,
    key: String,
}

impl Username {
    /// Checks a username.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let shown = normal(text).ok_or(NameError::UsernameLength)?;
        if !USERNAME_CHARS.contains(&shown.chars().count()) {
            return Err(NameError::UsernameLength);
        }
        let solid = |c: char| c.is_alphabetic() || c.is_ascii_digit();
        let inner = shown.starts_with(solid) && shown.ends_with(solid);
        if !inner || !shown.chars().all(|c| solid(c) || matches!(c, '-' | '_' | '.')) {
            return Err(NameError::UsernameForm);
        }
        one_script(&shown)?;
        let key = name_key(&shown);
        Ok(Self { shown, key })
    }

    /// Whether it is one that registration does not give away; the command line may.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.key)
    }

    /// As it is shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The key that no other account's name may have.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for CharacterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

/// The key of a name, of one that is allowed or any other: what is looked up.
pub fn name_key(text: &str) -> String {
    let end = (0..=text.len().min(RAW_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut key = String::new();
    for c in text[..end].trim().nfkc().flat_map(char::to_lowercase).nfkc() {
        match look(c) {
            Some(alike) => key.push_str(alike),
            None => key.push(c),
        }
    }
    key
}

fn is_reserved(key: &str) -> bool {
    RESERVED.iter().any(|word| name_key(word) == key)
}

/// NFKC without surrounding space, with one kind of apostrophe and hyphen; `None`: too long to be a name.
fn normal(text: &str) -> Option<String> {
    if text.len() > RAW_BYTES_MAX {
        return None;
    }
    let one_kind = |c: char| match c {
        '\u{2019}' | '\u{2018}' | '\u{02bc}' => '\'',
        '\u{2010}' | '\u{2011}' => '-',
        other => other,
    };
    Some(text.trim().nfkc().map(one_kind).collect())
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Other(u32),
}

/// By block; of other scripts, 256 code points are near enough to one alphabet.
fn script(c: char) -> Script {
    match u32::from(c) {
        0x41..=0x24f | 0x1e00..=0x1eff => Script::Latin,
        0x370..=0x3ff | 0x1f00..=0x1fff => Script::Greek,
        0x400..=0x52f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => Script::Cyrillic,
        // Kana and Han stand together in one name, and Hangul fills many blocks.
        0x3040..=0x30ff | 0x4e00..=0x9fff => Script::Other(0x30),
        0xac00..=0xd7a3 => Script::Other(0xac),
        other => Script::Other(other >> 8),
    }
}

fn one_script(text: &str) -> Result<(), NameError> {
    let mut letters = text.chars().filter(|c| c.is_alphabetic()).map(script);
    let first = letters.next();
    if letters.all(|next| Some(next) == first) { Ok(()) } else { Err(NameError::Mixed) }
}

/// What a lower-case letter or a digit looks like, in either case of it, where that is another character.
fn look(c: char) -> Option<&'static str> {
    Some(match c {
        '0' => "o",
        '1' | 'i' | '|' | 'ı' | 'ɩ' | 'ι' | 'і' | 'ї' | 'ӏ' | 'ǀ' => "l",
        'm' | 'м' | 'μ' | 'µ' => "rn",
        'α' | 'а' | 'ɑ' => "a",
        'β' | 'в' | 'ß' => "b",
        'с' | 'ϲ' => "c",
        'ԁ' | 'đ' => "d",
        'ε' | 'е' | 'ё' | 'є' => "e",
        'ɡ' | 'ց' => "g",
        'η' | 'н' | 'һ' => "h",
        'ј' | 'ϳ' => "j",
        'κ' | 'к' | 'қ' => "k",
        'ν' | 'п' => "n",
        'ο' | 'о' | 'ө' | 'ø' => "o",
        'ρ' | 'р' | 'þ' => "p",
        'ԛ' => "q",
        'г' => "r",
        'ѕ' => "s",
        'τ' | 'т' => "t",
        'υ' | 'ц' => "u",
        'ѵ' => "v",
        'ω' | 'ԝ' | 'ѡ' => "w",
        'χ' | 'х' => "x",
        'у' | 'γ' | 'ү' => "y",
        'ζ' => "z",
        'з' | 'ʒ' => "3",
        'ς' => "σ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_allowed_keep_their_form() {
        for (text, shown) in [
            ("Ann", "Ann"),
            ("  Mary-Jane ", "Mary-Jane"),
            ("O\u{2019}Neil", "O'Neil"),
            ("Żółć", "Żółć"),
            ("Ольга", "Ольга"),
            ("Νίκος", "Νίκος"),
            ("Ａｎｎ", "Ann"),
            ("あかり", "あかり"),
        ] {
            assert_eq!(CharacterName::new(text).expect(text).shown(), shown);
        }
    }

    #[test]
    fn names_that_are_not_allowed_say_why() {
        use NameError::*;
        for (text, why) in [
            ("", CharacterLength),
            ("A", CharacterLength),
            ("Abcdefghijklmnopqrstu", CharacterLength),
            ("A--b", CharacterForm),
            ("A-b-c", CharacterForm),
            ("-Ann", CharacterForm),
            ("Ann'", CharacterForm),
            ("Ann Lee", CharacterForm),
            ("Ann\u{202e}", CharacterForm),
            ("Ann\n", CharacterForm),
            ("<b>Ann", CharacterForm),
            ("Ann7", CharacterForm),
            ("a.b", CharacterForm),
            ("a*>", CharacterLength),
            ("Аnn", Mixed), // a Cyrillic A
            ("System", Reserved),
            ("ADMIN", Reserved),
        ] {
            // A line break at the end is surrounding space, and goes.
            let text = if text == "Ann\n" { "An\nn" } else { text };
            assert_eq!(CharacterName::new(text).map(|name| name.shown), Err(why), "{text:?}");
        }
    }

    #[test]
    fn look_alikes_have_one_key() {
        for (one, other) in [
            ("Ann", "aNN"),
            ("Ann", "Аnn"),
            ("Ace", "Асе"),
            ("Bill", "BiII"),
            ("Bob", "B0b"),
            ("Amo", "Arno"),
            ("Ann", "Ａｎｎ"),
            ("Νικος", "ΝΙΚΟΣ"),
            ("KATE", "КАТЕ"),
            ("Straße", "STRAßE"),
        ] {
            assert_eq!(name_key(one), name_key(other), "{one} {other}");
        }
        for (one, other) in [("Ann", "Anne"), ("Ben", "Bea"), ("Mary-Jane", "Maryjane"), ("Eva", "Ena")] {
            assert_ne!(name_key(one), name_key(other), "{one} {other}");
        }
    }

    #[test]
    fn nobody_chooses_a_guests_name() {
        assert_eq!(CharacterName::guest(4821).shown(), "Guest-4821");
        assert!(CharacterName::new("Guest-4821").is_err());
    }

    #[test]
    fn usernames_take_digits_and_separators() {
        for good in ["ann", "ann7", "ann.lee", "a_b", "admin", "player-01", "ольга"] {
            Username::new(good).expect(good);
        }
        for bad in ["", "a", ".ann", "ann-", "a b", "a@b", "a*b", "ann\0", &"x".repeat(33), &"x".repeat(9000)]
        {
            assert!(Username::new(bad).is_err(), "{bad:?}");
        }
        assert!(Username::new("Admin").expect("a name").is_reserved());
    }

    #[test]
    fn any_text_has_a_key() {
        for text in ["", "\u{0}", "ﷺﷺﷺ", &"ß".repeat(4000)] {
            assert!(name_key(text).len() < 8192, "{}", text.len());
        }
    }
}
