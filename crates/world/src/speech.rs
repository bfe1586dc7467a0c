//! What all speech has in common: whether one may, how often, and the event that carries it.

use tidings_protocol::text::Name;
use tidings_protocol::{Audience, CharacterId, CloseCode, Text, json};

use crate::commands::{Call, Done, Ran};
use crate::effect::Change;
use crate::limits::{BREACHES_MAX, SAY_CHARS_MAX, Verb};
use crate::output::Event;
use crate::presence;
use crate::text::{clock, seconds, t, t1};
use crate::turn::Turn;

/// A silence that ends later than this is shown without its end: the year 9999.
pub(crate) const FOR_GOOD: i64 = 253_402_300_799_000;

/// A line on its way to an audience.
pub(crate) struct Line<'a> {
    pub audience: Audience,
    /// The event's kind.
    pub kind: Name,
    /// The channel's name.
    pub channel: &'static str,
    /// What was typed.
    pub message: &'a str,
    /// What the audience reads.
    pub text: Text,
    /// What the speaker reads.
    pub own: Text,
}

/// Staff may have silenced the account.
pub(crate) fn may_speak(turn: &Turn<'_>, who: CharacterId) -> Result<(), Text> {
    match turn
        .person(who)
        .and_then(|person| person.silenced.as_ref()?.until)
        .filter(|until| *until > turn.now)
    {
        None => Ok(()),
        Some(until) if until >= FOR_GOOD => Err(t("refuse.silenced_for_good")),
        Some(until) => Err(t1("refuse.silenced", "time", clock(until))),
    }
}

/// The limit of a verb; counts one where it is not reached.
pub(crate) fn not_so_fast(turn: &mut Turn<'_>, who: CharacterId, verb: Verb) -> Result<(), Text> {
    let limit = turn.zone.config.limits.of(verb);
    if limit == 0 {
        return Ok(());
    }
    match turn.person(who).and_then(|person| person.flood.wait(verb, limit, turn.now)) {
        Some(wait) => Err(breach(turn, who, flood_key(verb), limit, wait)),
        None => {
            turn.apply(Change::Spoke(who, verb, limit, turn.now));
            Ok(())
        }
    }
}

/// The two limits of whispers; counts one where neither is reached.
pub(crate) fn not_so_fast_to(turn: &mut Turn<'_>, who: CharacterId, whom: CharacterId) -> Result<(), Text> {
    let limit = turn.zone.config.limits.whispers_per_person_per_minute;
    if let Some(wait) = turn.person(who).and_then(|person| person.flood.wait_person(whom, limit, turn.now)) {
        return Err(breach(turn, who, "flood.whisper_person", limit, wait));
    }
    not_so_fast(turn, who, Verb::Whisper)?;
    if limit > 0 {
        turn.apply(Change::Whispered(who, whom, limit, turn.now));
    }
    Ok(())
}

fn flood_key(verb: Verb) -> &'static str {
    match verb {
        Verb::Say | Verb::Breach => "flood.say",
        Verb::Emote => "flood.emote",
        Verb::Local => "flood.local",
        Verb::Global => "flood.global",
        Verb::Party => "flood.party",
        Verb::Whisper => "flood.whisper",
    }
}

/// A breach is refused; too many within a minute end the session.
fn breach(turn: &mut Turn<'_>, who: CharacterId, key: &'static str, limit: u32, wait: i64) -> Text {
    turn.apply(Change::Spoke(who, Verb::Breach, 0, turn.now));
    t1(key, "n", limit.to_string()).with("time", seconds(wait))
}

/// Whether the breaches of the last minute are too many; then the character is sent out.
pub(crate) fn send_out_if_flooding(turn: &mut Turn<'_>, who: CharacterId) {
    let breaches = turn.person(who).map_or(0, |person| person.flood.count(Verb::Breach, turn.now));
    if breaches >= BREACHES_MAX {
        let code = CloseCode::Flooding;
        presence::leave(turn, who, None, Some((code.code(), code.reason().to_owned())));
    }
}

/// Sends a line to its audience; the speaker's reply comes with it.
pub(crate) fn speak(turn: &mut Turn<'_>, call: &Call<'_>, line: Line<'_>) -> Text {
    let own = line.own.clone();
    turn.emit(Event {
        audience: Some(line.audience),
        kind: line.kind,
        from: turn.actor(call.me),
        origin: Some(call.origin.clone()),
        text: Some(line.text),
        own: Some(line.own),
        data: said(line.message),
        channel: line.channel.into(),
        ..Event::default()
    });
    own
}

/// Sends a line to its audience of which one reads a form of its own.
pub(crate) fn speak_to_one(
    turn: &mut Turn<'_>,
    call: &Call<'_>,
    line: Line<'_>,
    whom: CharacterId,
    theirs: Text,
) -> Text {
    let to_one = Event {
        audience: Some(line.audience.clone()),
        kind: line.kind.clone(),
        from: turn.actor(call.me),
        text: Some(theirs),
        data: said(line.message),
        only: vec![whom],
        channel: line.channel.into(),
        ..Event::default()
    };
    let own = line.own.clone();
    turn.emit(Event {
        audience: Some(line.audience),
        kind: line.kind,
        from: turn.actor(call.me),
        origin: Some(call.origin.clone()),
        text: Some(line.text),
        own: Some(line.own),
        data: said(line.message),
        except: vec![whom],
        channel: line.channel.into(),
        ..Event::default()
    });
    turn.emit(to_one);
    own
}

/// The data of a line.
pub(crate) fn said(message: &str) -> String {
    let mut data = Vec::with_capacity(message.len() + 16);
    data.extend_from_slice(br#"{"message":"#);
    json::string(&mut data, message);
    data.push(b'}');
    String::from_utf8(data).expect("of texts")
}

/// A channel that is spoken on by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Say,
    Local,
    Global,
    Party,
    Staff,
    System,
    Whisper,
}

impl Channel {
    pub(crate) const ALL: [Self; 7] =
        [Self::Say, Self::Local, Self::Global, Self::Party, Self::Whisper, Self::System, Self::Staff];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Say => "say",
            Self::Local => "local",
            Self::Global => "global",
            Self::Party => "party",
            Self::Staff => "staff",
            Self::System => "system",
            Self::Whisper => "whisper",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name().eq_ignore_ascii_case(name))
    }

    /// Whether one may be without it.
    pub(crate) fn can_leave(self) -> bool {
        matches!(self, Self::Local | Self::Global | Self::Party)
    }

    /// Its audience for this character; `None`: it has none now.
    pub(crate) fn audience(self, turn: &Turn<'_>, who: CharacterId) -> Option<Audience> {
        let person = turn.person(who)?;
        match self {
            Self::Say => Some(Audience::Room(person.room.clone())),
            Self::Local => turn.room(&person.room).map(|room| Audience::Area(room.area.clone())),
            Self::Global | Self::System => Some(turn.world()),
            Self::Party => person.party.map(Audience::Party),
            Self::Staff => person.is_staff().then(|| turn.staff()),
            Self::Whisper => Some(Audience::Player(who)),
        }
    }

    fn verb(self) -> Option<Verb> {
        match self {
            Self::Say => Some(Verb::Say),
            Self::Local => Some(Verb::Local),
            Self::Global => Some(Verb::Global),
            Self::Party => Some(Verb::Party),
            Self::Staff | Self::System | Self::Whisper => None,
        }
    }
}

/// Speaks on `local`, `global`, `party` or `staff`.
pub(crate) fn on_channel(turn: &mut Turn<'_>, call: &Call<'_>, channel: Channel) -> Ran {
    let name = channel.name();
    let message = call.text(SAY_CHARS_MAX, format!("refuse.{name}_what"))?;
    let audience = channel.audience(turn, call.me).ok_or_else(|| match channel {
        Channel::Party => t("party.not_in"),
        _ => t("refuse.role"),
    })?;
    if channel != Channel::Staff {
        may_speak(turn, call.me)?;
    }
    let person = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    if person.mutes_channel(name, turn.now) {
        return Err(t1("refuse.not_on_channel", "channel", name));
    }
    let speaker = person.name.clone();
    if let Some(verb) = channel.verb() {
        not_so_fast(turn, call.me, verb)?;
    }
    let line = Line {
        audience,
        kind: format!("chat.{name}").into(),
        channel: name,
        message,
        text: t1(format!("chat.{name}"), "name", speaker).with("text", message),
        own: t1(format!("chat.{name}.self"), "text", message),
    };
    Ok(Done::InLog(speak(turn, call, line)))
}
