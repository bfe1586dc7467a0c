//! `mute <who> [on <channel>] [minutes] [reason]`, `mute channel <name>`: by account, for oneself. The minutes may
//! come before the channel too.

use tidings_protocol::{Audience, Text};

use super::{Call, Done, Ran, Spec, minutes_of, usage, within};
use crate::effect::Change;
use crate::input::{KnownPlayer, Millis, Present, Role};
use crate::limits::{MUTE_MINUTES_MAX, MUTES_MAX, REASON_CHARS_MAX, REASONS_BYTES_MAX};
use crate::names::{same, shown, split};
use crate::output::{Event, MuteChange, Persist, RemoteAct};
use crate::remote;
use crate::speech::Channel;
use crate::text::{minutes, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["mute", "ignore"],
    usage: "mute <player> [on <channel>] [minutes] [reason], mute channel <name>",
    summary: "Stops what a player says, or a channel, from reaching you. They are not told.",
    see: &["unmute", "mutes", "channel"],
    role: Role::Player,
    run,
};

/// Whom or what a mute is about.
pub(crate) enum What<'a> {
    Channel(Channel),
    /// With the minutes, and what is left as a reason.
    Player { name: &'a str, channel: Option<Channel>, time: Option<Millis>, reason: &'a str },
}

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    match what(call, &SPEC)? {
        What::Channel(channel) => mute_channel(turn, call, channel),
        What::Player { name, channel, time, reason } => {
            let reason = within(reason, REASON_CHARS_MAX)?;
            mute_player(turn, call, name, channel, time, reason)
        }
    }
}

/// Reads whom or what a mute is about.
pub(crate) fn what<'a>(call: &Call<'a>, spec: &Spec) -> Result<What<'a>, Text> {
    let (first, rest) = split(call.rest);
    let (second, third) = split(rest);
    if first.eq_ignore_ascii_case("channel") {
        let named = !second.is_empty() && third.is_empty();
        return if named { channel_called(second).map(What::Channel) } else { Err(usage(spec)) };
    }
    if first.is_empty() {
        return Err(usage(spec));
    }
    let (time, rest) = minutes_first(rest)?;
    let (word, after) = split(rest);
    if !word.eq_ignore_ascii_case("on") {
        return Ok(What::Player { name: first, channel: None, time, reason: rest });
    }
    let (channel, after) = split(after);
    if channel.is_empty() {
        return Err(usage(spec));
    }
    let channel = Some(channel_called(channel)?);
    let (time, reason) = match time {
        Some(time) => (Some(time), after),
        None => minutes_first(after)?,
    };
    Ok(What::Player { name: first, channel, time, reason })
}

/// `[minutes]` and the rest.
fn minutes_first(text: &str) -> Result<(Option<Millis>, &str), Text> {
    let (word, after) = split(text);
    match minutes_of(word, MUTE_MINUTES_MAX) {
        Some(time) => Ok((Some(time?), after)),
        None => Ok((None, text)),
    }
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

fn mute_player(
    turn: &mut Turn<'_>,
    call: &Call<'_>,
    name: &str,
    channel: Option<Channel>,
    time: Option<Millis>,
    reason: &str,
) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let (account, full) = (me.account, me.mutes.len() >= MUTES_MAX);
    let reasons: usize = me.mutes.iter().map(|mute| mute.reason.len()).sum();
    if same(name, &me.name) {
        return Err(t("mute.self"));
    }
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
    if !reason.is_empty() && reasons + reason.len() > REASONS_BYTES_MAX {
        return Err(t("mute.full_reasons"));
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
    let (time, reason) = minutes_first(rest)?;
    within(reason, REASON_CHARS_MAX).map(|reason| (time, reason))
}

fn told(target: &KnownPlayer, channel: Option<Channel>, time: Option<Millis>) -> Text {
    let key = match (channel, time) {
        (Some(_), Some(_)) => "mute.done_on_for",
        (Some(_), None) => "mute.done_on",
        (None, Some(_)) => "mute.done_for",
        (None, None) => "mute.done",
    };
    let mut text = t1(key, "name", target.name.as_str());
    if let Some(channel) = channel {
        text = text.with("channel", channel.name());
    }
    match time {
        Some(time) => text.with("time", minutes(time)),
        None => text,
    }
}

/// Makes a change of the character's mutes; the reply comes by its own log, after the edge applied it. The account's
/// other characters have it in their logs before that, so that it holds from the reply on at whatever edge they are.
pub(crate) fn apply(turn: &mut Turn<'_>, call: &Call<'_>, change: MuteChange, own: Text) -> Ran {
    let theirs = |one: &&Present| one.account == change.account && one.id != call.me;
    let others: Vec<Present> = turn.zone.known.all().filter(theirs).cloned().collect();
    others.iter().try_for_each(|other| remote::in_reach(turn, other))?;
    turn.apply(Change::Mute(call.me, change.clone()));
    for other in others {
        turn.emit(Event {
            audience: Some(Audience::Player(other.id)),
            kind: "event.mute".into(),
            mute: Some(change.clone()),
            only: vec![other.id],
            ..Event::default()
        });
        remote::reach(turn, &other, RemoteAct::Mute(change.clone()));
    }
    let event = turn.own_event(call.me, "event.mute", call.origin, own.clone());
    turn.emit(Event { mute: Some(change.clone()), ..event });
    turn.persist(Persist::Mute(change));
    Ok(Done::InLog(own))
}
