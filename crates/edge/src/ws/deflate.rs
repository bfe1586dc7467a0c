//! permessage-deflate (RFC 7692) without context takeover: nothing is kept for a connection, and what one message
//! held never shows in the length of another.
//!
//! A frame that mixes a secret with others' text must not be compressed at all: that is for who sends it to know.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::encode::compressed_text;

/// The extension's name and parameters, as the server answers. Neither side keeps a context.
pub const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// Frames shorter than this are sent as they are: compressing them costs more than it saves.
pub const COMPRESS_FROM_BYTES: usize = 1024;
/// Fast: text shrinks to a third or a quarter at any level.
const LEVEL: u32 = 3;
/// What a flush ends with, taken off by the sender and put back by the receiver (7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// First guess of how much larger a message is than its compressed form.
const GROWTH: usize = 4;

/// Whether one of the offers of a `Sec-WebSocket-Extensions` header can be answered with [`ANSWER`].
pub fn accepts(header: &str) -> bool {
    header.split(',').any(is_acceptable)
}

/// An offer with parameters that this server keeps anyway. A smaller window than deflate's own is not offered here.
fn is_acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    let mut seen = [false; 4];
    parts.next() == Some("permessage-deflate")
        && parts.all(|parameter| {
            let (name, value) =
                parameter.split_once('=').map_or((parameter, None), |(n, v)| (n.trim(), Some(v.trim())));
            let at = match (name, value) {
                ("server_no_context_takeover", None) => 0,
                ("client_no_context_takeover", None) => 1,
                ("client_max_window_bits", value) if value.is_none_or(is_window) => 2,
                _ => return false,
            };
            !std::mem::replace(&mut seen[at], true)
        })
}

fn is_window(value: &str) -> bool {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    value.parse::<u8>().is_ok_and(|bits| (8..=15).contains(&bits)) && !value.starts_with(['0', '+'])
}

/// Compresses frames for the connections of one shard. A frame that goes to many is compressed once, as long as it
/// goes to them one after the other.
pub struct Deflater {
    compress: Option<Box<Compress>>,
    last: Option<(Bytes, Bytes)>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflater {
    /// Takes no memory before the first frame; 300 KiB from then on.
    pub fn new() -> Self {
        Self { compress: None, last: None }
    }

    /// The frame to send instead of a text frame: compressed where that makes it smaller.
    pub fn frame(&mut self, frame: &Bytes) -> Bytes {
        if frame.len() < COMPRESS_FROM_BYTES {
            return frame.clone();
        }
        // The buffer is kept, so its place is nobody else's meanwhile.
        if let Some((from, to)) = &self.last
            && (from.as_ptr(), from.len()) == (frame.as_ptr(), frame.len())
        {
            return to.clone();
        }
        let smaller = self.compressed(payload(frame)).filter(|smaller| smaller.len() < frame.len());
        let to = smaller.unwrap_or_else(|| frame.clone());
        self.last = Some((frame.clone(), to.clone()));
        to
    }

    fn compressed(&mut self, payload: &[u8]) -> Option<Bytes> {
        let compress =
            self.compress.get_or_insert_with(|| Box::new(Compress::new(Compression::new(LEVEL), false)));
        compress.reset();
        let mut out = Vec::with_capacity(payload.len() / 2 + 64);
        loop {
            let at = usize::try_from(compress.total_in()).ok()?;
            compress.compress_vec(&payload[at..], &mut out, FlushCompress::Sync).ok()?;
            // A flush is whole once it left room: with a full buffer there may be more of it.
            if out.len() < out.capacity() {
                break;
            }
            out.reserve(out.capacity());
        }
        let whole = compress.total_in() == payload.len() as u64 && out.ends_with(&TAIL);
        whole.then(|| compressed_text(&out[..out.len() - TAIL.len()]))
    }
}

/// The payload of one of the server's own frames.
fn payload(frame: &[u8]) -> &[u8] {
    let start = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(start..).unwrap_or_default()
}

/// Why a message cannot be given back its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It is not deflate's output.
    Malformed,
    /// It is larger than allowed: it is not inflated any further.
    TooLarge,
}

/// The message that was compressed to `payload`, at most `max` bytes of it.
pub fn inflate(payload: &[u8], max: usize) -> Result<Vec<u8>, Broken> {
    let mut inflate = Decompress::new(false);
    let mut out = Vec::with_capacity(payload.len().saturating_mul(GROWTH).clamp(64, max.max(64)));
    for (input, last) in [(payload, false), (&TAIL[..], true)] {
        let mut input = input;
        loop {
            let before = inflate.total_in();
            let room = out.len();
            let status = inflate
                .decompress_vec(input, &mut out, FlushDecompress::None)
                .map_err(|_| Broken::Malformed)?;
            let taken = usize::try_from(inflate.total_in() - before).map_err(|_| Broken::Malformed)?;
            input = &input[taken..];
            if out.len() > max {
                return Err(Broken::TooLarge);
            }
            if status == Status::StreamEnd {
                // A final block may end the message early; what follows is the empty block of a flush (7.2.3.4).
                return if last || input.iter().all(|byte| *byte == 0) {
                    Ok(out)
                } else {
                    Err(Broken::Malformed)
                };
            }
            if out.len() == out.capacity() {
                out.reserve(out.len().clamp(64, max.saturating_add(1)));
            } else if input.is_empty() {
                break;
            } else if taken == 0 && out.len() == room {
                return Err(Broken::Malformed);
            }
        }
    }
    Ok(out)
}
