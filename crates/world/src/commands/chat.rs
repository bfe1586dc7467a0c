//! `chat <text>`: on one's default channel.

use super::{Call, Ran, Spec};
use crate::input::Role;
use crate::speech::{self, Channel};
use crate::text::t;
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["chat"],
    usage: "chat <text>",
    summary: "Speaks on your default channel, which 'channel default <name>' sets.",
    see: &["channel"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.is_empty() {
        return Err(t("refuse.chat_what"));
    }
    let person = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    match Channel::from_name(&person.kept.settings.channel) {
        None | Some(Channel::Say) => (super::say::SPEC.run)(turn, call),
        Some(Channel::Party) => super::party::say(turn, call),
        Some(channel) => speech::on_channel(turn, call, channel),
    }
}
