//! What is asked of a zone, read from the wire and checked: what comes further has ids, not texts.

use bytes::Bytes;
use prost::Message as _;
use tidings_protocol::proto::world::v1::{self as wire, ZoneRequest, link, zone_reply, zone_request};
use tidings_protocol::{AccountId, CharacterId, CommandRef, ErrorCode, SessionId, ZoneId};
use tidings_service::CallError;
use tidings_storage::MuteMark;
use tidings_world::input::{Arrival, Ask, Command, Fact, Origin, Traveller};

use crate::convert;

/// A request that was read.
pub enum Request {
    /// For the rules, answered as its kind says.
    Ask(Kind, Command),
    /// A character enters: storage is asked first for what its account brings. The room's view comes with the answer
    /// in this language; empty: it does not.
    Enter(Origin, Box<Arrival>, String),
    /// Answered from the committed state.
    State(wire::StateQuery),
    /// A character comes from another zone.
    Arrive(Box<Arrive>),
    /// A fact.
    Tell(Fact),
}

/// A character that comes from another zone.
pub struct Arrive {
    /// The character.
    pub traveller: Traveller,
    /// Its zone.
    pub from: ZoneId,
    /// The ownership under which it was frozen.
    pub owner_seq: u64,
}

/// What the answer to who enters brings along.
#[derive(Debug, Clone, PartialEq)]
pub struct Along {
    /// The room's view in this language; empty: none.
    pub view_locale: String,
    /// The account and its mutes, where they were looked up.
    pub mutes: Option<(AccountId, Vec<MuteMark>)>,
}

/// How a request of the rules is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// With the outcome, when there is one.
    Command,
    /// With where to hear from, and what else the answer brings.
    Enter(Along),
    /// With the last state.
    Leave,
    /// When it is done.
    Link,
}

/// Reads a request.
pub fn read(payload: &Bytes) -> Result<Request, CallError> {
    if let Some(command) = CommandRef::read(payload) {
        return line(command);
    }
    let malformed = || CallError::new(ErrorCode::InvalidArgument, "This is no request to a zone.");
    let request = ZoneRequest::decode(payload.clone()).map_err(|_| malformed())?;
    match request.ask.ok_or_else(malformed)? {
        zone_request::Ask::Command(wire::Command { origin, character, text }) => {
            let wire::Origin { session, id } = origin.ok_or_else(malformed)?;
            line(CommandRef { session: &session, id: &id, character: &character, text: &text })
        }
        zone_request::Ask::Enter(enter) => {
            let character = enter.character.ok_or_else(malformed)?;
            let arrival = Arrival { generation: enter.generation, ..convert::arrival(character)? };
            Ok(Request::Enter(no_command(&enter.session)?, Box::new(arrival), enter.view_locale))
        }
        zone_request::Ask::Leave(leave) => {
            let origin = convert::origin(leave.origin)?;
            let bye = leave.bye.map(|bye| (u16::try_from(bye.code).unwrap_or(0), bye.reason));
            Ok(ask(Kind::Leave, origin, &leave.character, Ask::Leave(bye))?)
        }
        zone_request::Ask::Link(link) => {
            let ask_for = match link.kind() {
                link::Kind::Lost => {
                    let grace = i64::try_from(link.grace_ms).unwrap_or(i64::MAX);
                    Ask::LinkLost(link.generation, (grace > 0).then_some(grace))
                }
                link::Kind::Back => Ask::LinkBack(link.generation),
            };
            ask(Kind::Link, no_command(&link.session)?, &link.character, ask_for)
        }
        zone_request::Ask::State(query) => Ok(Request::State(query)),
        zone_request::Ask::Handover(handover) => Ok(Request::Arrive(Box::new(Arrive {
            traveller: convert::traveller(&handover.traveller)?,
            from: convert::parse(&handover.from_zone)?,
            owner_seq: handover.from_owner_seq,
        }))),
        zone_request::Ask::Control(control) => {
            Ok(Request::Tell(serde_json::from_str(&control.fact).map_err(|_| malformed())?))
        }
    }
}

fn line(command: CommandRef<'_>) -> Result<Request, CallError> {
    if command.id.is_empty() {
        return Err(CallError::new(ErrorCode::InvalidArgument, "A command has an id."));
    }
    let origin = Origin { session: convert::parse(command.session)?, id: command.id.to_owned() };
    ask(Kind::Command, origin, command.character, Ask::Line(command.text.to_owned()))
}

fn ask(kind: Kind, origin: Origin, character: &str, ask: Ask) -> Result<Request, CallError> {
    let character: CharacterId = convert::parse(character)?;
    Ok(Request::Ask(kind, Command { origin, character, ask }))
}

fn no_command(session: &str) -> Result<Origin, CallError> {
    let session: SessionId = convert::parse(session)?;
    Ok(Origin { session, id: String::new() })
}

/// An answer as it is sent.
pub fn answer(answer: zone_reply::Answer) -> Bytes {
    wire::ZoneReply { answer: Some(answer) }.encode_to_vec().into()
}

/// A refusal as it is sent.
pub fn refusal(error: CallError) -> Bytes {
    answer(zone_reply::Answer::Refusal(error.into()))
}
