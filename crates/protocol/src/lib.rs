//! What crosses a boundary of Tidings, and nothing else: ids, audiences, positions, the WebSocket frames of
//! `tidings.v1.json`, the protobuf messages on the bus, the tables of error and close codes, and the renderer
//! that turns a message key and its arguments into a line of text.
//!
//! Pure: no sockets, no clocks, no randomness. Whoever makes an id passes the time and the random bits in.

pub mod audience;
pub mod codes;
pub mod command;
pub mod event;
pub mod form;
pub mod frames;
pub mod ids;
pub mod json;
pub mod position;
pub mod proto;
pub mod read;
pub mod text;
mod wire;
pub mod writer;

pub use audience::Audience;
pub use codes::{CloseCode, ErrorCode};
pub use command::CommandRef;
pub use event::EventRef;
pub use ids::{AccountId, AreaId, CharacterId, PartyId, RoomId, SessionId, WorldId, ZoneId};
pub use position::Position;
pub use text::{Catalogue, Text};
pub use writer::MessageWriter;
