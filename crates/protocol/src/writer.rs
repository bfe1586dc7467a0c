//! Protobuf written back to front: when a message's fields are there its length is known. So nothing is measured first,
//! and no message is built to be copied.
//!
//! Whoever writes a message writes its fields from the last to the first, so that they lie as decoders expect them.

use bytes::Bytes;

use crate::ids::{CharacterId, Digits, SessionId};
use crate::text::{Arg, Text};

/// Bytes made ready at first: most messages are shorter.
const READY_BYTES: usize = 1024;
/// A field with a length.
const DELIMITED: u64 = 2;

/// Writes messages, one after the other, with one buffer.
#[derive(Debug, Default)]
pub struct MessageWriter {
    /// What is written lies at the end of it.
    buffer: Vec<u8>,
    /// Where it begins.
    start: usize,
}

impl MessageWriter {
    /// A message of the fields that `fields` writes.
    pub fn write(&mut self, fields: impl FnOnce(&mut Self)) -> Bytes {
        self.start = self.buffer.len();
        fields(self);
        Bytes::copy_from_slice(&self.buffer[self.start..])
    }

    /// `tidings.world.v1.ZoneRequest` of a command.
    pub fn command(&mut self, session: SessionId, id: &str, character: CharacterId, text: &str) -> Bytes {
        self.write(|w| {
            w.message(1, |w| {
                w.text(3, text);
                w.id(2, character.digits());
                w.message(1, |w| {
                    w.text(2, id);
                    w.id(1, session.digits());
                });
            });
        })
    }

    /// A number, where it is not 0.
    pub fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint(value);
            self.varint(u64::from(field) << 3);
        }
    }

    /// Whether something is, where it is.
    pub fn flag(&mut self, field: u32, value: bool) {
        self.number(field, u64::from(value));
    }

    /// A text, where it is not empty.
    pub fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.member(field, text);
        }
    }

    /// A text of several, or one that says by being there which of several things it is: empty ones too.
    pub fn member(&mut self, field: u32, text: &str) {
        self.message(field, |w| w.put(text.as_bytes()));
    }

    /// An id.
    pub fn id(&mut self, field: u32, id: Digits) {
        self.message(field, |w| w.put(id.as_bytes()));
    }

    /// A message of the fields that `fields` writes.
    pub fn message(&mut self, field: u32, fields: impl FnOnce(&mut Self)) {
        let after = self.len();
        fields(self);
        self.varint((self.len() - after) as u64);
        self.varint(u64::from(field) << 3 | DELIMITED);
    }

    /// A message that was built.
    pub fn nested(&mut self, field: u32, message: &impl prost::Message) {
        self.message(field, |w| w.put(&message.encode_to_vec()));
    }

    /// `tidings.world.v1.Text`.
    pub fn words(&mut self, field: u32, text: &Text) {
        self.message(field, |w| {
            for (name, arg) in text.args.iter().rev() {
                w.message(2, |w| {
                    w.message(2, |w| w.arg(arg));
                    w.text(1, name);
                });
            }
            w.text(1, &text.key);
        });
    }

    fn arg(&mut self, arg: &Arg) {
        match arg {
            Arg::Plain(plain) => self.member(1, plain),
            Arg::Text(text) => self.words(2, text),
            Arg::Lines(lines) => self.message(3, |w| lines.iter().rev().for_each(|line| w.words(1, line))),
        }
    }

    fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        if value >= 0x80 {
            return self.long_varint(value);
        }
        if self.start == 0 {
            self.grow(1);
        }
        self.start -= 1;
        self.buffer[self.start] = value as u8;
    }

    fn long_varint(&mut self, mut value: u64) {
        let (mut digits, mut count) = ([0; 10], 0);
        while value >= 0x80 {
            digits[count] = value as u8 | 0x80;
            value >>= 7;
            count += 1;
        }
        digits[count] = value as u8;
        self.put(&digits[..=count]);
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            self.grow(bytes.len());
        }
        let end = self.start;
        self.start -= bytes.len();
        self.buffer[self.start..end].copy_from_slice(bytes);
    }

    #[cold]
    fn grow(&mut self, by: usize) {
        let more = by.max(self.buffer.len()).max(READY_BYTES);
        let mut buffer = vec![0; self.buffer.len() + more];
        buffer[self.start + more..].copy_from_slice(&self.buffer[self.start..]);
        self.start += more;
        self.buffer = buffer;
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::world::v1::{Command, Origin, ZoneRequest, zone_request};

    #[test]
    fn a_command_is_written_as_its_message_is() {
        let (session, character) = (SessionId::from_u128(3), CharacterId::from_u128(1 << 100));
        let text = "say Grüß dich, wie geht es? ".repeat(20);
        let mut writer = MessageWriter::default();
        for text in ["look", &text] {
            let written = writer.command(session, "c1", character, text);
            let command = Command {
                origin: Some(Origin { session: session.to_string(), id: "c1".into() }),
                character: character.to_string(),
                text: text.into(),
            };
            let request = ZoneRequest { ask: Some(zone_request::Ask::Command(command)) };
            assert_eq!(ZoneRequest::decode(written), Ok(request));
        }
    }
}
