//! `who [filter]`: who is in the world, from live sessions.

use tidings_protocol::Text;

use super::{Call, Done, Ran, Spec};
use crate::input::{Present, Role};
use crate::limits::WHO_LINES_MAX;
use crate::text::{or_nothing, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["who", "online"],
    usage: "who [part of a name or place]",
    summary: "Lists who is in the world, and where.",
    see: &["look", "whisper"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let filter = call.rest.to_lowercase();
    let fits = |present: &&Present| {
        filter.is_empty()
            || present.name.to_lowercase().contains(&filter)
            || present.room_name.to_lowercase().contains(&filter)
    };
    let mut online: Vec<&Present> = turn.zone.known.all().filter(fits).collect();
    online.sort_by_cached_key(|present| present.name.to_lowercase());
    let total = online.len();
    let mut lines: Vec<Text> = online.into_iter().take(WHO_LINES_MAX).map(line).collect();
    if total > WHO_LINES_MAX {
        lines.push(t1("who.more", "n", (total - WHO_LINES_MAX).to_string()));
    }
    let key = if lines.is_empty() { return Ok(Done::Read(t1("who.none", "n", "0"))) } else { "who.list" };
    Ok(Done::Read(t1(key, "n", total.to_string()).with("lines", lines)))
}

fn line(present: &Present) -> Text {
    let staff = present.role >= Role::Builder;
    t1("who.line", "name", present.name.as_str())
        .with("room", present.room_name.as_str())
        .with("lost", or_nothing(present.link_lost.then(|| t("who.lost"))))
        .with("staff", or_nothing(staff.then(|| t("who.staff"))))
}
