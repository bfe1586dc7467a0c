//! `unmute <who>`, `unmute <who> on <channel>`, `unmute channel <name>`.

use super::mute::{self, What};
use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::names::same;
use crate::output::MuteChange;
use crate::speech::Channel;
use crate::text::{t, t1};
use crate::turn::Turn;
use tidings_protocol::Text;

pub(crate) const SPEC: Spec = Spec {
    names: &["unmute", "unignore"],
    usage: "unmute <player>, unmute <player> on <channel>, unmute channel <name>",
    summary: "Lets a player or a channel reach you again.",
    see: &["mute", "mutes"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    match mute::what(call, &SPEC)? {
        What::Channel(channel) => unmute_channel(turn, call, channel),
        What::Player { name, channel, .. } => unmute_player(turn, call, name, channel),
    }
}

fn unmute_channel(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    if !me.mutes_channel(channel.name(), turn.now) {
        return Err(t1("mute.was_not_channel", "channel", channel.name()));
    }
    let change = mute::change_of_channel(turn, call, channel, true)?;
    mute::apply(turn, call, change, t1("mute.undone_channel", "channel", channel.name()))
}

fn unmute_player(turn: &mut Turn<'_>, call: &Call<'_>, name: &str, channel: Option<Channel>) -> Ran {
    let on = channel.map_or("", |channel| channel.name());
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let fits = |mute: &&MuteChange, account| {
        mute.target.is_some() && mute.channel == on && (same(&mute.name, name) || mute.target == account)
    };
    let online = turn.find_present(name).map(|present| present.account);
    let found = me.mutes.iter().find(|mute| fits(mute, online)).cloned();
    if let Some(mute) = found {
        let name = mute.name.clone();
        return end(turn, call, mute, channel, &name);
    }
    // By another name of the same account, or there is no such player at all.
    let target = match super::player(turn, call, name)? {
        super::Found::Player(target) => target,
        super::Found::Asked => return Ok(Done::Later),
    };
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    match me.mutes.iter().find(|mute| fits(mute, Some(target.account))).cloned() {
        Some(mute) => end(turn, call, mute, channel, &target.name),
        None => Err(about("mute.was_not", "mute.was_not_on", &target.name, channel)),
    }
}

/// Ends a mute of the player whom the muter calls so.
fn end(
    turn: &mut Turn<'_>,
    call: &Call<'_>,
    mute: MuteChange,
    channel: Option<Channel>,
    name: &str,
) -> Ran {
    let own = about("mute.undone", "mute.undone_on", name, channel);
    mute::apply(turn, call, MuteChange { removed: true, until: None, ..mute }, own)
}

/// A text about a player, everywhere or on a channel.
fn about(everywhere: &'static str, on: &'static str, name: &str, channel: Option<Channel>) -> Text {
    match channel {
        Some(channel) => t1(on, "name", name).with("channel", channel.name()),
        None => t1(everywhere, "name", name),
    }
}
