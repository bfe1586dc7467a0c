//! The views that `state` frames show: made from the zone alone, a page of occupants at a time, with a constant
//! number of look-ups whatever the number of occupants. They are written straight into their text: everybody who
//! enters a room is shown it, with all who are there.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use tidings_protocol::text::Catalogue;
use tidings_protocol::{CharacterId, RoomId};

use crate::commands;
use crate::content::model::{Direction, Exit, Room};
use crate::input::Role;
use crate::limits::OCCUPANTS_A_PAGE;
use crate::npc;
use crate::state::Person;
use crate::text::way;
use crate::zone::Zone;

/// What makes a view: whose, and in which language.
struct View<'a> {
    zone: &'a Zone,
    me: &'a Person,
    catalogue: &'a Catalogue,
    locale: &'a str,
}

/// The view `room`.
#[derive(Serialize)]
struct RoomView<'a> {
    character: Me<'a>,
    room: Place<'a>,
}

/// The view `occupants`.
#[derive(Serialize)]
struct OccupantsView<'a> {
    room: &'a str,
    occupants: Occupants<'a>,
}

/// Whose view it is.
#[derive(Serialize)]
struct Me<'a> {
    id: CharacterId,
    name: &'a str,
    role: Role,
    pose: &'a str,
    brief: bool,
    screen_reader: bool,
}

/// A room as it is shown; of one that is in the world's files no more, only its id.
#[derive(Serialize)]
struct Place<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    zone: &'a str,
    exits: BTreeMap<&'static str, Way<'a>>,
    #[serde(flatten)]
    more: Option<More<'a>>,
    occupants: Occupants<'a>,
}

/// What the world's files say of a room beside.
#[derive(Serialize)]
struct More<'a> {
    zone_name: Option<&'a str>,
    area: &'a str,
    area_name: Option<&'a str>,
    outdoors: bool,
    things: BTreeMap<&'a str, Thing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weather: Option<Weather<'a>>,
}

/// A thing, of which only the name is shown.
#[derive(Serialize)]
struct Thing {}

#[derive(Serialize)]
struct Weather<'a> {
    condition: &'a str,
}

/// An exit: only what applies.
#[derive(Serialize)]
struct Way<'a> {
    to: &'a str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<&'a str>,
    #[serde(skip_serializing_if = "is_not")]
    locked: bool,
}

/// A page of those in a room.
#[derive(Serialize)]
struct Occupants<'a> {
    items: Vec<Occupant<'a>>,
    total: usize,
    next: Option<CharacterId>,
}

/// Anyone in a room, as clients see them.
#[derive(Serialize)]
pub(crate) struct Occupant<'a> {
    id: CharacterId,
    name: &'a str,
    kind: &'static str,
    link_lost: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pose: &'a str,
    #[serde(skip_serializing_if = "is_not")]
    staff: bool,
}

fn is_not(flag: &bool) -> bool {
    !flag
}

impl Zone {
    /// The members of a `state` frame beside what it is and its position, as the text of an object: `what` is `room`,
    /// `occupants`, `map` or `commands`; `page` is `next` of the page before. `None`: the character is not here, or
    /// there is no such view.
    pub fn view(
        &self,
        character: CharacterId,
        what: &str,
        page: Option<&str>,
        catalogue: &Catalogue,
        locale: &str,
    ) -> Option<String> {
        let me = self.state.people.get(&character)?;
        let view = View { zone: self, me, catalogue, locale };
        let page = page.filter(|page| !page.is_empty());
        match what {
            "" | "room" => Some(text(&view.room(page))),
            "occupants" => {
                Some(text(&OccupantsView { room: me.room.as_str(), occupants: view.occupants(page) }))
            }
            "map" => Some(text(&view.map())),
            "commands" => Some(text(&view.commands())),
            _ => None,
        }
    }
}

fn text(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("texts and numbers are JSON")
}

impl<'a> View<'a> {
    fn room(&self, page: Option<&str>) -> RoomView<'a> {
        let id = self.me.room.as_str();
        let place = self.zone.content.rooms.get(&self.me.room);
        let room = Place {
            id,
            name: place.map_or(id, |place| &place.name),
            description: place.map_or("", |place| &place.description),
            zone: self.zone.id.as_str(),
            exits: place.map(|place| self.exits(place)).unwrap_or_default(),
            more: place.map(|place| self.more(place)),
            occupants: self.occupants(page),
        };
        RoomView { character: self.character(), room }
    }

    fn more(&self, place: &'a Room) -> More<'a> {
        let content = &self.zone.content;
        let condition = self.zone.state.weather.as_str();
        More {
            zone_name: content.zones.get(&self.zone.id).map(|zone| zone.name.as_str()),
            area: place.area.as_str(),
            area_name: content.areas.get(&place.area).map(|area| area.name.as_str()),
            outdoors: place.outdoors,
            things: place
                .things
                .iter()
                .filter_map(|one| Some((one.words.first()?.as_str(), Thing {})))
                .collect(),
            weather: (place.outdoors && !condition.is_empty()).then_some(Weather { condition }),
        }
    }

    fn exits(&self, place: &'a Room) -> BTreeMap<&'static str, Way<'a>> {
        let shown = place.exits.iter().filter(|(_, exit)| !exit.hidden);
        shown.map(|(direction, exit)| (direction.names().0, self.exit(*direction, exit))).collect()
    }

    fn exit(&self, direction: Direction, exit: &'a Exit) -> Way<'a> {
        Way {
            to: exit.to.as_str(),
            name: self.catalogue.render(&way("direction", direction), self.locale),
            place: self.zone.content.rooms.get(&exit.to).map(|room| room.name.as_str()),
            door: exit.door.as_deref(),
            locked: exit.locked,
        }
    }

    fn character(&self) -> Me<'a> {
        let kept = &self.me.kept;
        Me {
            id: self.me.id,
            name: &self.me.name,
            role: self.me.role,
            pose: &kept.pose,
            brief: kept.settings.brief,
            screen_reader: kept.settings.screen_reader,
        }
    }

    /// A page of the others in the room; the token is the last one shown.
    fn occupants(&self, page: Option<&str>) -> Occupants<'a> {
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
        let next = ids.last().filter(|_| more).copied();
        let items = ids.into_iter().filter_map(|id| Occupant::of(self.zone, id)).collect();
        Occupants { items, total, next }
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

impl<'a> Occupant<'a> {
    /// A player's character.
    pub(crate) fn player(person: &'a Person) -> Self {
        Self {
            id: person.id,
            name: &person.name,
            kind: "player",
            link_lost: person.lost.is_some(),
            pose: &person.kept.pose,
            staff: person.is_staff(),
        }
    }

    /// Whoever it is, a player's character or one that lives there.
    pub(crate) fn of(zone: &'a Zone, id: CharacterId) -> Option<Self> {
        if let Some(person) = zone.state.people.get(&id) {
            return Some(Self::player(person));
        }
        let npc = npc::of(zone, id)?;
        Some(Self { id, name: &npc.name, kind: "npc", link_lost: false, pose: "", staff: false })
    }
}
