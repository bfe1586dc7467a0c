//! The content of a world after it was read and checked. Never changed: a reload makes another.

use std::collections::BTreeMap;

use tidings_protocol::{AreaId, RoomId, WorldId, ZoneId};

/// A whole world.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// The world's id and name, and where people start.
    pub world: Option<WorldMeta>,
    /// By id.
    pub zones: BTreeMap<ZoneId, Zone>,
    /// By id.
    pub areas: BTreeMap<AreaId, Area>,
    /// By id.
    pub rooms: BTreeMap<RoomId, Room>,
    /// By id, `<zone>_<name>`.
    pub npcs: BTreeMap<String, Npc>,
    /// By the word that is typed.
    pub emotes: BTreeMap<String, Emote>,
    /// By topic.
    pub help: BTreeMap<String, Help>,
}

/// The world itself.
#[derive(Debug, Clone)]
pub struct WorldMeta {
    /// Its id.
    pub id: WorldId,
    /// Its name.
    pub name: String,
    /// One paragraph shown before entering.
    pub welcome: String,
    /// Where new characters start, and where people of a removed room are moved.
    pub start: RoomId,
    /// Real seconds an hour of the world lasts.
    pub hour_seconds: u32,
}

/// A zone: the unit of ownership.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Its id.
    pub id: ZoneId,
    /// Its name.
    pub name: String,
    /// The weather's conditions with their weights; empty: indoors throughout.
    pub weather: Vec<(String, u32)>,
}

/// An area: the reach of `local`.
#[derive(Debug, Clone)]
pub struct Area {
    /// Its id.
    pub id: AreaId,
    /// Its name.
    pub name: String,
}

/// A room.
#[derive(Debug, Clone)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Its area.
    pub area: AreaId,
    /// Its name.
    pub name: String,
    /// What one sees there.
    pub description: String,
    /// Whether the weather shows.
    pub outdoors: bool,
    /// By direction.
    pub exits: BTreeMap<Direction, Exit>,
    /// Things to look at: the words that name it, and what one sees.
    pub things: Vec<Thing>,
    /// Where the map draws it: columns to the east, rows to the south. Given, or laid out by the loader.
    pub at: (i32, i32),
}

/// A thing to look at.
#[derive(Debug, Clone)]
pub struct Thing {
    /// The words that name it, lower case; the first is its name.
    pub words: Vec<String>,
    /// What one sees.
    pub description: String,
}

/// A way out of a room.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Where it leads.
    pub to: RoomId,
    /// Declared to have no way back.
    pub one_way: bool,
    /// Not shown.
    pub hidden: bool,
    /// Cannot be passed.
    pub locked: bool,
    /// The name of a door that stands in it.
    pub door: Option<String>,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Direction {
    North,
    Northeast,
    East,
    Southeast,
    South,
    Southwest,
    West,
    Northwest,
    Up,
    Down,
    In,
    Out,
}

impl Direction {
    /// Every direction, as exits are listed.
    pub const ALL: [Self; 12] = [
        Self::North,
        Self::Northeast,
        Self::East,
        Self::Southeast,
        Self::South,
        Self::Southwest,
        Self::West,
        Self::Northwest,
        Self::Up,
        Self::Down,
        Self::In,
        Self::Out,
    ];

    /// Its name and its short form.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::North => ("north", "n"),
            Self::Northeast => ("northeast", "ne"),
            Self::East => ("east", "e"),
            Self::Southeast => ("southeast", "se"),
            Self::South => ("south", "s"),
            Self::Southwest => ("southwest", "sw"),
            Self::West => ("west", "w"),
            Self::Northwest => ("northwest", "nw"),
            Self::Up => ("up", "u"),
            Self::Down => ("down", "d"),
            Self::In => ("in", "in"),
            Self::Out => ("out", "out"),
        }
    }

    /// The direction called so, by either name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.names().0 == text || d.names().1 == text)
    }

    /// The way back.
    pub fn opposite(self) -> Self {
        match self {
            Self::North => Self::South,
            Self::Northeast => Self::Southwest,
            Self::East => Self::West,
            Self::Southeast => Self::Northwest,
            Self::South => Self::North,
            Self::Southwest => Self::Northeast,
            Self::West => Self::East,
            Self::Northwest => Self::Southeast,
            Self::Up => Self::Down,
            Self::Down => Self::Up,
            Self::In => Self::Out,
            Self::Out => Self::In,
        }
    }
}

/// A character that lives there.
#[derive(Debug, Clone)]
pub struct Npc {
    /// `<zone>_<name>`.
    pub id: String,
    /// Its name, as it is shown.
    pub name: String,
    /// Words that name it, lower case.
    pub words: Vec<String>,
    /// What one sees on looking at it.
    pub description: String,
    /// Where it starts, and returns to.
    pub home: RoomId,
    /// How many of it there are at most.
    pub population: u32,
    /// Where it may wander of itself; empty: nowhere.
    pub wanders: Vec<RoomId>,
    /// What it does by the hour.
    pub routine: Vec<RoutineStep>,
    /// Lines said (or done) when somebody arrives; one is chosen. `{name}` is who arrived.
    pub greetings: Vec<String>,
    /// Words that it reacts to, and what it says (or does).
    pub reactions: Vec<Reaction>,
    /// Lines said (or done) of itself now and then.
    pub idle: Vec<String>,
}

/// What a character does at an hour.
#[derive(Debug, Clone)]
pub struct RoutineStep {
    /// 0 to 23, in the world's hours.
    pub hour: u8,
    /// Where it goes; `None`: it stays.
    pub go: Option<RoomId>,
    /// What it says; a line that starts with ':' is done, not said. Empty: nothing.
    pub line: String,
}

/// What a character reacts to.
#[derive(Debug, Clone)]
pub struct Reaction {
    /// Any of these words, lower case.
    pub words: Vec<String>,
    /// One is chosen; a line that starts with ':' is done, not said.
    pub lines: Vec<String>,
}

/// A named emote. `{name}` is who does it, `{target}` whom it is done to.
#[derive(Debug, Clone)]
pub struct Emote {
    /// The word that is typed.
    pub word: String,
    /// What the actor reads, for example `You dance.`
    pub own: String,
    /// What others read, for example `{name} dances.`
    pub others: String,
    /// With a target: what the actor, others and the target read. Empty: takes no target.
    pub own_to: String,
    /// What others read.
    pub others_to: String,
    /// What the target reads.
    pub target_to: String,
}

/// A help topic.
#[derive(Debug, Clone)]
pub struct Help {
    /// The word that is asked for.
    pub topic: String,
    /// Its title.
    pub title: String,
    /// Plain text.
    pub text: String,
    /// Other topics.
    pub see_also: Vec<String>,
    /// The role that may read it: `player`, `builder`, `moderator`, `admin`.
    pub role: String,
}
