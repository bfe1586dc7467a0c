//! The edge's own frames, written straight behind the place of their header.

use bytes::Bytes;
use serde::Serialize;
use tidings_protocol::frames::{self as wire, ErrorFrame, ServerFrame};
use tidings_protocol::{ErrorCode, json};

use crate::fanout::Encoder;
use crate::shard::Bye;
use crate::ws;

fn frame(value: &impl Serialize) -> Bytes {
    ws::text_with(256, |out| serde_json::to_writer(out, value).expect("frames are JSON"))
}

/// `welcome`.
pub fn welcome(welcome: wire::Welcome) -> Bytes {
    frame(&ServerFrame::Welcome(welcome))
}

/// `error`.
pub fn error(id: Option<&str>, code: ErrorCode, message: &str, retry_after_ms: Option<u64>) -> Bytes {
    let id = id.map(str::to_owned);
    frame(&ServerFrame::Error(ErrorFrame { id, code, message: message.to_owned(), retry_after_ms }))
}

/// `pong`.
pub fn pong(id: Option<&str>) -> Bytes {
    frame(&ServerFrame::Pong { id: id.map(str::to_owned) })
}

/// `gap`: so many frames that may be missed were.
pub fn gap(audience: &str, missed: u64) -> Bytes {
    frame(&ServerFrame::Gap { audience: audience.to_owned(), missed })
}

/// `bye`.
pub fn bye(bye: &Bye) -> Bytes {
    let reconnect = bye.code >= 4500;
    let after_ms = if reconnect { bye.after_ms } else { 0 };
    frame(&ServerFrame::Bye(wire::Bye { code: bye.code, reason: bye.reason.clone(), reconnect, after_ms }))
}

/// `state`: the body's members, which the zone wrote, beside `what` and `position`.
pub fn state(encoder: &Encoder, what: &str, body: &str, seq: u64) -> Bytes {
    let members = body.trim().strip_prefix('{').unwrap_or("}");
    ws::text_with(members.len() + 128, |out| {
        out.extend_from_slice(br#"{"type":"state","what":"#);
        json::string(out, what);
        out.extend_from_slice(br#","position":"#);
        encoder.position(seq).write(out);
        if members.trim() != "}" {
            out.push(b',');
        }
        out.extend_from_slice(members.as_bytes());
    })
}
