//! The views that `state` frames show: made from the zone alone, a page of occupants at a time, with a constant
//! number of look-ups whatever the number of occupants.

use serde_json::{Map, Value, json};
use tidings_protocol::text::Catalogue;
use tidings_protocol::{CharacterId, RoomId};

use crate::commands;
use crate::content::model::{Direction, Exit, Room};
use crate::limits::OCCUPANTS_A_PAGE;
use crate::npc;
use crate::state::Person;
use crate::text::way;
use crate::turn::occupant;
use crate::zone::Zone;

/// What makes a view: whose, and in which language.
struct View<'a> {
    zone: &'a Zone,
    me: &'a Person,
    catalogue: &'a Catalogue,
    locale: &'a str,
}

impl Zone {
    /// The members of a `state` frame beside what it is and its position: `what` is `room`, `occupants`, `map` or
    /// `commands`; `page` is `next` of the page before. `None`: the character is not here, or there is no such view.
    pub fn view(
        &self,
        character: CharacterId,
        what: &str,
        page: Option<&str>,
        catalogue: &Catalogue,
        locale: &str,
    ) -> Option<Value> {
        let me = self.state.people.get(&character)?;
        let view = View { zone: self, me, catalogue, locale };
        let page = page.filter(|page| !page.is_empty());
        match what {
            "" | "room" => Some(view.room(page)),
            "occupants" => {
                Some(object([("room", me.room.as_str().into()), ("occupants", view.occupants(page))]))
            }
            "map" => Some(view.map()),
            "commands" => Some(view.commands()),
            _ => None,
        }
    }
}

impl View<'_> {
    fn room(&self, page: Option<&str>) -> Value {
        let id = &self.me.room;
        let mut room = json!({ "id": id.as_str(), "name": id.as_str(), "description": "", "exits": {} });
        if let Some(place) = self.zone.content.rooms.get(id) {
            room = self.place(place);
        }
        room["zone"] = json!(self.zone.id.as_str());
        room["occupants"] = self.occupants(page);
        object([("character", self.character()), ("room", room)])
    }

    fn place(&self, place: &Room) -> Value {
        let zone_name = self.zone.content.zones.get(&self.zone.id).map(|zone| zone.name.as_str());
        let area_name = self.zone.content.areas.get(&place.area).map(|area| area.name.as_str());
        let things: Map<String, Value> =
            place.things.iter().filter_map(|thing| Some((thing.words.first()?.clone(), json!({})))).collect();
        let mut room = json!({
            "id": place.id.as_str(),
            "name": place.name,
            "description": place.description,
            "zone_name": zone_name,
            "area": place.area.as_str(),
            "area_name": area_name,
            "outdoors": place.outdoors,
        });
        room["exits"] = self.exits(place);
        room["things"] = things.into();
        if place.outdoors && !self.zone.state.weather.is_empty() {
            room["weather"] = json!({ "condition": self.zone.state.weather });
        }
        room
    }

    fn exits(&self, place: &Room) -> Value {
        let shown = place.exits.iter().filter(|(_, exit)| !exit.hidden);
        shown
            .map(|(dir, exit)| (dir.names().0.to_owned(), self.exit(*dir, exit)))
            .collect::<Map<_, _>>()
            .into()
    }

    fn exit(&self, direction: Direction, exit: &Exit) -> Value {
        let mut value = json!({
            "to": exit.to.as_str(),
            "name": self.catalogue.render(&way("direction", direction), self.locale),
        });
        if let Some(place) = self.zone.content.rooms.get(&exit.to) {
            value["place"] = json!(place.name);
        }
        if let Some(door) = &exit.door {
            value["door"] = json!(door);
        }
        if exit.locked {
            value["locked"] = json!(true);
        }
        value
    }

    fn character(&self) -> Value {
        let me = self.me;
        let settings = &me.kept.settings;
        json!({
            "id": me.id.to_string(),
            "name": me.name,
            "role": me.role,
            "pose": me.kept.pose,
            "brief": settings.brief,
            "screen_reader": settings.screen_reader,
        })
    }

    /// A page of the others in the room; the token is the last one shown.
    fn occupants(&self, page: Option<&str>) -> Value {
        let after = page.and_then(|page| page.parse::<CharacterId>().ok());
        let seats = self.zone.state.rooms.get(&self.me.room);
        let total = seats.map_or(0, |seats| seats.len()).saturating_sub(1);
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut ids: Vec<CharacterId> = seats
            .into_iter()
            .flat_map(|seats| seats.range((from, std::ops::Bound::Unbounded)))
            .copied()
            .filter(|id| *id != self.me.id)
            .take(OCCUPANTS_A_PAGE + 1)
            .collect();
        let more = ids.len() > OCCUPANTS_A_PAGE;
        ids.truncate(OCCUPANTS_A_PAGE);
        let next = ids.last().filter(|_| more).map(|id| id.to_string());
        let items: Vec<Value> = ids.into_iter().filter_map(|id| occupant_of(self.zone, id)).collect();
        object([("items", items.into()), ("total", total.into()), ("next", next.into())])
    }

    fn map(&self) -> Value {
        let here = |id: &&RoomId| id.zone() == self.zone.id;
        let rooms: Map<String, Value> = self
            .zone
            .content
            .rooms
            .iter()
            .filter(|(id, _)| here(id))
            .map(|(id, room)| (id.to_string(), self.map_room(room)))
            .collect();
        json!({ "map": {
            "zone": self.zone.id.as_str(),
            "name": self.zone.content.zones.get(&self.zone.id).map(|zone| zone.name.as_str()),
            "here": self.me.room.as_str(),
            "rooms": rooms,
        }})
    }

    fn map_room(&self, room: &Room) -> Value {
        let exits: Map<String, Value> = room
            .exits
            .iter()
            .filter(|(_, exit)| !exit.hidden)
            .map(|(dir, exit)| {
                (dir.names().0.to_owned(), json!({ "to": exit.to.as_str(), "locked": exit.locked }))
            })
            .collect();
        json!({ "name": room.name, "at": { "x": room.at.0, "y": room.at.1 }, "outdoors": room.outdoors, "exits": exits })
    }

    fn commands(&self) -> Value {
        let mine = commands::ALL.iter().filter(|spec| self.me.role >= spec.role);
        let commands: Map<String, Value> = mine
            .map(|spec| {
                let value = json!({ "names": spec.names, "usage": spec.usage, "summary": spec.summary, "role": spec.role });
                (spec.names[0].to_owned(), value)
            })
            .collect();
        let emotes: Vec<&str> = self.zone.content.emotes.keys().map(String::as_str).collect();
        json!({ "commands": commands, "emotes": emotes })
    }
}

/// An object of values that are made already: `json!` would copy them, whole pages of people.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Anyone in a room, as clients see them.
pub(crate) fn occupant_of(zone: &Zone, id: CharacterId) -> Option<Value> {
    if let Some(person) = zone.state.people.get(&id) {
        return Some(occupant(person));
    }
    npc::of(zone, id)
        .map(|npc| json!({ "id": id.to_string(), "name": npc.name, "kind": "npc", "link_lost": false }))
}
