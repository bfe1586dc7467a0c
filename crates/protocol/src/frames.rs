//! The frames of `tidings.v1.json`: JSON text frames, each with a `type`.
//!
//! What a client sends is refused when it holds a type or a field that is not named here. What the server
//! sends may grow: clients ignore types and fields that they do not know.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::codes::ErrorCode;
use crate::ids::{CharacterId, SessionId};
use crate::position::Position;

/// The WebSocket sub-protocol of these frames, also taken when a client names none.
pub const SUB_PROTOCOL: &str = "tidings.v1.json";
/// Longest command line, in characters, unless it is configured otherwise: a whisper of 2,000 with its name.
pub const COMMAND_CHARS: usize = 2_200;
/// Longest `id` of a command or a ping, in bytes.
pub const FRAME_ID_BYTES_MAX: usize = 64;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum ClientFrame {
    /// The first frame: who this is, or which session goes on.
    Hello {
        /// An access token; then neither `ticket` nor `csrf` is needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// A single-use ticket (30 s), with `csrf`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
        /// The CSRF token of the page's session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        csrf: Option<String>,
        /// The character's name; may be left out where the account has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        character: Option<String>,
        /// Instead of the others: the session that goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Resume>,
    },
    /// One line typed by the player.
    Command {
        /// Unique in the session: its idempotency key.
        id: String,
        /// The line.
        text: String,
    },
    /// Asks for a view again, or for another page of it.
    State {
        /// Which view.
        #[serde(default)]
        what: What,
        /// `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<String>,
    },
    /// Answered by `pong`.
    Ping {
        /// Given back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
}

/// The session that goes on, and where its client stopped hearing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// `welcome.resume` of the connection before.
    pub secret: String,
    /// The last position received; without one, a fresh state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Views a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The room the character is in, with the first page of its occupants.
    #[default]
    Room,
    /// A page of the room's occupants.
    Occupants,
    /// The rooms of the zone that the character knows, with their exits.
    Map,
    /// The commands the character may use: names and usage, for completion and help.
    Commands,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerFrame {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// A view of the world, true at its position.
    State(State),
    /// Something happened.
    Event(Event),
    /// A change of a document (RFC 7396).
    Patch(Patch),
    /// The outcome of a command.
    Reply(Reply),
    /// A frame or a command was refused by the edge.
    Error(ErrorFrame),
    /// The answer to `ping`.
    Pong {
        /// As it was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Hints that a slow reader was not sent: the oldest, before those that follow.
    Gap {
        /// The scope of their audience.
        audience: String,
        /// How many.
        missed: u64,
    },
    /// The last frame before the server closes.
    Bye(Bye),
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// The answer to `hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The session.
    pub session: SessionId,
    /// The secret that resumes it, new at each `welcome`.
    pub resume: String,
    /// Who this is.
    pub character: NamedId,
    /// Whether everything missed follows. False for a first `hello`.
    pub recovered: bool,
    /// Why not, where a resume was asked for.
    pub reason: Option<String>,
    /// Where the session stands.
    pub position: Position,
    /// How often to ping, in milliseconds.
    pub heartbeat_ms: u64,
    /// The limits in force, by the names of their configuration keys.
    pub limits: Map<String, Value>,
}

/// An id with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedId {
    /// The character.
    pub id: CharacterId,
    /// Its name.
    pub name: String,
}

/// A view, its members beside `what` and `position`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Which view.
    pub what: What,
    /// Where to resume from when this is the last frame received.
    pub position: Position,
    /// The view: `character` and `room`; `occupants`; `map`; or `commands`.
    #[serde(flatten)]
    pub body: Map<String, Value>,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// For example `chat.say`.
    pub kind: String,
    /// The scope of the audience: `room`, `area`, `player`, `party`, `world`, `staff`.
    pub audience: String,
    /// The sequence in the stream; 0 and absent: a hint, which may be missed and has no place there.
    #[serde(default, skip_serializing_if = "is_hint")]
    pub seq: u64,
    /// Where the session stands after it; absent where it has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The zone's clock at the decision, RFC 3339 with milliseconds, UTC.
    pub time: String,
    /// Who did it, where someone did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NamedId>,
    /// A complete line to print.
    pub text: String,
    /// Facts of the event, by kind.
    pub data: Value,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_hint(seq: &u64) -> bool {
    *seq == 0
}

/// A change of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// `room`.
    pub target: String,
    /// Where the session stands after it.
    pub position: Position,
    /// RFC 7396, objects keyed by id, no arrays.
    pub patch: Value,
}

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The command's id.
    pub id: String,
    /// Whether it was done.
    pub ok: bool,
    /// A complete line, or several, to print.
    pub text: String,
    /// The message key, for example `chat.say.self`.
    pub key: String,
    /// Where the session stands after it.
    pub position: Position,
}

/// A refusal by the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorFrame {
    /// The command it answers, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What went wrong.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// When to try again, where that can help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The last frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bye {
    /// The close code that follows.
    pub code: u16,
    /// A sentence for people.
    pub reason: String,
    /// Whether to connect again.
    pub reconnect: bool,
    /// How long to wait before that, in milliseconds.
    pub after_ms: u64,
}
