//! Reading what a client sends: bounded in depth before it is parsed, refused by name, explained without repeating
//! any value, since a value may be a token.

use std::fmt;

use crate::frames::{ClientFrame, FRAME_ID_BYTES_MAX};
use crate::json;

/// Longest name of a type or field that an explanation repeats, in characters.
const SHOWN_CHARS_MAX: usize = 120;

/// Why a frame was refused: what metrics count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameErrorKind {
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON.
    NotJson,
    /// Nested deeper than allowed.
    TooDeep,
    /// A type that clients do not send.
    UnknownType,
    /// A field that the type does not have, or one twice.
    UnknownField,
    /// JSON of another form: a list, a missing field, a number for a text, an id that is too long.
    Form,
}

impl FrameErrorKind {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::TooDeep => "too_deep",
            Self::UnknownType => "unknown_type",
            Self::UnknownField => "unknown_field",
            Self::Form => "form",
        }
    }
}

/// A refused frame: the `message` of its `error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FrameError {
    /// What it is counted as.
    pub kind: FrameErrorKind,
    /// A sentence for people.
    pub message: String,
}

fn refused(kind: FrameErrorKind, message: impl fmt::Display) -> FrameError {
    FrameError { kind, message: message.to_string() }
}

/// Reads a client's frame, nested at most `depth_max` deep (0: any depth).
pub fn client_frame(bytes: &[u8], depth_max: usize) -> Result<ClientFrame, FrameError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| refused(FrameErrorKind::NotUtf8, "A frame has to be UTF-8."))?;
    client_text(text, depth_max)
}

/// As [`client_frame`], of what is known to be UTF-8.
pub fn client_text(text: &str, depth_max: usize) -> Result<ClientFrame, FrameError> {
    let frame = match plain_command(text) {
        Some(command) => command,
        None => {
            scan(text.as_bytes(), depth_max)?;
            serde_json::from_str(text).map_err(|error| explain(&error))?
        }
    };
    check_id(&frame)?;
    Ok(frame)
}

/// A command as nearly all of them are written: without white space, its fields in this order, nothing escaped. `None`:
/// it is another frame, or has to be parsed.
fn plain_command(text: &str) -> Option<ClientFrame> {
    let rest = text.strip_prefix(r#"{"type":"command","id":""#)?;
    let (id, rest) = rest.split_at(rest.bytes().position(|byte| byte == b'"')?);
    let line = rest.strip_prefix(r#"","text":""#)?.strip_suffix(r#""}"#)?;
    let is_plain = json::is_plain(id) && json::is_plain(line);
    is_plain.then(|| ClientFrame::Command { id: id.to_owned(), text: line.to_owned() })
}

/// Looks for depth and lists without parsing. No client frame holds a list, and serde would take one for an object
/// whose fields come in order.
fn scan(bytes: &[u8], depth_max: usize) -> Result<(), FrameError> {
    // Braces within texts too: who has none too many even so is not looked at byte by byte.
    let braces = bytes.iter().filter(|byte| **byte == b'{').count();
    if !bytes.contains(&b'[') && (depth_max == 0 || braces <= depth_max) {
        return Ok(());
    }
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' => return Err(refused(FrameErrorKind::Form, "A client's frame holds no list.")),
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth_max != 0 && depth > depth_max {
            let message = format!("A frame may be nested {depth_max} deep at most.");
            return Err(refused(FrameErrorKind::TooDeep, message));
        }
    }
    Ok(())
}

fn explain(error: &serde_json::Error) -> FrameError {
    if error.is_syntax() || error.is_eof() {
        let (line, column) = (error.line(), error.column());
        return refused(
            FrameErrorKind::NotJson,
            format!("A frame has to be JSON (line {line}, column {column})."),
        );
    }
    let text = error.to_string();
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect::<String>().escape_debug().to_string();
    match text.split_whitespace().next() {
        Some("unknown") if text.starts_with("unknown variant") => {
            refused(FrameErrorKind::UnknownType, format!("No client sends this: {shown}."))
        }
        Some("unknown" | "duplicate") => {
            refused(FrameErrorKind::UnknownField, format!("Not a field to send: {shown}."))
        }
        Some("missing") => refused(FrameErrorKind::Form, format!("Incomplete: {shown}.")),
        _ => refused(FrameErrorKind::Form, "The frame does not have the form of its type."),
    }
}

fn check_id(frame: &ClientFrame) -> Result<(), FrameError> {
    let fits = match frame {
        ClientFrame::Command { id, .. } => (1..=FRAME_ID_BYTES_MAX).contains(&id.len()),
        ClientFrame::Ping { id: Some(id) } => id.len() <= FRAME_ID_BYTES_MAX,
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        let message = format!("An id has 1 to {FRAME_ID_BYTES_MAX} bytes.");
        Err(refused(FrameErrorKind::Form, message))
    }
}
