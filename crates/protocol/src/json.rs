//! JSON written piece by piece, for what is written most: the same bytes that serde writes, without a serializer
//! between each.

use serde::Serialize;

use crate::ids::Digits;

/// A text.
pub fn string(out: &mut Vec<u8>, text: &str) {
    if !is_plain(text) {
        return value(out, &text);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether a text is the same within quotes as without. Looks at every byte, and decides nothing in between: so the
/// compiler looks at many at a time.
pub fn is_plain(text: &str) -> bool {
    !text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}

/// An id.
pub fn id(out: &mut Vec<u8>, id: Digits) {
    out.push(b'"');
    out.extend_from_slice(id.as_bytes());
    out.push(b'"');
}

/// Anything else.
pub fn value(out: &mut Vec<u8>, value: &impl Serialize) {
    value.serialize(&mut serde_json::Serializer::new(out)).expect("what has a form is written into memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_written_as_any_json_is() {
        let letters = (0..0x80_u8).map(char::from).chain(['ü', '\u{2028}', '🙂']);
        for letter in letters {
            for text in [letter.to_string(), format!("before {letter} and after"), String::new()] {
                let mut out = Vec::new();
                string(&mut out, &text);
                assert_eq!(out, serde_json::to_vec(&text).expect("a text is JSON"), "{text:?}");
            }
        }
    }
}
