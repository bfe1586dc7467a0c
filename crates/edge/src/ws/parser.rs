//! What a client sends, from bytes as they come to whole messages. Every bound is checked on a frame's header,
//! before its payload is waited for.

use std::ops::ControlFlow;

use super::deflate::{Broken, inflate};
use super::encode::COMPRESSED;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Longest payload of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// Bounds on one message.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its payload in all, in bytes.
    pub message_bytes: usize,
    /// Its fragments: empty ones cost as much as full ones.
    pub fragments: u32,
}

/// A whole message of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Valid UTF-8.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// To be answered with its payload.
    Ping(&'a [u8]),
    /// An answer, or a sign of life.
    Pong,
    /// The client closes, with a code if it gave one. Nothing is read after it.
    Close(Option<u16>),
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A reserved bit without an extension that gives it a meaning.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode without a meaning.
    #[error("the opcode has no meaning")]
    Opcode,
    /// A frame of a client that is not masked.
    #[error("a frame is not masked")]
    Unmasked,
    /// A control frame that is fragmented or too long.
    #[error("a control frame is fragmented or too long")]
    Control,
    /// A length that is not written in its shortest form, or is negative.
    #[error("a length is not in its shortest form")]
    Length,
    /// A continuation of nothing, or a new message inside another.
    #[error("fragments do not follow each other")]
    Fragment,
    /// A close frame whose payload means nothing.
    #[error("a close frame has no valid code")]
    CloseCode,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A message over the bounds.
    #[error("a message is too large")]
    TooLarge,
    /// A compressed message that does not come apart.
    #[error("a compressed message is broken")]
    Compressed,
    /// A message in more pieces than allowed.
    #[error("a message has too many fragments")]
    TooManyFragments,
}

impl Violation {
    /// The close code that tells the client.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Utf8 | Self::Compressed => 1007,
            Self::TooLarge | Self::TooManyFragments => 1009,
            _ => 1002,
        }
    }

    /// Its name in metrics.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved_bit",
            Self::Opcode => "opcode",
            Self::Unmasked => "unmasked",
            Self::Control => "control",
            Self::Length => "length",
            Self::Fragment => "fragment",
            Self::CloseCode => "close_code",
            Self::Utf8 => "utf8",
            Self::Compressed => "compressed",
            Self::TooLarge => "too_large",
            Self::TooManyFragments => "too_many_fragments",
        }
    }
}

/// The parser of one connection: two words while nothing is incomplete.
#[derive(Debug, Default)]
pub struct Parser {
    held: Option<Box<Held>>,
    /// `on` broke off, or the client closed: what comes after is not read.
    ended: bool,
    /// Whether messages may be compressed: permessage-deflate was agreed on.
    deflate: bool,
}

#[derive(Debug, Default)]
struct Held {
    /// The beginning of a frame that has not come whole.
    raw: Vec<u8>,
    /// The message whose fragments are coming.
    message: Option<Fragments>,
}

#[derive(Debug)]
struct Fragments {
    kind: Kind,
    count: u32,
    payload: Vec<u8>,
}

/// What the first frame says of a message.
#[derive(Debug, Clone, Copy)]
struct Kind {
    binary: bool,
    compressed: bool,
}

struct Header {
    fin: bool,
    compressed: bool,
    opcode: u8,
    mask: [u8; 4],
    start: usize,
    length: usize,
}

impl Parser {
    /// A parser of a connection that agreed on permessage-deflate, or did not.
    pub fn new(deflate: bool) -> Self {
        Self { deflate, ..Self::default() }
    }

    /// Whether part of a message is kept.
    pub fn is_idle(&self) -> bool {
        self.held.is_none()
    }

    /// Takes what was read and gives every message that is whole now, until `on` breaks off. The bytes are
    /// unmasked where they are.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        bounds: &Bounds,
        mut on: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        if self.ended {
            return Ok(());
        }
        let mut held = self.held.take().map_or_else(Held::default, |held| *held);
        let deflate = self.deflate;
        let mut on = |message: Message<'_>| {
            let closed = matches!(message, Message::Close(_));
            let flow = on(message);
            self.ended |= closed || flow.is_break();
            flow
        };
        if held.raw.is_empty() {
            let used = parse(&mut held.message, input, bounds, deflate, &mut on)?;
            held.raw.extend_from_slice(&input[used..]);
        } else {
            let mut raw = std::mem::take(&mut held.raw);
            raw.extend_from_slice(input);
            let used = parse(&mut held.message, &mut raw, bounds, deflate, &mut on)?;
            raw.drain(..used);
            held.raw = raw;
        }
        self.held = held.if_needed();
        Ok(())
    }
}

impl Held {
    fn if_needed(self) -> Option<Box<Self>> {
        (!self.raw.is_empty() || self.message.is_some()).then(|| Box::new(self))
    }
}

/// Gives the whole messages of `buf`; answers how many bytes they took.
fn parse(
    message: &mut Option<Fragments>,
    buf: &mut [u8],
    bounds: &Bounds,
    deflate: bool,
    on: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
) -> Result<usize, Violation> {
    let mut used = 0;
    while let Some(header) = header(&buf[used..], message.as_ref(), bounds, deflate)? {
        let start = used + header.start;
        let Some(payload) = buf.get_mut(start..start + header.length) else { break };
        unmask(payload, header.mask);
        used = start + header.length;
        if deliver(message, &header, payload, bounds, on)?.is_break() {
            return Ok(buf.len());
        }
    }
    Ok(used)
}

/// The next frame's header, checked; `None` while it has not come whole.
fn header(
    buf: &[u8],
    message: Option<&Fragments>,
    bounds: &Bounds,
    deflate: bool,
) -> Result<Option<Header>, Violation> {
    let &[first, second, ..] = buf else { return Ok(None) };
    let (fin, opcode) = (first & FIN != 0, first & 0x0f);
    let compressed = deflate && first & RESERVED == COMPRESSED && matches!(opcode, 1 | 2);
    if first & RESERVED != 0 && !compressed {
        return Err(Violation::ReservedBit);
    }
    check_opcode(fin, opcode, second, message.is_some())?;
    let (length, at) = match second & 0x7f {
        126 => match buf.get(2..4) {
            Some(&[a, b]) => (u64::from(u16::from_be_bytes([a, b])), 4),
            _ => return Ok(None),
        },
        127 => match buf.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (u64::from_be_bytes(bytes), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    let shortest = match at {
        2 => true,
        4 => length > 125,
        _ => length > 0xffff && length >> 63 == 0,
    };
    if !shortest {
        return Err(Violation::Length);
    }
    if opcode < 8 {
        let before = message.map_or(0, |m| m.payload.len() as u64);
        if before + length > bounds.message_bytes as u64 {
            return Err(Violation::TooLarge);
        }
    }
    let Some(mask) = buf.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
    Ok(Some(Header { fin, compressed, opcode, mask, start: at + 4, length: length as usize }))
}

fn check_opcode(fin: bool, opcode: u8, second: u8, inside: bool) -> Result<(), Violation> {
    match opcode {
        0 if !inside => return Err(Violation::Fragment),
        1 | 2 if inside => return Err(Violation::Fragment),
        0..=2 => {}
        8..=10 if !fin || u64::from(second & 0x7f) > CONTROL_BYTES_MAX => return Err(Violation::Control),
        8..=10 => {}
        _ => return Err(Violation::Opcode),
    }
    if second & MASKED == 0 { Err(Violation::Unmasked) } else { Ok(()) }
}

fn deliver(
    message: &mut Option<Fragments>,
    header: &Header,
    payload: &[u8],
    bounds: &Bounds,
    on: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    let kind = Kind { binary: header.opcode == 2, compressed: header.compressed };
    match header.opcode {
        8 => {
            let _ = on(Message::Close(close_code(payload)?));
            return Ok(ControlFlow::Break(()));
        }
        9 => return Ok(on(Message::Ping(payload))),
        10 => return Ok(on(Message::Pong)),
        1 | 2 if header.fin => return whole(kind, payload, bounds, on),
        _ => {}
    }
    let fragments = message.get_or_insert_with(|| Fragments {
        kind,
        count: 0,
        payload: Vec::with_capacity(payload.len()),
    });
    fragments.count += 1;
    if fragments.count > bounds.fragments {
        return Err(Violation::TooManyFragments);
    }
    fragments.payload.extend_from_slice(payload);
    if !header.fin {
        return Ok(ControlFlow::Continue(()));
    }
    match message.take() {
        Some(done) => whole(done.kind, &done.payload, bounds, on),
        None => Ok(ControlFlow::Continue(())),
    }
}

fn whole(
    kind: Kind,
    payload: &[u8],
    bounds: &Bounds,
    on: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    if kind.compressed {
        let message = inflate(payload, bounds.message_bytes).map_err(|broken| match broken {
            Broken::Malformed => Violation::Compressed,
            Broken::TooLarge => Violation::TooLarge,
        })?;
        return whole(Kind { compressed: false, ..kind }, &message, bounds, on);
    }
    if kind.binary {
        return Ok(on(Message::Binary(payload)));
    }
    let text = std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?;
    Ok(on(Message::Text(text)))
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
        [_] => return Err(Violation::CloseCode),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some(code))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}
