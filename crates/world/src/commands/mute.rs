//! `mute <who> [minutes] [reason]`, `mute <who> on <channel>`, `mute channel <name>`: by account, for oneself.

use tidings_protocol::Text;

use super::{Call, Done, Ran, Spec, minutes_of, usage};
use crate::effect::Change;
use crate::input::{KnownPlayer, Millis, Role};
use crate::limits::{MUTE_MINUTES_MAX, MUTES_MAX, REASON_CHARS_MAX};
use crate::names::{same, shown, split};
use crate::output::{Event, MuteChange, Persist};
use crate::speech::Channel;
use crate::text::{minutes, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["mute", "ignore"],
    usage: "mute <player> [minutes] [reason], mute <player> on <channel>, mute channel <name>",
    summary: "Stops what a player says, or a channel, from reaching you. They are not told.",
    see: &["unmute", "mutes", "channel"],
    role: Role::Player,
    run,
};

/// Whom or what a mute is about.
pub(crate) enum What<'a> {
    Channel(Channel),
    Player { name: &'a str, channel: Option<Channel>, rest: &'a str },
}

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    match what(call, &SPEC)? {
        What::Channel(channel) => mute_channel(turn, call, channel),
        What::Player { name, channel, rest } => mute_player(turn, call, name, channel, rest),
    }
}

/// Reads whom or what a mute is about.
pub(crate) fn what<'a>(call: &Call<'a>, spec: &Spec) -> Result<What<'a>, Text> {
    let (first, rest) = split(call.rest);
    if first.is_empty() {
        return Err(usage(spec));
    }
    let (second, third) = split(rest);
    let half_said = (first.eq_ignore_ascii_case("channel") && second.is_empty())
        || (second.eq_ignore_ascii_case("on") && third.is_empty());
    if half_said {
        return Err(usage(spec));
    }
    if first.eq_ignore_ascii_case("channel") {
        return channel_called(second).map(What::Channel);
    }
    if second.eq_ignore_ascii_case("on") {
        let channel = channel_called(third)?;
        return Ok(What::Player { name: first, channel: Some(channel), rest: "" });
    }
    Ok(What::Player { name: first, channel: None, rest })
}

/// The channel of this name, or a refusal.
pub(crate) fn channel_called(name: &str) -> Result<Channel, Text> {
    Channel::from_name(name).ok_or_else(|| t1("refuse.no_channel", "name", shown(name)))
}

fn mute_channel(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    if channel == Channel::System {
        return Err(t1("channel.cannot_leave", "channel", channel.name()));
    }
    let own = t1("mute.done_channel", "channel", channel.name());
    apply(turn, call, change_of_channel(turn, call, channel, false)?, own)
}

/// A mute of a channel, or its end.
pub(crate) fn change_of_channel(
    turn: &Turn<'_>,
    call: &Call<'_>,
    channel: Channel,
    removed: bool,
) -> Result<MuteChange, Text> {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    Ok(MuteChange {
        account: me.account,
        target: None,
        name: String::new(),
        channel: channel.name().to_owned(),
        until: None,
        reason: String::new(),
        removed,
    })
}

fn mute_player(turn: &mut Turn<'_>, call: &Call<'_>, name: &str, channel: Option<Channel>, rest: &str) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let (account, full) = (me.account, me.mutes.len() >= MUTES_MAX);
    if same(name, &me.name) {
        return Err(t("mute.self"));
    }
    let (time, reason) = time_and_reason(rest)?;
    let target = match super::player(turn, call, name)? {
        super::Found::Player(target) => target,
        super::Found::Asked => return Ok(Done::Later),
    };
    if target.account == account {
        return Err(t("mute.self"));
    }
    if full {
        return Err(t("mute.full"));
    }
    let change = MuteChange {
        account,
        target: Some(target.account),
        name: target.name.clone(),
        channel: channel.map_or(String::new(), |channel| channel.name().to_owned()),
        until: time.map(|n| turn.now + n * 60_000),
        reason: reason.to_owned(),
        removed: false,
    };
    let own = told(&target, channel, time);
    apply(turn, call, change, own)
}

/// `[minutes] [reason]`.
pub(crate) fn time_and_reason(rest: &str) -> Result<(Option<Millis>, &str), Text> {
    let (word, after) = split(rest);
    let (time, reason) = match minutes_of(word, MUTE_MINUTES_MAX) {
        Some(time) => (Some(time?), after),
        None => (None, rest),
    };
    super::within(reason, REASON_CHARS_MAX).map(|reason| (time, reason))
}

fn told(target: &KnownPlayer, channel: Option<Channel>, time: Option<Millis>) -> Text {
    let name = target.name.as_str();
    match (channel, time) {
        (Some(channel), _) => t1("mute.done_on", "name", name).with("channel", channel.name()),
        (None, Some(time)) => t1("mute.done_for", "name", name).with("time", minutes(time)),
        (None, None) => t1("mute.done", "name", name),
    }
}

/// Makes a change of the character's mutes; the reply comes by its own log, after the edge applied it.
pub(crate) fn apply(turn: &mut Turn<'_>, call: &Call<'_>, change: MuteChange, own: Text) -> Ran {
    let people = turn.zone.state.people.values();
    let mine: Vec<_> = people.filter(|person| person.account == change.account).map(|person| person.id).collect();
    for id in mine {
        turn.apply(Change::Mute(id, change.clone()));
    }
    let event = turn.own_event(call.me, "event.mute", call.origin, own.clone());
    turn.emit(Event { mute: Some(change.clone()), ..event });
    turn.persist(Persist::Mute(change));
    Ok(Done::InLog(own))
}
