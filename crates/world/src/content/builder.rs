//! What the readers of single files gather: the content as it stands, and where each reference in it was written, so
//! that the checks over the whole world can name the line.

use std::collections::{BTreeMap, BTreeSet};

use tidings_protocol::{RoomId, ZoneId};

use super::mistake::{Place, Report, Source, shown};
use super::model::{Content, Direction};

/// A content in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub content: Content,
    /// Where each room is written.
    pub rooms_at: BTreeMap<RoomId, Place>,
    /// Where each exit is written.
    pub exits_at: BTreeMap<(RoomId, Direction), Place>,
    /// Exits declared to come back another way.
    pub winding: BTreeSet<(RoomId, Direction)>,
    /// Rooms whose place on the map was given.
    pub drawn: BTreeSet<RoomId>,
    /// Rooms that something other than an exit names: where, what, which.
    pub room_refs: Vec<(Place, String, RoomId)>,
    /// Where each character is written.
    pub npcs_at: BTreeMap<String, Place>,
    /// Where each emote is written.
    pub emotes_at: BTreeMap<String, Place>,
    /// Where each help topic is written.
    pub help_at: BTreeMap<String, Place>,
    /// Topics that a topic names: where and which.
    pub help_refs: Vec<(Place, String, String)>,
    /// Zones that could be read in part only: what is missing there is no second mistake.
    pub broken: BTreeSet<ZoneId>,
    /// Help files, or some of them, could be read in part only.
    pub help_broken: bool,
}

/// A room as a builder names it: `quay` in the same zone, `harbour_quay` from anywhere.
pub(super) fn room_ref(text: &str, zone: Option<&ZoneId>) -> Result<RoomId, String> {
    let found = match zone {
        Some(zone) if !text.contains('_') => RoomId::in_zone(zone, text),
        _ => text.parse(),
    };
    found.map_err(|_| {
        let text = shown(text);
        format!("'{text}' is not a room's id: <room> in the same zone, <zone>_<room> in another")
    })
}

/// Reads and keeps the reference; mistakes are reported.
pub(super) fn keep_room_ref(
    builder: &mut Builder,
    report: &Report,
    place: Place,
    what: String,
    text: &str,
    zone: Option<&ZoneId>,
) -> Option<RoomId> {
    match room_ref(text, zone) {
        Ok(room) => {
            builder.room_refs.push((place, what, room.clone()));
            Some(room)
        }
        Err(why) => {
            report.error(&place, format!("{what}: {why}"));
            None
        }
    }
}

/// What is wrong with a key that has to be a slug.
pub(super) fn bad_slug(source: &Source<'_>, place: &Place, what: &str, key: &str) {
    let message = format!("{what} '{}' has a bad id: 1 to 40 of a-z, 0-9 and '-'", shown(key));
    source.report.error(place, message);
}
