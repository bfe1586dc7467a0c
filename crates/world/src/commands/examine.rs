//! `examine <thing or person>`: a closer look.

use tidings_protocol::Text;

use super::{Call, Done, Ran, Spec, look, usage};
use crate::input::Role;
use crate::npc;
use crate::state::Person;
use crate::text::{or_nothing, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["examine", "x"],
    usage: "examine <thing or person>",
    summary: "Looks closely at a thing or a person.",
    see: &["look"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(usage(&SPEC));
    }
    let room = turn.person(call.me).map(|me| me.room.clone()).ok_or_else(|| t("refuse.session"))?;
    if let Some(id) = look::looked_at(turn, &room, call.rest) {
        if let Some(person) = turn.person(id) {
            return Ok(Done::Read(player(person)));
        }
        if let Some(npc) = npc::of(turn.zone, id) {
            let text = t1("examine.npc", "name", npc.name.as_str()).with("description", npc.description.as_str());
            return Ok(Done::Read(text));
        }
    }
    (look::SPEC.run)(turn, call)
}

fn player(person: &Person) -> Text {
    let pose = Some(person.kept.pose.as_str()).filter(|pose| !pose.is_empty());
    t1("examine.player", "name", person.name.as_str())
        .with("staff", or_nothing(person.is_staff().then(|| t("examine.staff"))))
        .with("pose", or_nothing(pose.map(|pose| t1("examine.pose", "pose", pose))))
        .with("lost", or_nothing(person.lost.map(|_| t("examine.lost"))))
}
