//! From room to room, within a zone and between zones. Nobody is ever in two rooms or in none: within a zone one
//! commit holds both ends; between zones the source freezes the character and the target's commit decides.

use serde::{Deserialize, Serialize};
use tidings_protocol::{Audience, CharacterId, PartyId, RoomId, Text, ZoneId};

use crate::content::model::Direction;
use crate::effect::Change;
use crate::input::{Fact, Handover, Origin, Party, Timer, Traveller};
use crate::npc;
use crate::outcomes::{Outcome, Written};
use crate::output::{Event, Output};
use crate::party;
use crate::post;
use crate::presence::audiences_event;
use crate::remote;
use crate::state::Person;
use crate::text::{t, t1, way};
use crate::turn::Turn;

/// How long a source waits for the target's answer before it asks again: the hand-over itself takes one commit.
const MOVE_AGAIN_MS: i64 = 2_000;

/// What is read when somebody moves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Story {
    pub own: Text,
    pub leaves: Text,
    pub arrives: Text,
}

/// How a move went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Done: the `entered` record carries what the mover reads.
    Here,
    /// Frozen here: the target's commit decides.
    Away,
}

/// What a traveller carries.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    person: Person,
    story: Story,
    #[serde(default)]
    party: Option<(PartyId, Party)>,
}

/// A character goes in a direction.
pub(crate) fn walk(
    turn: &mut Turn<'_>,
    id: CharacterId,
    dir: Direction,
    origin: &Origin,
) -> Result<(Moved, Text), Text> {
    let person = turn.person(id).ok_or_else(|| t("refuse.session"))?;
    let exit = turn.exit(&person.room, dir).ok_or_else(|| t("refuse.no_way"))?;
    if exit.locked {
        return Err(t("refuse.locked"));
    }
    let (to, name) = (exit.to.clone(), person.name.clone());
    let own = t1("move.own", "direction", way("direction", dir));
    let story = Story {
        own: own.clone(),
        leaves: t1("move.leaves", "name", name.as_str()).with("direction", way("to", dir)),
        arrives: t1("move.arrives", "name", name.as_str())
            .with("direction", arrival_from(turn, id, &to, dir)),
    };
    if to.zone() == turn.zone.id && turn.room(&to).is_none() {
        return Err(t("refuse.no_way"));
    }
    Ok((relocate(turn, id, &to, story, origin), own))
}

/// From where one arrives: by the exit that leads back, else the opposite direction.
pub(crate) fn arrival_from(turn: &Turn<'_>, id: CharacterId, to: &RoomId, dir: Direction) -> Text {
    let from = turn.person(id).map(|person| &person.room);
    let opposite = dir.opposite();
    let back = turn.room(to).and_then(|room| {
        let leads_back = |dir: &Direction| room.exits.get(dir).is_some_and(|exit| Some(&exit.to) == from);
        Some(opposite).filter(leads_back).or_else(|| room.exits.keys().copied().find(leads_back))
    });
    way("from", back.unwrap_or(opposite))
}

/// Moves a character, wherever the room is.
pub(crate) fn relocate(
    turn: &mut Turn<'_>,
    id: CharacterId,
    to: &RoomId,
    story: Story,
    origin: &Origin,
) -> Moved {
    if to.zone() == turn.zone.id {
        move_here(turn, id, to, &story, origin);
        Moved::Here
    } else {
        send_away(turn, id, to, story, origin);
        Moved::Away
    }
}

fn move_here(turn: &mut Turn<'_>, id: CharacterId, to: &RoomId, story: &Story, origin: &Origin) {
    let Some(person) = turn.person(id) else { return };
    let from = person.room.clone();
    let before = turn.zone.audiences_of(person);
    turn.apply(Change::Moved(id, to.clone()));
    announce(turn, id, &from, before, story, Some(origin));
}

/// The three records of a move, in the order of the contract, and what follows.
fn announce(
    turn: &mut Turn<'_>,
    id: CharacterId,
    from: &RoomId,
    before: Vec<Audience>,
    story: &Story,
    origin: Option<&Origin>,
) {
    let Some(person) = turn.person(id) else { return };
    let to = person.room.clone();
    let after = turn.zone.audiences_of(person);
    let actor = turn.actor(id);
    let left = Event {
        audience: Some(Audience::Room(from.clone())),
        kind: "event.left".into(),
        from: actor.clone(),
        text: Some(story.leaves.clone()),
        data: turn.occupant_data(from, person),
        subject: Some(id),
        except: vec![id],
        ..Event::default()
    };
    let entered = Event {
        audience: Some(Audience::Room(to.clone())),
        kind: "event.entered".into(),
        from: actor,
        origin: origin.cloned(),
        text: Some(story.arrives.clone()),
        own: Some(story.own.clone()),
        data: turn.occupant_data(&to, person),
        subject: Some(id),
        ..Event::default()
    };
    turn.emit(audiences_event(id, "event.audiences", before, after));
    turn.emit(left);
    turn.emit(entered);
    turn.present(id);
    turn.keep(id);
    npc::greet(turn, id);
}

fn send_away(turn: &mut Turn<'_>, id: CharacterId, to: &RoomId, story: Story, origin: &Origin) {
    let Some(person) = turn.person(id) else { return };
    let party = person.party.and_then(|id| turn.zone.state.parties.get(&id).map(|party| (id, party.clone())));
    let body = Body { person: person.clone(), story, party };
    let from = person.room.clone();
    let traveller = Box::new(Traveller {
        move_id: format!("{:032x}", turn.chance()),
        origin: Some(origin.clone()),
        from,
        to: to.clone(),
        body: serde_json::to_string(&body).expect("a traveller holds nothing that JSON cannot"),
    });
    turn.timer(Timer::Move(traveller.move_id.clone()), Some(turn.now + MOVE_AGAIN_MS));
    turn.apply(Change::Frozen(id, Some(traveller.clone())));
    turn.out.push(Output::Handover(to.zone(), traveller));
}

/// A move without an answer is asked for again.
pub(crate) fn again(turn: &mut Turn<'_>, move_id: &str) {
    let frozen = turn.zone.state.everyone().find_map(|person| frozen_as(person, move_id));
    if let Some(traveller) = frozen.cloned() {
        turn.timer(Timer::Move(move_id.to_owned()), Some(turn.now + MOVE_AGAIN_MS));
        turn.out.push(Output::Handover(traveller.to.zone(), Box::new(traveller)));
    }
}

fn frozen_as<'a>(person: &'a Person, move_id: &str) -> Option<&'a Traveller> {
    person.frozen.as_deref().filter(|traveller| traveller.move_id == move_id)
}

/// The inputs of a move between zones.
pub(crate) fn handover(turn: &mut Turn<'_>, handover: Handover) {
    match handover {
        Handover::Arrive(traveller) => arrive(turn, traveller),
        Handover::Arrived { move_id, zone } => arrived(turn, &move_id, &zone),
        Handover::Refused { move_id } => stays(turn, &move_id, "refuse.no_way"),
        Handover::Unanswered { move_id } => stays(turn, &move_id, "refuse.way_silent"),
    }
}

fn arrive(turn: &mut Turn<'_>, traveller: Traveller) {
    let Traveller { move_id, origin, from, to, body } = traveller;
    if turn.zone.knows_move(&move_id) {
        return;
    }
    let body = serde_json::from_str::<Body>(&body).ok();
    let fits = to.zone() == turn.zone.id && turn.room(&to).is_some();
    let Some(Body { mut person, story, party }) = body.filter(|_| fits) else {
        return turn.out.push(Output::HandoverRefused(move_id));
    };
    let before = turn.zone.audiences_in(&person, &from);
    let id = person.id;
    person.room = to;
    person.frozen = None;
    if let Some(origin) = origin.clone().filter(|origin| !origin.id.is_empty()) {
        person.outcomes.remember(Written::of(&Outcome { origin, ok: true, text: story.own.clone() }));
    }
    let lost = person.lost;
    // Whichever is later, what this zone was told or what the traveller brings.
    if let Some((id, party)) = party {
        party::told(turn, id, party);
    }
    let state = &turn.zone.state;
    let party = person.party.and_then(|party| state.parties.get(&party));
    if party.is_some_and(|party| !party.has(id)) {
        person.party = None;
    }
    let told = state.silences.get(&person.account);
    if told.is_some_and(|told| person.silenced.as_ref().is_none_or(|brought| brought.made < told.made)) {
        person.silenced = told.cloned();
    }
    turn.apply(Change::Arrived(Box::new(person), move_id));
    if let Some(lost) = lost {
        turn.timer(Timer::Grace(id, lost.grace), Some(lost.until.max(turn.now)));
    }
    npc::begin_beat(turn);
    announce(turn, id, &from, before, &story, origin.as_ref());
}

fn arrived(turn: &mut Turn<'_>, move_id: &str, zone: &ZoneId) {
    let Some(person) = on_its_way(turn, move_id) else { return };
    let (id, behind) = (person.id, person.behind.clone());
    turn.timer(Timer::Move(move_id.to_owned()), None);
    turn.apply(Change::Left(id, None));
    for act in behind {
        post::post(turn, zone, Fact::Act(id, act, 0));
    }
}

/// The character stays where it is, and reads why.
fn stays(turn: &mut Turn<'_>, move_id: &str, why: &'static str) {
    let Some(person) = on_its_way(turn, move_id) else { return };
    let (id, behind) = (person.id, person.behind.clone());
    let origin = person.frozen.as_deref().and_then(|traveller| traveller.origin.clone());
    turn.timer(Timer::Move(move_id.to_owned()), None);
    turn.apply(Change::Frozen(id, None));
    match origin {
        Some(origin) if !origin.id.is_empty() => {
            turn.answer(id, Outcome { origin, ok: false, text: t(why) }, true);
        }
        _ => {}
    }
    // The grace may have ended while the character was away.
    if let Some(lost) = turn.person(id).and_then(|person| person.lost) {
        turn.timer(Timer::Grace(id, lost.grace), Some(lost.until.max(turn.now)));
    }
    party::stays(turn, id);
    for act in behind {
        remote::done_to(turn, id, act, 0);
    }
}

fn on_its_way<'a>(turn: &'a Turn<'_>, move_id: &str) -> Option<&'a Person> {
    turn.zone.state.everyone().find(|person| frozen_as(person, move_id).is_some())
}
