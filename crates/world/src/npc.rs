//! Characters that live there: routines by the hour, wandering, greetings, reactions to words, idle lines; and the
//! weather, which shares their beat. A room hears at most four of their lines a minute, and none where nobody is.

use serde_json::json;
use tidings_protocol::{Audience, CharacterId, RoomId, Text, ZoneId};

use crate::calendar;
use crate::content::Content;
use crate::content::model::{Direction, Npc, Room};
use crate::effect::Change;
use crate::input::{Millis, Timer};
use crate::limits::NPC_LINES_A_MINUTE;
use crate::output::{Actor, Event};
use crate::speech;
use crate::state::{NpcState, State};
use crate::text::{fill, plain, t1, way};
use crate::turn::Turn;
use crate::view::Occupant;
use crate::zone::{BEAT_MS, Zone};

/// Of so many beats a character that wanders takes one: about every two minutes.
const WANDER_BEATS: u64 = 24;
/// Of so many beats a character speaks of itself in one: about every three minutes.
const IDLE_BEATS: u64 = 36;
/// Of so many hours of the world the weather changes in one.
const WEATHER_HOURS: u64 = 4;
/// The largest number of one kind: more is a mistake of the content.
const POPULATION_MAX: u32 = 50;
const MINUTE_MS: Millis = 60_000;

/// Fills a zone's state with the characters of its content: those there are keep their place.
pub(crate) fn populate(state: &mut State, zone: &ZoneId, content: &Content) {
    let mut npcs = std::mem::take(&mut state.npcs);
    for npc in content.npcs.values().filter(|npc| npc.home.zone() == *zone) {
        for number in 0..npc.population.min(POPULATION_MAX) {
            let id = id_of(&npc.id, number);
            let kept = npcs.remove(&id).filter(|old| content.rooms.contains_key(&old.room));
            let fresh = || NpcState { npc: npc.id.clone(), room: npc.home.clone(), bound: None };
            state.npcs.insert(id, kept.unwrap_or_else(fresh));
        }
    }
}

/// The id of one of a kind: made of its name, so that every owner gives it the same.
fn id_of(npc: &str, number: u32) -> CharacterId {
    // FNV-1a; the upper half stays empty, so that those who live there come first among occupants.
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = npc.bytes().chain(number.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, mix);
    CharacterId::from_u128(u128::from(hash))
}

/// Who an id is, of those who live there.
pub(crate) fn of(zone: &Zone, id: CharacterId) -> Option<&Npc> {
    zone.content.npcs.get(&zone.state.npcs.get(&id)?.npc)
}

/// The weather as a room shows it.
pub(crate) fn weather_line(turn: &Turn<'_>, room: &Room) -> Option<Text> {
    let condition = turn.zone.state.weather.as_str();
    (room.outdoors && !condition.is_empty()).then(|| t1("weather.now", "condition", condition))
}

/// Somebody came into a room: one of those who live there may greet them.
pub(crate) fn greet(turn: &mut Turn<'_>, who: CharacterId) {
    let Some(person) = turn.person(who) else { return };
    let (room, name) = (person.room.clone(), person.name.clone());
    for id in in_room(turn, &room) {
        let lines = of(turn.zone, id).map(|npc| npc.greetings.clone()).unwrap_or_default();
        if let Some(line) = turn.choose(&lines) {
            return speak(turn, id, &room, line, &name);
        }
    }
}

/// Somebody said something in a room: one of those who live there may react to a word of it.
pub(crate) fn hear(turn: &mut Turn<'_>, who: CharacterId, message: &str) {
    if turn.zone.state.npcs.is_empty() {
        return;
    }
    let Some(person) = turn.person(who) else { return };
    let here = in_room(turn, &person.room);
    if here.is_empty() {
        return;
    }
    let (room, name) = (person.room.clone(), person.name.clone());
    let lower = message.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric() && c != '\'').collect();
    for id in here {
        let Some(npc) = of(turn.zone, id) else { continue };
        let said =
            |word: &String| words.contains(&word.as_str()) || (word.contains(' ') && lower.contains(word));
        let reaction = npc.reactions.iter().find(|reaction| reaction.words.iter().any(said));
        let lines = reaction.map(|reaction| reaction.lines.clone()).unwrap_or_default();
        if let Some(line) = turn.choose(&lines) {
            return speak(turn, id, &room, line, &name);
        }
    }
}

fn in_room(turn: &Turn<'_>, room: &RoomId) -> Vec<CharacterId> {
    // Those who live there have the smallest ids.
    let seats = turn.zone.state.seats(room);
    seats.take_while(|id| id.as_u128() <= u128::from(u64::MAX)).collect()
}

fn crowded(turn: &Turn<'_>, room: &RoomId) -> bool {
    turn.zone.state.crowd.contains_key(room)
}

/// Whether a room may hear another line of those who live there.
fn may_hear(turn: &Turn<'_>, room: &RoomId) -> bool {
    let lines = turn.zone.state.lines.get(room);
    let recent = lines.map_or(0, |lines| lines.iter().filter(|at| turn.now - **at < MINUTE_MS).count());
    crowded(turn, room) && recent < NPC_LINES_A_MINUTE
}

/// Says a line, or does it where it starts with ':'.
fn speak(turn: &mut Turn<'_>, id: CharacterId, room: &RoomId, line: &str, to: &str) {
    if !may_hear(turn, room) {
        return;
    }
    let Some(actor) = actor_of(turn, id) else { return };
    turn.apply(Change::NpcLine(room.clone(), turn.now));
    let line = fill(line, &[("name", to)]);
    let (kind, key, said) = match line.strip_prefix(':') {
        Some(done) => ("chat.emote", "npc.emote", done.trim()),
        None => ("chat.say", "npc.say", line.trim()),
    };
    let text = t1(key, "name", capital(&actor.name)).with("text", said);
    let event = Event { text: Some(text), data: speech::said(said), ..event(actor, room, kind) };
    turn.emit(event);
}

/// A name as a line begins with it: `The Echo`.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn event(actor: Actor, room: &RoomId, kind: &'static str) -> Event {
    Event {
        audience: Some(Audience::Room(room.clone())),
        kind: kind.into(),
        from: Some(actor),
        data: String::new(),
        ..Event::default()
    }
}

fn actor_of(turn: &Turn<'_>, id: CharacterId) -> Option<Actor> {
    let npc = of(turn.zone, id)?;
    Some(Actor { id: Some(id), name: npc.name.clone(), account: None, npc: true, staff: false })
}

/// Somebody came into the zone: the first wakes its beat, and who comes later leaves it as it goes.
pub(crate) fn begin_beat(turn: &mut Turn<'_>) {
    if turn.zone.state.people.len() == 1 {
        turn.timer(Timer::Beat, Some(turn.now + BEAT_MS));
    }
}

/// The zone's beat. While nobody is there it sleeps until somebody enters.
pub(crate) fn beat(turn: &mut Turn<'_>) {
    if turn.zone.state.people.is_empty() {
        return;
    }
    turn.timer(Timer::Beat, Some(turn.now + BEAT_MS));
    let hour = calendar::hour(turn.now, calendar::hour_ms(&turn.zone.content));
    let new_hour = hour != turn.zone.state.hour;
    if new_hour {
        turn.apply(Change::Hour(hour));
        change_weather(turn);
    }
    let npcs: Vec<CharacterId> = turn.zone.state.npcs.keys().copied().collect();
    for id in npcs {
        if new_hour {
            follow_routine(turn, id, calendar::of_day(hour));
        }
        live(turn, id);
    }
}

/// The routine's step of this hour.
fn follow_routine(turn: &mut Turn<'_>, id: CharacterId, hour: i64) {
    let Some(npc) = of(turn.zone, id) else { return };
    let Some(step) = npc.routine.iter().find(|step| i64::from(step.hour) == hour).cloned() else { return };
    let Some(state) = turn.zone.state.npcs.get(&id) else { return };
    let (room, bound) = (state.room.clone(), state.bound.clone());
    if !step.line.is_empty() {
        speak(turn, id, &room, &step.line, "");
    }
    let goal = step.go.filter(|goal| *goal != room && goal.zone() == turn.zone.id);
    if goal != bound {
        turn.apply(Change::NpcBound(id, goal));
    }
}

/// What a character does of itself: goes where its routine sends it, wanders, says something.
fn live(turn: &mut Turn<'_>, id: CharacterId) {
    let Some(state) = turn.zone.state.npcs.get(&id) else { return };
    let (room, bound) = (state.room.clone(), state.bound.clone());
    if let Some(goal) = bound {
        match path(turn, &room, &goal) {
            Some((direction, next)) => walk(turn, id, &room, direction, &next),
            None => turn.apply(Change::NpcBound(id, None)),
        }
        return;
    }
    let Some(npc) = of(turn.zone, id) else { return };
    let (wanders, idle) = (npc.wanders.clone(), npc.idle.clone());
    if !wanders.is_empty() && turn.once_in(WANDER_BEATS) {
        let ways = turn.room(&room).map(|place| ways_to(place, &wanders)).unwrap_or_default();
        if let Some((direction, next)) = turn.choose(&ways).cloned() {
            return walk(turn, id, &room, direction, &next);
        }
    }
    if !idle.is_empty()
        && crowded(turn, &room)
        && turn.once_in(IDLE_BEATS)
        && let Some(line) = turn.choose(&idle)
    {
        speak(turn, id, &room, line, "");
    }
}

fn ways_to(room: &Room, rooms: &[RoomId]) -> Vec<(Direction, RoomId)> {
    let open = room.exits.iter().filter(|(_, exit)| !exit.locked && rooms.contains(&exit.to));
    open.map(|(direction, exit)| (*direction, exit.to.clone())).collect()
}

/// The first step of the shortest way, within the zone.
fn path(turn: &Turn<'_>, from: &RoomId, to: &RoomId) -> Option<(Direction, RoomId)> {
    if from == to {
        return None;
    }
    let mut seen = std::collections::BTreeSet::from([from.clone()]);
    let mut queue = std::collections::VecDeque::new();
    queue.push_back((from.clone(), None));
    while let Some((at, first)) = queue.pop_front() {
        for (direction, exit) in turn.room(&at).map(|room| &room.exits).into_iter().flatten() {
            let step = first.clone().unwrap_or_else(|| (*direction, exit.to.clone()));
            if exit.to == *to && !exit.locked {
                return Some(step);
            }
            if !exit.locked && exit.to.zone() == turn.zone.id && seen.insert(exit.to.clone()) {
                queue.push_back((exit.to.clone(), Some(step)));
            }
        }
    }
    None
}

/// Walks into the next room; where people are, they see it, within the limit of lines.
fn walk(turn: &mut Turn<'_>, id: CharacterId, from: &RoomId, direction: Direction, to: &RoomId) {
    let quiet = |room: &RoomId| !crowded(turn, room) || may_hear(turn, room);
    if !(quiet(from) && quiet(to)) || to.zone() != turn.zone.id || turn.room(to).is_none() {
        return;
    }
    let Some(actor) = actor_of(turn, id) else { return };
    turn.apply(Change::NpcAt(id, to.clone()));
    let occupant = json!(Occupant::of(turn.zone, id));
    let name = capital(&actor.name);
    let leaves = t1("move.leaves", "name", name.as_str()).with("direction", way("to", direction));
    let arrives = t1("move.arrives", "name", name).with("direction", way("from", direction.opposite()));
    for (room, kind, text) in [(from, "event.npc_left", leaves), (to, "event.npc_entered", arrives)] {
        if crowded(turn, room) {
            turn.apply(Change::NpcLine(room.clone(), turn.now));
            let data = json!({ "room": room.as_str(), "occupant": occupant }).to_string();
            let event = Event { text: Some(text), data, ..event(actor.clone(), room, kind) };
            turn.emit(event);
        }
    }
}

/// Once in a few hours the weather changes, by the zone's weights.
fn change_weather(turn: &mut Turn<'_>) {
    let content = turn.zone.content.clone();
    let Some(zone) = content.zones.get(&turn.zone.id).filter(|zone| !zone.weather.is_empty()) else { return };
    if !turn.zone.state.weather.is_empty() && !turn.once_in(WEATHER_HOURS) {
        return;
    }
    let total: u64 = zone.weather.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut at = turn.rng.next_u64() % total.max(1);
    let chosen = zone.weather.iter().find(|(_, weight)| {
        let here = at < u64::from(*weight);
        at = at.saturating_sub(u64::from(*weight));
        here
    });
    let Some((condition, _)) = chosen.or(zone.weather.first()) else { return };
    if *condition == turn.zone.state.weather {
        return;
    }
    let changed = !turn.zone.state.weather.is_empty();
    turn.apply(Change::Weather(condition.clone()));
    tell_weather(turn, condition, changed);
}

/// The rooms out of doors where people are see it; the first weather of a zone is no change.
fn tell_weather(turn: &mut Turn<'_>, condition: &str, changed: bool) {
    let outdoors = |room: &&RoomId| turn.room(room).is_some_and(|place| place.outdoors);
    let rooms: Vec<RoomId> = turn.zone.state.crowd.keys().filter(outdoors).cloned().collect();
    for room in rooms {
        let about = |kind: &'static str| Event {
            audience: Some(Audience::Room(room.clone())),
            kind: kind.into(),
            data: json!({ "room": room.as_str(), "condition": condition }).to_string(),
            ..Event::default()
        };
        if changed {
            let text = Some(t1("weather.changes", "condition", plain(condition)));
            turn.emit(Event { text, ..about("event.weather") });
        }
        let patch = Some(json!({ "weather": { "condition": condition } }));
        turn.emit(Event { patch, ..about("event.changed") });
    }
}
