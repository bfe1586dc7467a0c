//! The tokens of a subject: the kinds a parameter may have, and how any text becomes one token.

/// Longest slug: that of places.
const SLUG_BYTES_MAX: usize = 40;
/// An id is a UUID as hex digits.
const ID_BYTES: usize = 32;
/// What a parameter may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Slug,
    Place,
    Id,
    Token,
}

impl Kind {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "slug" => Self::Slug,
            "place" => Self::Place,
            "id" => Self::Id,
            "token" => Self::Token,
            _ => return None,
        })
    }

    /// Whether a token as it stands in a subject is one of this kind.
    pub(crate) fn holds(self, token: &str) -> bool {
        match self {
            Self::Slug => is_slug(token),
            Self::Place => is_place(token),
            Self::Id => is_id(token),
            Self::Token => unescape_token(token).is_some(),
        }
    }

    /// Whether some token is of both kinds.
    pub(crate) fn meets(self, other: Self) -> bool {
        !matches!((self, other), (Self::Slug | Self::Id, Self::Place) | (Self::Place, Self::Slug | Self::Id))
    }

    pub(crate) fn form(self) -> &'static str {
        match self {
            Self::Slug => "1 to 40 of a-z, 0-9 and -",
            Self::Place => "<zone>_<name>, each 1 to 40 of a-z, 0-9 and -",
            Self::Id => "32 lower-case hex digits",
            Self::Token => "a text that is not empty",
        }
    }
}

fn is_slug(text: &str) -> bool {
    (1..=SLUG_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_place(text: &str) -> bool {
    text.split_once('_').is_some_and(|(zone, name)| is_slug(zone) && is_slug(name))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Any text as one token: letters, digits, `-` and `_` stand for themselves, every other byte is `=` and two
/// upper-case hex digits. Injective; an empty text stays empty, which no subject takes.
pub fn escape_token(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    out
}

pub(crate) fn push_escaped(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('=');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The text an escaped token stands for, if it is one that [`escape_token`] makes.
pub fn unescape_token(token: &str) -> Option<String> {
    let mut out = Vec::with_capacity(token.len());
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        if is_plain(byte) {
            out.push(byte);
        } else if byte == b'=' {
            let value = hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?;
            if is_plain(value) {
                return None;
            }
            out.push(value);
        } else {
            return None;
        }
    }
    if out.is_empty() { None } else { String::from_utf8(out).ok() }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
