//! stub
use crate::content::Content;
use crate::content::model::{Npc, Room};
use crate::state::State;
use crate::turn::Turn;
use crate::zone::Zone;
use tidings_protocol::{CharacterId, Text, ZoneId};
pub(crate) fn populate(_state: &mut State, _zone: &ZoneId, _content: &Content) {}
pub(crate) fn greet(_turn: &mut Turn<'_>, _id: CharacterId) {}
pub(crate) fn hear(_turn: &mut Turn<'_>, _id: CharacterId, _message: &str) {}
pub(crate) fn beat(_turn: &mut Turn<'_>) {}
pub(crate) fn weather_line(_turn: &Turn<'_>, _room: &Room) -> Option<Text> {
    None
}
pub(crate) fn of(zone: &Zone, id: CharacterId) -> Option<&Npc> {
    zone.content.npcs.get(&zone.state.npcs.get(&id)?.npc)
}
