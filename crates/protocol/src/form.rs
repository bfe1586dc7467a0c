//! Whether bytes have the form of a protobuf message: what decoding would find, without making anything of it.
//!
//! What crosses the bus is checked on its way out, and in where it comes from another process, and an event has a dozen readers: a check that allocates would cost
//! more than what it guards. The tables of the messages are made by the build from `proto/`.

use std::fmt;

/// How deep messages may lie in each other: prost's own limit, so that what is found good here can be decoded.
const DEPTH_MAX: u32 = 100;

/// The form of a message.
#[derive(Debug)]
pub struct Form {
    /// What each number is, up to the highest that is known.
    fields: &'static [Kind],
}

/// What a field holds. Not every kind is in every version of `proto/`.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code)]
enum Kind {
    /// There is no such field in this version.
    Unknown,
    Varint,
    Fixed32,
    Fixed64,
    /// Numbers, each for itself or all in one.
    Many(Wire),
    Bytes,
    Text,
    Message(&'static Form),
    /// An entry of a map.
    Entry(&'static Form),
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Fixed64,
    Delimited,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// Why bytes are no message of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormError {
    /// They end in the middle.
    Truncated,
    /// A number of more than 64 bits.
    Number,
    /// A field is written in another way than its kind is.
    Wire,
    /// An entry of a map is. Decoding does not look at how it says that it is written: this alone is more strict.
    Entry,
    /// A text that is no UTF-8.
    Utf8,
    /// Messages too deep in each other.
    Depth,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it ends in the middle",
            Self::Number => "a number is too long",
            Self::Wire | Self::Entry => "a field has another kind",
            Self::Utf8 => "a text is not UTF-8",
            Self::Depth => "it is too deep",
        })
    }
}

impl std::error::Error for FormError {}

impl Form {
    /// Whether these bytes decode as the message (and the entries of maps say how they are written). Fields that are not known are never wrong.
    pub fn check(&'static self, bytes: &[u8]) -> Result<(), FormError> {
        self.walk(bytes, DEPTH_MAX)
    }

    fn walk(&'static self, mut left: &[u8], depth: u32) -> Result<(), FormError> {
        loop {
            let begun = left;
            let next = next(&mut left, depth).map_err(|error| self.cut_off(begun, error))?;
            let Some((number, value)) = next else { return Ok(()) };
            match (self.kind(number), value) {
                (Kind::Text, Value::Delimited(bytes)) => check_text(bytes)?,
                (Kind::Message(form) | Kind::Entry(form), Value::Delimited(bytes)) => {
                    form.walk(bytes, depth.checked_sub(1).ok_or(FormError::Depth)?)?;
                }
                (Kind::Unknown, _) if depth == 0 => return Err(FormError::Depth),
                (Kind::Unknown, _) => {}
                (kind, value) => kind.check(value)?,
            }
        }
    }

    fn kind(&self, number: u32) -> Kind {
        let kind = usize::try_from(number).ok().and_then(|number| self.fields.get(number));
        kind.copied().unwrap_or(Kind::Unknown)
    }

    /// A map's entry that is not written as one is that first, whether it is cut off or not.
    fn cut_off(&self, mut begun: &[u8], error: FormError) -> FormError {
        match key(&mut begun) {
            Ok((number, wire)) if wire != Wire::Delimited && matches!(self.kind(number), Kind::Entry(_)) => {
                FormError::Entry
            }
            _ => error,
        }
    }
}

impl Kind {
    /// What neither is a text nor lies deeper.
    fn check(self, value: Value<'_>) -> Result<(), FormError> {
        match (self, value) {
            (Self::Varint, Value::Number(_))
            | (Self::Fixed32, Value::Fixed32)
            | (Self::Fixed64, Value::Fixed64)
            | (Self::Bytes, Value::Delimited(_))
            | (Self::Many(Wire::Varint), Value::Number(_))
            | (Self::Many(Wire::Fixed32), Value::Fixed32)
            | (Self::Many(Wire::Fixed64), Value::Fixed64) => Ok(()),
            (Self::Many(each), Value::Delimited(mut packed)) => {
                while !packed.is_empty() {
                    number(each, &mut packed)?;
                }
                Ok(())
            }
            (Self::Entry(_), _) => Err(FormError::Entry),
            _ => Err(FormError::Wire),
        }
    }
}

/// Most texts are ASCII, which is seen sixteen bytes at a time.
fn check_text(bytes: &[u8]) -> Result<(), FormError> {
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() { Ok(()) } else { Err(FormError::Utf8) }
}

#[inline]
fn key(left: &mut &[u8]) -> Result<(u32, Wire), FormError> {
    let key = u32::try_from(varint(left)?).map_err(|_| FormError::Number)?;
    let wire = match key & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Delimited,
        3 => Wire::GroupStart,
        4 => Wire::GroupEnd,
        5 => Wire::Fixed32,
        _ => return Err(FormError::Wire),
    };
    if key >> 3 == 0 { Err(FormError::Wire) } else { Ok((key >> 3, wire)) }
}

#[inline]
pub(crate) fn varint(left: &mut &[u8]) -> Result<u64, FormError> {
    match *left {
        [byte @ 0..0x80, rest @ ..] => {
            *left = rest;
            Ok(u64::from(*byte))
        }
        [low, high @ 0..0x80, rest @ ..] => {
            *left = rest;
            Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
        }
        _ => long_varint(left),
    }
}

fn long_varint(left: &mut &[u8]) -> Result<u64, FormError> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = left.split_first().ok_or(FormError::Truncated)?;
        *left = rest;
        value |= u64::from(byte & 0x7f) << (place * 7);
        if *byte < 0x80 {
            // The tenth byte has one bit of the 64.
            return if place == 9 && *byte > 1 { Err(FormError::Number) } else { Ok(value) };
        }
    }
    Err(FormError::Number)
}

fn number(wire: Wire, left: &mut &[u8]) -> Result<(), FormError> {
    match wire {
        Wire::Varint => varint(left).map(drop),
        Wire::Fixed32 => take(left, 4).map(drop),
        Wire::Fixed64 => take(left, 8).map(drop),
        _ => Err(FormError::Wire),
    }
}

#[inline]
fn delimited<'a>(left: &mut &'a [u8]) -> Result<&'a [u8], FormError> {
    let bytes = varint(left)?;
    take(left, usize::try_from(bytes).map_err(|_| FormError::Truncated)?)
}

#[inline]
fn take<'a>(left: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], FormError> {
    let (taken, rest) = left.split_at_checked(bytes).ok_or(FormError::Truncated)?;
    *left = rest;
    Ok(taken)
}

/// What a field of a message holds, where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    Delimited(&'a [u8]),
    Fixed32,
    Fixed64,
    /// No message of ours has one.
    Group,
}

impl<'a> Value<'a> {
    pub(crate) fn number(self) -> Result<u64, FormError> {
        if let Self::Number(number) = self { Ok(number) } else { Err(FormError::Wire) }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], FormError> {
        if let Self::Delimited(bytes) = self { Ok(bytes) } else { Err(FormError::Wire) }
    }

    pub(crate) fn text(self) -> Result<&'a str, FormError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| FormError::Utf8)
    }
}

/// The next field of a message, with its number; `None` at the end.
#[inline]
pub(crate) fn field<'a>(left: &mut &'a [u8]) -> Result<Option<(u32, Value<'a>)>, FormError> {
    next(left, DEPTH_MAX)
}

/// The same, in a message that lies so deep.
#[inline]
fn next<'a>(left: &mut &'a [u8], depth: u32) -> Result<Option<(u32, Value<'a>)>, FormError> {
    // Most fields have a key of one byte and a length of one or two.
    let (key, bytes, rest) = match *left {
        [] => return Ok(None),
        [key @ 0x08..0x80, bytes @ 0..0x80, rest @ ..] if key & 7 == 2 => (key, usize::from(*bytes), rest),
        [key @ 0x08..0x80, low, high @ 0..0x80, rest @ ..] if key & 7 == 2 => {
            (key, usize::from(low & 0x7f) | usize::from(*high) << 7, rest)
        }
        _ => return any(left, depth).map(Some),
    };
    let (bytes, rest) = rest.split_at_checked(bytes).ok_or(FormError::Truncated)?;
    *left = rest;
    Ok(Some((u32::from(key >> 3), Value::Delimited(bytes))))
}

fn any<'a>(left: &mut &'a [u8], depth: u32) -> Result<(u32, Value<'a>), FormError> {
    let (number, wire) = key(left)?;
    let value = match wire {
        Wire::Varint => Value::Number(varint(left)?),
        Wire::Delimited => Value::Delimited(delimited(left)?),
        Wire::Fixed32 => take(left, 4).map(|_| Value::Fixed32)?,
        Wire::Fixed64 => take(left, 8).map(|_| Value::Fixed64)?,
        Wire::GroupStart | Wire::GroupEnd => {
            skip(number, wire, left, depth)?;
            Value::Group
        }
    };
    Ok((number, value))
}

/// A field that is not known.
fn skip(field: u32, wire: Wire, left: &mut &[u8], depth: u32) -> Result<(), FormError> {
    if depth == 0 {
        return Err(FormError::Depth);
    }
    match wire {
        Wire::Varint | Wire::Fixed32 | Wire::Fixed64 => number(wire, left),
        Wire::Delimited => delimited(left).map(drop),
        Wire::GroupEnd => Err(FormError::Wire),
        Wire::GroupStart => loop {
            match key(left)? {
                (end, Wire::GroupEnd) if end == field => return Ok(()),
                (_, Wire::GroupEnd) => return Err(FormError::Wire),
                (inner, wire) => skip(inner, wire, left, depth - 1)?,
            }
        },
    }
}

include!(concat!(env!("OUT_DIR"), "/forms.rs"));
