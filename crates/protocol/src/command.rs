//! A command on its way to a zone and its answer, read where they lie: most requests of a zone are commands.

use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::form::{Value, field, varint};

/// `tidings.world.v1.ZoneReply`: a command was done, and its outcome is in the log at a sequence.
pub fn in_log(seq: u64) -> Bytes {
    let mut reply = Vec::with_capacity(IN_LOG_BYTES);
    let bytes = DONE.len() + encoded_len_varint(seq) + LOGGED.len();
    reply.extend_from_slice(&[COMMAND, bytes as u8]);
    reply.extend_from_slice(DONE);
    encode_varint(seq, &mut reply);
    reply.extend_from_slice(LOGGED);
    Bytes::from(reply)
}

/// The sequence of such a reply; `None`: it is another, or written in another way, and has to be decoded.
pub fn read_in_log(reply: &[u8]) -> Option<u64> {
    let [COMMAND, bytes, done @ ..] = reply else { return None };
    let mut left = done.strip_prefix(DONE)?.strip_suffix(LOGGED)?;
    let seq = varint(&mut left).ok()?;
    (left.is_empty() && usize::from(*bytes) == done.len()).then_some(seq)
}

/// `ZoneReply.command`, of some bytes.
const COMMAND: u8 = 1 << 3 | 2;
/// `CommandDone.ok` is true, and `seq` follows.
const DONE: &[u8] = &[1 << 3, 1, 3 << 3];
/// `CommandDone.in_log` is true.
const LOGGED: &[u8] = &[4 << 3, 1];
/// Bytes made ready for such a reply: a sequence has ten at most.
const IN_LOG_BYTES: usize = 2 + DONE.len() + 10 + LOGGED.len();

/// `tidings.world.v1.Command`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // as in the message
pub struct CommandRef<'a> {
    pub session: &'a str,
    pub id: &'a str,
    pub character: &'a str,
    pub text: &'a str,
}

impl<'a> CommandRef<'a> {
    /// Reads a `tidings.world.v1.ZoneRequest` that is a command as [`MessageWriter::command`](crate::MessageWriter::command)
    /// writes one. `None`: it is something else, or written in another way, and has to be decoded.
    pub fn read(mut request: &'a [u8]) -> Option<Self> {
        let mut left = only(field(&mut request).ok()??, 1).filter(|_| request.is_empty())?;
        let mut origin = next(&mut left, 1)?;
        let command = Self {
            session: text(next(&mut origin, 1)?)?,
            id: text(next(&mut origin, 2)?)?,
            character: text(next(&mut left, 2)?)?,
            text: text(next(&mut left, 3)?)?,
        };
        (left.is_empty() && origin.is_empty()).then_some(command)
    }
}

fn only<'a>((number, value): (u32, Value<'a>), wanted: u32) -> Option<&'a [u8]> {
    value.bytes().ok().filter(|_| number == wanted)
}

/// The next field, where it is this one.
fn next<'a>(left: &mut &'a [u8], wanted: u32) -> Option<&'a [u8]> {
    only(field(left).ok()??, wanted)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::world::v1::{
        Command, CommandDone, Leave, Origin, ZoneReply, ZoneRequest, zone_reply, zone_request,
    };
    use crate::{CharacterId, MessageWriter, SessionId};

    #[test]
    fn a_reply_is_read_as_it_is_written_and_nothing_else_is() {
        let reply = |done| ZoneReply { answer: Some(zone_reply::Answer::Command(done)) };
        for seq in [1, 127, 128, 1 << 40, u64::MAX] {
            let done = CommandDone { ok: true, reply: None, seq, in_log: true };
            let written = in_log(seq);
            assert_eq!(ZoneReply::decode(written.clone()), Ok(reply(done.clone())));
            assert_eq!(read_in_log(&written), Some(seq));
            for end in 0..written.len() {
                assert_eq!(read_in_log(&written[..end]), None, "{end}");
            }
            let others = [CommandDone { ok: false, ..done.clone() }, CommandDone { in_log: false, ..done }];
            for other in others {
                assert_eq!(read_in_log(&reply(other).encode_to_vec()), None);
            }
            assert_eq!(read_in_log(&[&written[..], &written].concat()), None);
        }
    }

    #[test]
    fn a_command_is_read_as_it_is_written_and_nothing_else_is() {
        let (session, character) = (SessionId::from_u128(3), CharacterId::from_u128(1 << 100));
        let written = MessageWriter::default().command(session, "c1", character, "say Grüß dich");
        let (session, character) = (session.to_string(), character.to_string());
        let expected =
            CommandRef { session: &session, id: "c1", character: &character, text: "say Grüß dich" };
        assert_eq!(CommandRef::read(&written), Some(expected));
        for end in 0..written.len() {
            assert_eq!(CommandRef::read(&written[..end]), None, "{end}");
        }
        let twice = [&written[..], &written].concat();
        let origin = Origin { session: session.clone(), id: String::new() };
        let command = Command { origin: Some(origin), character, text: "look".into() };
        let other = |ask| ZoneRequest { ask: Some(ask) }.encode_to_vec();
        let (no_id, leave) =
            (other(zone_request::Ask::Command(command)), other(zone_request::Ask::Leave(Leave::default())));
        for odd in [twice, no_id, leave, Vec::new()] {
            assert_eq!(CommandRef::read(&odd), None);
        }
    }
}
