//! Views of the committed state, for those who ask and for those who enter.

use tidings_bus::Message;
use tidings_protocol::proto::world::v1::{self as wire, zone_reply};
use tidings_protocol::{CharacterId, ErrorCode};
use tidings_service::CallError;

use super::requests;
use super::zone::OwnedZone;
use crate::convert;

impl OwnedZone {
    /// Answers from the committed state.
    pub(super) fn show(&self, message: Message, query: &wire::StateQuery) {
        drop(message.respond(match self.view(query) {
            Ok(body) => {
                let view = wire::StateView { body, seq: self.last_seq };
                requests::answer(zone_reply::Answer::State(view))
            }
            Err(error) => requests::refusal(error),
        }));
    }

    /// What the room looks like to a character that entered; `None`: it is on its way again.
    pub(super) fn room_of(&self, character: CharacterId, locale: &str) -> Option<wire::StateView> {
        let body = self.rules.view(character, "room", None, &self.shared.catalogue, locale)?;
        Some(wire::StateView { body, seq: self.last_seq })
    }

    fn view(&self, query: &wire::StateQuery) -> Result<String, CallError> {
        let character: CharacterId = convert::parse(&query.character)?;
        let page = (!query.page.is_empty()).then_some(query.page.as_str());
        let view = self.rules.view(character, &query.what, page, &self.shared.catalogue, &query.locale);
        match view {
            Some(view) => Ok(view),
            None if self.rules.owns(character) => {
                Err(CallError::new(ErrorCode::InvalidArgument, "There is no such view."))
            }
            None if self.rules.is_moving(character) => {
                Err(CallError::unavailable("The character is on its way."))
            }
            None => Err(CallError::new(ErrorCode::Aborted, "The character is not in this zone.")),
        }
    }
}
