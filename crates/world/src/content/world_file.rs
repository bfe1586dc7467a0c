//! `world.toml`: the world itself.

use tidings_protocol::WorldId;
use toml::de::DeTable;

use super::builder::{Builder, keep_room_ref};
use super::fields::Fields;
use super::limits::{HOUR_SECONDS, HOUR_SECONDS_MAX, NAME_CHARS_MAX, WELCOME_CHARS_MAX};
use super::mistake::{Source, shown};
use super::model::WorldMeta;
use super::text::Shape;

/// The longest `<zone>_<room>`.
const ROOM_REF_CHARS_MAX: usize = 81;

pub(super) fn read(builder: &mut Builder, source: &Source<'_>, table: &DeTable<'_>) {
    let known = ["id", "name", "welcome", "start", "hour_seconds"];
    let fields = Fields::new(source, table, source.top(), "world.toml", &known);
    let id = fields.need_text("id", Shape::Line(ROOM_REF_CHARS_MAX));
    let name = fields.need_text("name", Shape::Line(NAME_CHARS_MAX));
    let welcome = fields.need_text("welcome", Shape::Prose(WELCOME_CHARS_MAX));
    let hour = fields
        .number("hour_seconds", 1..=HOUR_SECONDS_MAX)
        .map_or(HOUR_SECONDS, |(_, seconds)| u32::try_from(seconds).expect("the bounds were checked"));
    let start = fields.need_text("start", Shape::Line(ROOM_REF_CHARS_MAX));
    let start_at = fields.text("start", Shape::Line(ROOM_REF_CHARS_MAX)).map_or(source.top(), |(at, _)| at);
    let start = (!start.is_empty())
        .then(|| keep_room_ref(builder, source.report, start_at, "'start'".into(), &start, None))
        .flatten();
    let id: Option<WorldId> = (!id.is_empty())
        .then(|| id.parse().map_err(|_| fields.error(&source.top(), bad_id(&id))).ok())
        .flatten();
    if let (Some(id), Some(start)) = (id, start) {
        builder.content.world = Some(WorldMeta { id, name, welcome, start, hour_seconds: hour });
    }
}

fn bad_id(id: &str) -> String {
    format!("'id' is '{}': 1 to 40 of a-z, 0-9 and '-'", shown(id))
}
