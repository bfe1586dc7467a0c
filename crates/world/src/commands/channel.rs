//! `channel`: list, join, leave, default, history, who.

use tidings_protocol::{Audience, Text};

use super::{Call, Done, Ran, Spec, mute, usage};
use crate::effect::Change;
use crate::input::{Answer, HistoryLine, Present, Role};
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_LINES, HISTORY_LINES_MAX, WHO_LINES_MAX};
use crate::names::split;
use crate::output::Query;
use crate::speech::Channel;
use crate::text::{or_nothing, plain, size_of, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["channel", "channels"],
    usage: "channel [list | join <name> | leave <name> | default <name> | history <name> [lines] | who <name>]",
    summary: "Your channels: what there is, what you hear, what was said, and who is there.",
    see: &["chat", "mute", "local", "global"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (verb, rest) = split(call.rest);
    let verb = verb.to_lowercase();
    if verb.is_empty() || verb == "list" {
        return list(turn, call);
    }
    let (name, rest) = split(rest);
    if !["join", "leave", "default", "history", "who"].contains(&verb.as_str()) || name.is_empty() {
        return Err(usage(&SPEC));
    }
    let channel = mute::channel_called(name)?;
    match verb.as_str() {
        "join" => join(turn, call, channel),
        "leave" => leave(turn, call, channel),
        "default" => default(turn, call, channel),
        "history" => history(turn, call, channel, rest),
        _ => who(turn, call, channel),
    }
}

fn list(turn: &Turn<'_>, call: &Call<'_>) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let default = Channel::from_name(&me.kept.settings.channel).unwrap_or(Channel::Say);
    let mine = Channel::ALL.into_iter().filter(|channel| channel.audience(turn, call.me).is_some());
    let lines: Vec<Text> = mine
        .map(|channel| {
            let off = me.mutes_channel(channel.name(), turn.now).then(|| t("channel.off"));
            t1("channel.line", "channel", channel.name())
                .with("state", or_nothing(off))
                .with("default", or_nothing((channel == default).then(|| t("channel.default"))))
        })
        .collect();
    Ok(Done::Read(t("channel.list").with("lines", lines)))
}

/// To leave a channel is to mute it as a whole, and to join it is to end that.
fn join(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    let joined = t1("channel.joined", "channel", channel.name());
    channel.audience(turn, call.me).ok_or_else(|| refusal(channel))?;
    let off = turn.person(call.me).is_some_and(|me| me.mutes_channel(channel.name(), turn.now));
    if !off {
        return Ok(Done::Read(joined));
    }
    mute::apply(turn, call, mute::change_of_channel(turn, call, channel, true)?, joined)
}

fn leave(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    if !channel.can_leave() {
        return Err(t1("channel.cannot_leave", "channel", channel.name()));
    }
    let left = t1("channel.left", "channel", channel.name());
    mute::apply(turn, call, mute::change_of_channel(turn, call, channel, false)?, left)
}

fn default(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    if matches!(channel, Channel::Whisper | Channel::System) {
        return Err(t1("refuse.no_channel", "name", channel.name()));
    }
    channel.audience(turn, call.me).ok_or_else(|| refusal(channel))?;
    let mut settings = turn.person(call.me).ok_or_else(|| t("refuse.session"))?.kept.settings.clone();
    settings.channel = channel.name().to_owned();
    turn.apply(Change::Settings(call.me, settings));
    turn.keep(call.me);
    Ok(Done::Changed(t1("channel.default_set", "channel", channel.name())))
}

fn refusal(channel: Channel) -> Text {
    if channel == Channel::Party { t("party.not_in") } else { t("refuse.role") }
}

fn history(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel, rest: &str) -> Ran {
    match call.answer {
        Some(Answer::History(lines)) => return Ok(Done::Read(shown(lines, channel))),
        Some(_) => return Err(t("refuse.failed")),
        None => {}
    }
    let limit = match rest {
        "" => HISTORY_LINES,
        n => n.parse().ok().filter(|n| *n > 0).ok_or_else(|| usage(&SPEC))?,
    };
    let audience = channel.audience(turn, call.me).ok_or_else(|| refusal(channel))?;
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let query = Query::History {
        audience: Some(audience).filter(|audience| !matches!(audience, Audience::Player(_))),
        channel: channel.name().to_owned(),
        limit: limit.min(HISTORY_LINES_MAX),
        account: me.account,
        mutes: me.live_mutes(turn.now).cloned().collect(),
        character: me.id,
    };
    call.ask(turn, query)
}

/// One line a message, oldest first; the newest that fit.
fn shown(lines: &[HistoryLine], channel: Channel) -> Text {
    let mut room = HISTORY_BYTES_MAX;
    let newest = lines.iter().rev().take(HISTORY_LINES_MAX as usize).take_while(|line| {
        let size = size_of(&line.text) + 1;
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    let mut texts: Vec<Text> = newest.map(|line| line.text.clone()).collect();
    texts.reverse();
    if texts.is_empty() {
        return t1("channel.quiet", "channel", channel.name());
    }
    t("lines").with("lines", texts)
}

fn who(turn: &Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    let audience = channel.audience(turn, call.me).ok_or_else(|| refusal(channel))?;
    let on = |present: &&Present| match &audience {
        Audience::Room(room) => present.room == *room,
        Audience::Area(area) => turn.room(&present.room).is_some_and(|room| room.area == *area),
        Audience::World(_) => true,
        Audience::Staff(_) => present.role >= Role::Builder,
        Audience::Party(party) => {
            turn.zone.state.parties.get(party).is_some_and(|party| party.has(present.id))
        }
        Audience::Player(_) => present.id == call.me,
    };
    let mut names: Vec<&str> = turn.zone.known.all().filter(on).map(|present| present.name.as_str()).collect();
    names.sort_unstable_by_key(|name| name.to_lowercase());
    let over = names.len().saturating_sub(WHO_LINES_MAX);
    names.truncate(WHO_LINES_MAX);
    let mut texts: Vec<Text> = names.into_iter().map(plain).collect();
    if over > 0 {
        texts.push(t1("look.more", "n", over.to_string()));
    }
    let key = if texts.is_empty() { "channel.who_none" } else { "channel.who" };
    let text = t1(key, "channel", channel.name());
    Ok(Done::Read(if texts.is_empty() { text } else { text.with("list", turn.row(call.me, texts)) }))
}
