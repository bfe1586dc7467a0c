//! `mutes`: whom and what one has muted.

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::output::MuteChange;
use crate::text::{clock, or_nothing, plain, t, t1};
use crate::turn::Turn;
use tidings_protocol::Text;

pub(crate) const SPEC: Spec = Spec {
    names: &["mutes"],
    usage: "mutes",
    summary: "Lists whom and what you have muted.",
    see: &["mute", "unmute"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let lines: Vec<Text> = me.live_mutes(turn.now).map(line).collect();
    Ok(Done::Read(if lines.is_empty() { t("mute.none") } else { t("mute.list").with("lines", lines) }))
}

fn line(mute: &MuteChange) -> Text {
    let (name, on) = match mute.target {
        None => (t1("mute.line_channel", "channel", mute.channel.as_str()), None),
        Some(_) if mute.channel.is_empty() => (plain(mute.name.as_str()), None),
        Some(_) => (plain(mute.name.as_str()), Some(t1("mute.on", "channel", mute.channel.as_str()))),
    };
    let reason = Some(mute.reason.as_str()).filter(|reason| !reason.is_empty());
    t1("mute.line", "name", name)
        .with("channel", or_nothing(on))
        .with("until", or_nothing(mute.until.map(|until| t1("mute.until", "time", clock(until)))))
        .with("reason", or_nothing(reason.map(|reason| t1("mute.reason", "reason", reason))))
}
