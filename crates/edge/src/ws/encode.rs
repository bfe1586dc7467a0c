//! Frames of the server: never masked, never fragmented, so that one buffer serves every receiver.

use std::ops::Range;

use bytes::Bytes;

/// Longest payload of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// Longest header of an unmasked frame.
const HEADER_BYTES_MAX: usize = 10;
const FIN: u8 = 0x80;
/// Reserved bit 1: compressed, where permessage-deflate was agreed on.
pub(super) const COMPRESSED: u8 = 0x40;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xA;

/// A text frame.
pub fn text(payload: &[u8]) -> Bytes {
    text_with(payload.len(), |out| out.extend_from_slice(payload))
}

/// A text frame whose payload is written straight behind the place of its header. `expected` is a guess of its
/// length.
pub fn text_with(expected: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    frame(FIN | TEXT, expected, write)
}

/// A text frame whose payload is compressed.
pub(super) fn compressed_text(payload: &[u8]) -> Bytes {
    frame(FIN | COMPRESSED | TEXT, payload.len(), |out| out.extend_from_slice(payload))
}

fn frame(first: u8, expected: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut frames = Frames::with_room(HEADER_BYTES_MAX + expected);
    let place = frames.put(first, write);
    frames.into_bytes().slice(place)
}

/// Frames one behind the other, in one piece of memory.
pub struct Frames(Vec<u8>);

impl Frames {
    /// None yet, with room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a text frame whose payload is written straight behind the place of its header; answers where it lies.
    pub fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        self.put(FIN | TEXT, write)
    }

    /// All of them; not much more memory than they take.
    pub fn into_bytes(mut self) -> Bytes {
        if self.0.capacity() > 2 * self.0.len() {
            self.0.shrink_to_fit();
        }
        self.0.into()
    }

    fn put(&mut self, first: u8, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let out = &mut self.0;
        let begun = out.len();
        let payload = begun + HEADER_BYTES_MAX;
        out.resize(payload, 0);
        write(out);
        let length = out.len() - payload;
        let header = match length {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => HEADER_BYTES_MAX,
        };
        let start = payload - header;
        let place = &mut out[start..payload];
        place[0] = first;
        match header {
            2 => place[1] = length as u8,
            4 => {
                place[1] = 126;
                place[2..].copy_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                place[1] = 127;
                place[2..].copy_from_slice(&(length as u64).to_be_bytes());
            }
        }
        start..out.len()
    }
}

/// A close frame; the reason is cut where it does not fit.
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    control(CLOSE, &payload)
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    control(PONG, &payload[..payload.len().min(CONTROL_BYTES_MAX)])
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(2 + payload.len());
    out.extend_from_slice(&[FIN | opcode, payload.len() as u8]);
    out.extend_from_slice(payload);
    out.into()
}
