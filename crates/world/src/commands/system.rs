//! `system <text>`: an announcement to everyone, heard even by those who muted its author.

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::limits::SAY_CHARS_MAX;
use crate::output::Event;
use crate::speech;
use crate::text::t1;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["system", "announce"],
    usage: "system <text>",
    summary: "Announces something to everyone in the world.",
    see: &["staff", "shutdown"],
    role: Role::Moderator,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let message = call.text(SAY_CHARS_MAX, "refuse.system_what")?;
    let text = t1("chat.system", "text", message);
    turn.audit(call.me, "system", "", message);
    turn.emit(Event {
        audience: Some(turn.world()),
        kind: "chat.system".into(),
        from: turn.actor(call.me),
        origin: Some(call.origin.clone()),
        text: Some(text.clone()),
        own: Some(text.clone()),
        data: speech::said(message),
        always: true,
        channel: "system".into(),
        ..Event::default()
    });
    Ok(Done::InLog(text))
}
