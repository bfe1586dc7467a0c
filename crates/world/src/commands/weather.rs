//! `weather`: what it is like outside.

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["weather"],
    usage: "weather",
    summary: "Tells the weather of this zone.",
    see: &["time"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let condition = turn.zone.state.weather.as_str();
    let outdoors = turn.room(&me.room).is_some_and(|room| room.outdoors);
    Ok(Done::Read(match (condition, outdoors) {
        ("", _) => t("weather.none"),
        (condition, true) => t1("weather.now", "condition", condition),
        (condition, false) => t1("weather.inside", "condition", condition),
    }))
}
