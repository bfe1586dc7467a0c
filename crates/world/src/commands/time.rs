//! `time`: the world's own hour and day.

use super::{Call, Done, Ran, Spec};
use crate::calendar;
use crate::input::Role;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["time"],
    usage: "time",
    summary: "Tells the hour and the day of the world.",
    see: &["weather"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, _: &Call<'_>) -> Ran {
    Ok(Done::Read(calendar::told(turn.now, calendar::hour_ms(&turn.zone.content))))
}
