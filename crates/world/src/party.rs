//! stub
use crate::turn::Turn;
use tidings_protocol::{CharacterId, PartyId};
pub(crate) fn abandon(_turn: &mut Turn<'_>, _id: CharacterId) {}
pub(crate) fn told(_turn: &mut Turn<'_>, _party: PartyId, _members: Vec<CharacterId>) {}
pub(crate) fn invitation_over(_turn: &mut Turn<'_>, _party: PartyId, _whom: CharacterId) {}
