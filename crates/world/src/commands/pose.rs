//! `pose <text>`: what one is seen doing, until it is changed. Others see it when they look.

use serde_json::{Value, json};
use tidings_protocol::Audience;

use super::{Call, Done, Ran, Spec, within};
use crate::effect::Change;
use crate::input::Role;
use crate::limits::{POSE_CHARS_MAX, Verb};
use crate::output::Event;
use crate::speech;
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["pose"],
    usage: "pose [what you are doing]",
    summary: "Sets what others see you doing when they look; without text, nothing.",
    see: &["emote", "look"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let pose = within(call.rest, POSE_CHARS_MAX)?;
    speech::may_speak(turn, call.me)?;
    speech::not_so_fast(turn, call.me, Verb::Emote)?;
    let room = turn.person(call.me).map(|person| person.room.clone()).ok_or_else(|| t("refuse.session"))?;
    turn.apply(Change::Pose(call.me, pose.to_owned()));
    turn.keep(call.me);
    let own = if pose.is_empty() { t("chat.pose.cleared") } else { t1("chat.pose.self", "text", pose) };
    let shown = if pose.is_empty() { Value::Null } else { json!(pose) };
    turn.emit(Event {
        audience: Some(Audience::Room(room.clone())),
        kind: "event.changed".into(),
        from: turn.actor(call.me),
        origin: Some(call.origin.clone()),
        own: Some(own.clone()),
        data: json!({ "room": room.as_str() }).to_string(),
        patch: Some(json!({ "occupants": { (call.me.to_string()): { "pose": shown } } })),
        ..Event::default()
    });
    Ok(Done::InLog(own))
}
