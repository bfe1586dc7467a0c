//! `whisper <player> <message>`: for one alone, wherever they are.

use serde_json::json;
use tidings_protocol::{Audience, Text};

use super::{Call, Done, Ran, Spec, usage, within};
use crate::input::{Present, Role};
use crate::limits::WHISPER_CHARS_MAX;
use crate::names::{same, split};
use crate::output::{Event, RemoteAct};
use crate::remote;
use crate::speech;
use crate::text::{t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["whisper", "tell"],
    usage: "whisper <player> <message>",
    summary: "Says something to one player alone, wherever they are.",
    see: &["reply", "mute"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (name, message) = split(call.rest);
    if name.is_empty() {
        return Err(usage(&SPEC));
    }
    if message.is_empty() {
        return Err(t("refuse.whisper_what"));
    }
    to(turn, call, name, message)
}

/// Whispers to the player called so.
pub(crate) fn to(turn: &mut Turn<'_>, call: &Call<'_>, name: &str, message: &str) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    if same(name, &me.name) {
        return Err(t("refuse.whisper_self"));
    }
    within(message, WHISPER_CHARS_MAX)?;
    let (speaker, account) = (me.name.clone(), me.account);
    speech::may_speak(turn, call.me)?;
    let Some(target) = turn.find_present(name).cloned() else {
        return super::not_online(turn, call, name);
    };
    remote::in_reach(turn, &target)?;
    speech::not_so_fast_to(turn, call.me, target.id)?;
    let own = t1("chat.whisper.self", "target", target.name.as_str()).with("text", message);
    let text = t1("chat.whisper", "name", speaker.as_str()).with("text", message);
    deliver(turn, call, &target, message, text, &own);
    // So that `reply` answers.
    remote::reach(turn, &target, RemoteAct::Whispered(speaker, account));
    Ok(Done::InLog(own))
}

fn deliver(turn: &mut Turn<'_>, call: &Call<'_>, target: &Present, message: &str, text: Text, own: &Text) {
    let to = json!({ "message": message, "to": { "id": target.id.to_string(), "name": target.name } }).to_string();
    turn.emit(Event {
        audience: Some(Audience::Player(target.id)),
        kind: "chat.whisper".into(),
        from: turn.actor(call.me),
        text: Some(text),
        data: to.clone(),
        only: vec![target.id],
        channel: "whisper".into(),
        ..Event::default()
    });
    turn.emit(Event {
        audience: Some(Audience::Player(call.me)),
        kind: "chat.whisper".into(),
        from: turn.actor(call.me),
        origin: Some(call.origin.clone()),
        own: Some(own.clone()),
        data: to,
        only: vec![call.me],
        channel: "whisper".into(),
        ..Event::default()
    });
}
