//! `settings [<name> on|off]`: what one has chosen.

use super::{Call, Done, Ran, Spec};
use crate::effect::Change;
use crate::input::Role;
use crate::names::{shown, split};
use crate::state::Settings;
use crate::text::{t, t1};
use crate::turn::Turn;
use tidings_protocol::Text;

pub(crate) const SPEC: Spec = Spec {
    names: &["settings", "set"],
    usage: "settings [<name> on|off]",
    summary: "Shows your settings, or changes one: brief, screenreader, invitations.",
    see: &["brief", "screenreader", "channel"],
    role: Role::Player,
    run,
};

/// The names, as they are typed and shown.
const NAMES: [&str; 3] = ["brief", "screenreader", "invitations"];

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (name, value) = split(call.rest);
    if name.is_empty() {
        let settings = &turn.person(call.me).ok_or_else(|| t("refuse.session"))?.kept.settings;
        let lines: Vec<Text> = NAMES.iter().map(|name| line("settings.line", name, is_on(settings, name))).collect();
        return Ok(Done::Read(t("settings.list").with("lines", lines)));
    }
    let Some(name) = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else {
        return Err(t1("settings.unknown", "name", shown(name)));
    };
    set(turn, call, name, value)
}

/// Sets a setting; without a value it becomes the other one.
pub(crate) fn set(turn: &mut Turn<'_>, call: &Call<'_>, name: &str, value: &str) -> Ran {
    let mut settings = turn.person(call.me).ok_or_else(|| t("refuse.session"))?.kept.settings.clone();
    let on = match value.to_lowercase().as_str() {
        "on" | "yes" => true,
        "off" | "no" => false,
        "" => !is_on(&settings, name),
        _ => return Err(t1("settings.value", "name", name).with("values", "on, off")),
    };
    match name {
        "brief" => settings.brief = on,
        "screenreader" => settings.screen_reader = on,
        _ => settings.no_invitations = !on,
    }
    turn.apply(Change::Settings(call.me, settings));
    turn.keep(call.me);
    Ok(Done::Changed(line("settings.set", name, on)))
}

fn is_on(settings: &Settings, name: &str) -> bool {
    match name {
        "brief" => settings.brief,
        "screenreader" => settings.screen_reader,
        _ => !settings.no_invitations,
    }
}

fn line(key: &'static str, name: &str, on: bool) -> Text {
    t1(key, "name", name).with("value", t(if on { "on" } else { "off" }))
}
