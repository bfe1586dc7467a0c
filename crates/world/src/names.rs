//! Names and words that people type: what is taken off them, and which one they may have meant.

/// Longest word shown back in a refusal, in characters.
const SHOWN_CHARS: usize = 40;

/// A typed text without what no terminal should get: control characters, and those that turn the direction of
/// writing or are not seen at all.
pub(crate) fn clean(text: &str) -> String {
    // Every byte is looked at before anything is decided: the compiler looks at many at a time.
    if text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte)) {
        return text.trim().to_owned();
    }
    let visible = |c: char| match c {
        '\t' | '\n' | '\r' => Some(' '),
        c if c.is_control() => None,
        '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => None,
        c => Some(c),
    };
    let cleaned: String = text.chars().filter_map(visible).collect();
    cleaned.trim().to_owned()
}

/// The first word and the rest, both trimmed.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

/// A word to show back: of a length that fits a line.
pub(crate) fn shown(word: &str) -> String {
    word.chars().take(SHOWN_CHARS).collect()
}

/// Whether two names are the same: without regard to case.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

/// How well a typed text fits one of several words: 0 the same, 1 the beginning, 2 a whole word of it.
pub(crate) fn fit(typed: &str, name: &str) -> Option<u8> {
    let (typed, name) = (typed.to_lowercase(), name.to_lowercase());
    if typed.is_empty() {
        None
    } else if typed == name {
        Some(0)
    } else if name.starts_with(&typed) {
        Some(1)
    } else {
        name.split_whitespace().any(|word| word == typed).then_some(2)
    }
}

/// The word that was probably meant, if one is near.
pub(crate) fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let length = typed.chars().count();
    if !(2..=20).contains(&length) {
        return None;
    }
    let allowed = if length <= 4 { 1 } else { 2 };
    words
        .filter(|word| word.len() > 1)
        .map(|word| (strsim::damerau_levenshtein(&typed, word), word))
        .map(|(far, word)| if word.starts_with(&typed) { (1, word) } else { (far, word) })
        .filter(|(far, _)| *far <= allowed)
        .min_by_key(|(far, word)| (*far, word.len()))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let words = ["say", "whisper", "look", "local", "n"];
        for (typed, near) in [
            ("sya", Some("say")),
            ("whsiper", Some("whisper")),
            ("whis", Some("whisper")),
            ("lok", Some("look")),
            ("xyzzy", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, words.into_iter()), near, "{typed}");
        }
    }

    #[test]
    fn what_no_terminal_should_get_is_taken_off() {
        assert_eq!(clean("  a\u{1b}[31mb\u{0}\tc\u{202e}\u{9b}d\r\n "), "a[31mb cd");
    }
}
