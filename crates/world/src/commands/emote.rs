//! `emote <text>`, `:<text>`: something done, in the room. It is of the channel `say`: who mutes somebody there, or
//! reads its history, means what is done there too.

use tidings_protocol::{Audience, Text};

use super::{Call, Done, Ran, Spec};
use crate::input::Role;
use crate::limits::{EMOTE_CHARS_MAX, Verb};
use crate::speech::{self, Channel, Line};
use crate::text::{fill, plain, t};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["emote", "me", ":"],
    usage: "emote <what you do>",
    summary: "Does something: emote smiles shows your name and smiles. A short form is :smiles.",
    see: &["pose", "emotes", "say"],
    role: Role::Player,
    run,
};

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let message = call.text(EMOTE_CHARS_MAX, "refuse.emote_what")?;
    speech::may_speak(turn, call.me)?;
    speech::not_so_fast(turn, call.me, Verb::Emote)?;
    let person = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let others = done_by(&person.name, message);
    let own = own_form(turn, &person.name, &others).unwrap_or_else(|| others.clone());
    let line = Line {
        audience: Audience::Room(person.room.clone()),
        kind: "chat.emote".into(),
        channel: Channel::Say.name(),
        message,
        text: plain(others),
        own: plain(own),
    };
    Ok(Done::InLog(speech::speak(turn, call, line)))
}

/// `Ann smiles.`: a full stop where the sentence has no end, no space before `'s`.
pub(crate) fn done_by(name: &str, what: &str) -> String {
    let space = if what.starts_with(['\'', '’', ',']) { "" } else { " " };
    let ended = what.ends_with(|c: char| !(c.is_alphanumeric() || c == '-'));
    format!("{name}{space}{what}{}", if ended { "" } else { "." })
}

/// What the actor reads of an emote that has a form of its own: `You smile.` for `Ann smiles.`
fn own_form(turn: &Turn<'_>, name: &str, others: &str) -> Option<String> {
    let emotes = turn.zone.content.emotes.values();
    let mut same = emotes.filter(|emote| fill(&emote.others, &[("name", name)]) == others);
    same.next().map(|emote| fill(&emote.own, &[("name", name)]))
}

/// A named emote, alone or to somebody in the room.
pub(crate) fn named(turn: &mut Turn<'_>, call: &Call<'_>, word: &str) -> Option<Ran> {
    turn.zone.content.emotes.contains_key(word).then(|| run_named(turn, call, word))
}

fn run_named(turn: &mut Turn<'_>, call: &Call<'_>, word: &str) -> Ran {
    speech::may_speak(turn, call.me)?;
    let content = turn.zone.content.clone();
    let emote = content.emotes.get(word).ok_or_else(|| t("refuse.session"))?;
    let person = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let (name, room) = (person.name.clone(), person.room.clone());
    let target = target(turn, call, &room, word, !emote.others_to.is_empty())?;
    speech::not_so_fast(turn, call.me, Verb::Emote)?;
    let places = [("name", name.as_str()), ("target", target.as_ref().map_or("", |t| t.1.as_str()))];
    let (others, own) =
        if target.is_none() { (&emote.others, &emote.own) } else { (&emote.others_to, &emote.own_to) };
    let message = fill(others, &places);
    let line = Line {
        audience: Audience::Room(room),
        kind: "chat.emote".into(),
        channel: Channel::Say.name(),
        message: &message,
        text: plain(message.clone()),
        own: plain(fill(own, &places)),
    };
    let to_player = target.as_ref().map(|(id, _)| *id).filter(|id| turn.person(*id).is_some());
    let done = match to_player.filter(|_| !emote.target_to.is_empty()) {
        None => speech::speak(turn, call, line),
        Some(id) => speech::speak_to_one(turn, call, line, id, plain(fill(&emote.target_to, &places))),
    };
    Ok(Done::InLog(done))
}

type Target = (tidings_protocol::CharacterId, String);

fn target(
    turn: &Turn<'_>,
    call: &Call<'_>,
    room: &tidings_protocol::RoomId,
    word: &str,
    takes_one: bool,
) -> Result<Option<Target>, Text> {
    if call.rest.is_empty() {
        return Ok(None);
    }
    if !takes_one {
        return Err(Text::new("refuse.no_target").with("word", word));
    }
    let missing = || Text::new("refuse.no_thing").with("name", crate::names::shown(call.rest));
    let id = super::look::occupant_called(turn, room, call.rest).ok_or_else(missing)?;
    if id == call.me {
        return Ok(None);
    }
    let name = match turn.person(id) {
        Some(person) => Some(person.name.clone()),
        None => crate::npc::of(turn.zone, id).map(|npc| npc.name.clone()),
    };
    Ok(name.map(|name| (id, name)))
}
