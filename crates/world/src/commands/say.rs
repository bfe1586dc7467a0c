//! `say <text>`, `'<text>`: to the room.

use tidings_protocol::Audience;

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::limits::{SAY_CHARS_MAX, Verb};
use crate::npc;
use crate::speech::{self, Line};
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["say", "'"],
    usage: "say <text>",
    summary: "Says something to everyone in the room. A short form is '<text>.",
    see: &["emote", "local", "global", "whisper"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let message = call.text(SAY_CHARS_MAX, "refuse.say_what")?;
    speech::may_speak(turn, call.me)?;
    speech::not_so_fast(turn, call.me, Verb::Say)?;
    let person = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let line = Line {
        audience: Audience::Room(person.room.clone()),
        kind: "chat.say".into(),
        channel: "say",
        message,
        text: t1("chat.say", "name", person.name.as_str()).with("text", message),
        own: t1("chat.say.self", "text", message),
    };
    let own = speech::speak(turn, call, line);
    npc::hear(turn, call.me, message);
    Ok(Done::InLog(own))
}
