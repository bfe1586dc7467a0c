//! WebSocket framing (RFC 6455), the server's side, without I/O.
//!
//! Own, because the fan-out shares one encoded frame between all receivers, and because an idle connection keeps
//! no buffer: bytes are parsed where they were read, and only what is incomplete is kept.

pub mod deflate;
mod encode;
mod parser;

pub use encode::{Frames, close, pong, text, text_with};
pub use parser::{Bounds, Message, Parser, Violation};

#[cfg(test)]
mod tests;
