//! The bounds of a world's files: what a reader, a screen and the process can bear. A builder who meets one reads its number.

/// Files of a world; far above what people write by hand, and a bound on the checker's work.
pub const FILES_MAX: usize = 1_000;
/// One file: a zone of some thousand lines of prose.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// All files together, so that a thousand large files cannot fill the memory.
pub const WORLD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Mistakes named in one go; nobody reads more, and a hostile file could make one a byte.
pub const MISTAKES_MAX: usize = 500;
/// Zones of a world: each is an owner, a log and a timer.
pub const ZONES_MAX: usize = 500;
/// Rooms of a zone: what one owner decides for.
pub const ROOMS_PER_ZONE_MAX: usize = 2_000;
/// Areas of a zone.
pub const AREAS_PER_ZONE_MAX: usize = 100;
/// Characters that live in a zone: each takes part in the zone's beat.
pub const NPCS_PER_ZONE_MAX: usize = 200;
/// How many of one character there may be.
pub const POPULATION_MAX: i64 = 20;
/// Things to look at in a room.
pub const THINGS_PER_ROOM_MAX: usize = 30;
/// Words that name one thing or one character.
pub const WORDS_MAX: usize = 12;
/// One such word.
pub const WORD_CHARS_MAX: usize = 30;
/// Steps of a day's routine: at most one an hour.
pub const ROUTINE_MAX: usize = 24;
/// Greetings, idle lines, or lines of a reaction.
pub const LINES_MAX: usize = 40;
/// Reactions of one character.
pub const REACTIONS_MAX: usize = 40;
/// Rooms that a character wanders through.
pub const WANDERS_MAX: usize = 100;
/// A name: fits a button, a map and a line of `who`.
pub const NAME_CHARS_MAX: usize = 60;
/// A room's description, a character's or a thing's: read aloud in under two minutes.
pub const DESCRIPTION_CHARS_MAX: usize = 1_500;
/// A line that a character says: what players may say.
pub const LINE_CHARS_MAX: usize = 500;
/// A form of an emote: what players may emote.
pub const EMOTE_CHARS_MAX: usize = 200;
/// Named emotes of a world.
pub const EMOTES_MAX: usize = 500;
/// Help topics of a world.
pub const HELP_MAX: usize = 500;
/// A help topic's text: a few screens.
pub const HELP_CHARS_MAX: usize = 6_000;
/// Other topics that a topic names.
pub const SEE_ALSO_MAX: usize = 20;
/// A help topic's own word.
pub const TOPIC_CHARS_MAX: usize = 40;
/// The world's welcome, shown before entering.
pub const WELCOME_CHARS_MAX: usize = 2_000;
/// How far from the map's middle a room may be drawn.
pub const MAP_AT_MAX: i64 = 1_000;
/// Real seconds of a world's hour: from one, for tests, to a day.
pub const HOUR_SECONDS_MAX: i64 = 86_400;
/// Real seconds of an hour where the world does not say: a day of the world lasts an hour.
pub const HOUR_SECONDS: u32 = 150;
/// The weight of a condition of the weather.
pub const WEATHER_WEIGHT_MAX: i64 = 1_000;
/// What the weather may be; the message catalogue holds a line for each.
pub const WEATHER: [&str; 8] = ["clear", "cloudy", "fog", "mist", "rain", "snow", "storm", "wind"];
/// Who may read a help topic, from the least to the most.
pub const ROLES: [&str; 4] = ["player", "builder", "moderator", "admin"];
