//! Coming into the world and going: entering, taking over, losing the connection, coming back, leaving.

use tidings_protocol::{Audience, CharacterId, CloseCode, RoomId, Text};

use crate::commands::shutdown;
use crate::effect::Change;
use crate::input::{Arrival, Generation, Made, Millis, Origin, Role, Silence, Timer};
use crate::movement::{self, Story};
use crate::npc;
use crate::outcomes::Outcome;
use crate::output::{Event, Output, Reply};
use crate::party;
use crate::post;
use crate::state::{Lost, Person};
use crate::text::{t, t1};
use crate::turn::{Turn, happened_to};
use crate::zone::{BEAT_MS, Zone};

/// A character enters, or its session is opened anew while it is still there.
pub(crate) fn enter(turn: &mut Turn<'_>, origin: &Origin, arrival: Arrival) {
    let id = arrival.id;
    match turn.person(id) {
        Some(person) if person.session == origin.session && person.lost.is_none() => {
            connected(turn, id, arrival.generation);
        }
        Some(_) => take_over(turn, origin, &arrival),
        None => enter_anew(turn, origin, arrival),
    }
}

fn enter_anew(turn: &mut Turn<'_>, origin: &Origin, arrival: Arrival) {
    let Some(room) = place_for(turn, arrival.room.as_ref()) else {
        let text = t1("refuse.no_room", "name", turn.zone.id.as_str());
        return turn.out.push(Output::Reply(Reply { origin: origin.clone(), ok: false, text }));
    };
    // What a zone was told is newer than what storage has, or is followed by what storage has in a moment.
    let told = turn.zone.state.silences.get(&arrival.account).cloned();
    let silenced = told.or_else(|| arrival.silenced.map(|until| stored_silence(turn, until)));
    let floods = &turn.zone.state.floods;
    let flood = floods.iter().find(|(who, _)| *who == arrival.id).map(|(_, flood)| flood.clone());
    let person = Person {
        id: arrival.id,
        name: arrival.name,
        account: arrival.account,
        role: arrival.role,
        guest: arrival.guest,
        session: origin.session,
        generation: arrival.generation,
        room: room.clone(),
        lost: None,
        losses: 0,
        kept: serde_json::from_str(&arrival.state).unwrap_or_default(),
        mutes: arrival.mutes,
        silenced,
        party: None,
        invited: Vec::new(),
        flood: flood.unwrap_or_default(),
        outcomes: Default::default(),
        frozen: None,
        behind: Vec::new(),
        reads: Default::default(),
    };
    let (id, name) = (person.id, person.name.clone());
    // Who comes back to where it was is in storage as it is.
    let is_kept = arrival.room.as_ref() == Some(&room) && arrival.state == Zone::kept_of(&person);
    let after = turn.zone.audiences_of(&person);
    turn.apply(Change::Enter(Box::new(person)));
    turn.emit(audiences_event(id, "event.audiences", Vec::new(), after));
    let Some(person) = turn.person(id) else { return };
    let event = Event {
        audience: Some(Audience::Room(room.clone())),
        kind: "event.joined_world".into(),
        from: turn.actor(id),
        origin: Some(happened_to(person)),
        text: Some(t1("world.joined", "name", name.as_str())),
        own: Some(t1("world.welcome", "name", name.as_str())),
        data: turn.occupant_data(&room, person),
        subject: Some(id),
        ..Event::default()
    };
    turn.emit(event);
    turn.present(id);
    if !is_kept {
        turn.keep(id);
    }
    npc::begin_beat(turn);
    npc::greet(turn, id);
}

/// A silence of which it is not known when it was made: any word of it is later.
fn stored_silence(turn: &Turn<'_>, until: Millis) -> Silence {
    let made = Made { at: 0, by: turn.zone.id.clone() };
    Silence { made, until: Some(until), reason: String::new() }
}

/// Where one enters: where it was, else the world's start, else the zone's first room.
fn place_for(turn: &Turn<'_>, wished: Option<&RoomId>) -> Option<RoomId> {
    let content = &turn.zone.content;
    let here = |room: &&RoomId| content.rooms.contains_key(*room) && room.zone() == turn.zone.id;
    wished
        .filter(here)
        .or_else(|| content.world.as_ref().map(|world| &world.start).filter(here))
        .or_else(|| content.rooms.keys().find(here))
        .cloned()
}

/// Another session of a character that is here: no line to the others unless its connection was lost.
fn take_over(turn: &mut Turn<'_>, origin: &Origin, arrival: &Arrival) {
    let id = arrival.id;
    turn.apply(Change::Session(id, origin.session));
    turn.apply(Change::Connected(id, arrival.generation));
    set_role(turn, id, arrival.role);
    back(turn, id);
    let Some(person) = turn.person(id) else { return };
    let (own, origin) = (t1("world.welcome", "name", person.name.as_str()), happened_to(person));
    let event = turn.own_event(id, "event.welcome", &origin, own);
    turn.emit(event);
}

/// The role may have been changed since the character entered.
fn set_role(turn: &mut Turn<'_>, id: CharacterId, role: Role) {
    if turn.person(id).is_none_or(|person| person.role == role) {
        return;
    }
    let before = turn.zone.audiences(id);
    turn.apply(Change::Role(id, role));
    audiences_changed(turn, id, before);
    turn.present(id);
}

/// The session has this connection now; what is told late of those before it changes nothing.
fn connected(turn: &mut Turn<'_>, id: CharacterId, generation: Generation) {
    if turn.person(id).is_some_and(|person| person.generation < generation) {
        turn.apply(Change::Connected(id, generation));
    }
}

/// The connection is lost: the grace begins.
pub(crate) fn link_lost(
    turn: &mut Turn<'_>,
    origin: &Origin,
    id: CharacterId,
    generation: Generation,
    grace: Option<Millis>,
) {
    let newest = |person: &&Person| generation == 0 || generation >= person.generation;
    let ours = turn.person(id).filter(|person| person.session == origin.session).filter(newest);
    let Some(person) = ours else {
        let text = t("refuse.session");
        return turn.out.push(Output::Reply(Reply { origin: origin.clone(), ok: false, text }));
    };
    let was_lost = person.lost;
    let lost =
        Lost { grace: person.losses + 1, until: turn.now + grace.unwrap_or(turn.zone.config.grace_ms) };
    if let Some(old) = was_lost {
        turn.timer(Timer::Grace(id, old.grace), None);
    }
    turn.apply(Change::Lost(id, lost));
    turn.timer(Timer::Grace(id, lost.grace), Some(lost.until));
    if was_lost.is_none() {
        tell_room(turn, id, "event.link_lost", "world.link_lost");
        turn.present(id);
    }
}

/// The connection is back.
pub(crate) fn link_back(turn: &mut Turn<'_>, origin: &Origin, id: CharacterId, generation: Generation) {
    let newest = |person: &&Person| generation == 0 || generation >= person.generation;
    let ours = turn.person(id).filter(|person| person.session == origin.session).filter(newest);
    if ours.is_some() {
        connected(turn, id, generation);
        back(turn, id);
    }
}

fn back(turn: &mut Turn<'_>, id: CharacterId) {
    let Some(lost) = turn.person(id).and_then(|person| person.lost) else { return };
    turn.timer(Timer::Grace(id, lost.grace), None);
    turn.apply(Change::Back(id));
    tell_room(turn, id, "event.back", "world.back");
    turn.present(id);
}

/// Tells the others in the room something of a character.
fn tell_room(turn: &mut Turn<'_>, id: CharacterId, kind: &'static str, key: &'static str) {
    let Some(person) = turn.person(id) else { return };
    let event = Event {
        audience: Some(Audience::Room(person.room.clone())),
        kind: kind.into(),
        from: turn.actor(id),
        text: Some(t1(key, "name", person.name.as_str())),
        data: turn.occupant_data(&person.room, person),
        except: vec![id],
        ..Event::default()
    };
    turn.emit(event);
}

/// A grace ends; while the host drains it begins again.
pub(crate) fn grace_over(turn: &mut Turn<'_>, id: CharacterId, grace: u64) {
    let Some(person) = turn.person(id) else { return };
    if person.lost.is_none_or(|lost| lost.grace != grace) || person.frozen.is_some() {
        return;
    }
    if turn.zone.known.draining {
        let again = turn.now + turn.zone.config.grace_ms;
        return turn.timer(Timer::Grace(id, grace), Some(again));
    }
    leave(turn, id, None, None);
}

/// A session asks to leave, or staff or a service made it.
pub(crate) fn leave_asked(turn: &mut Turn<'_>, origin: &Origin, id: CharacterId, why: Option<(u16, String)>) {
    let Some(person) = turn.person(id) else { return };
    if person.session != origin.session {
        return;
    }
    let bye = why.unwrap_or_else(|| (CloseCode::Left.code(), CloseCode::Left.reason().to_owned()));
    leave(turn, id, None, Some(bye));
}

/// The command that made a character leave, and what it reads.
pub(crate) struct Parting {
    pub origin: Origin,
    pub own: Text,
}

/// A character leaves the world: first the room learns it, then its own log ends.
pub(crate) fn leave(
    turn: &mut Turn<'_>,
    id: CharacterId,
    parting: Option<Parting>,
    bye: Option<(u16, String)>,
) {
    party::abandon(turn, id);
    turn.keep(id);
    let Some(person) = turn.person(id) else { return };
    let (room, name) = (person.room.clone(), person.name.clone());
    let before = turn.zone.audiences_of(person);
    if let Some(lost) = person.lost {
        turn.timer(Timer::Grace(id, lost.grace), None);
    }
    let Some(person) = turn.person(id) else { return };
    let (origin, own) = parting.map(|p| (p.origin, p.own)).unzip();
    let outcome = origin.clone().zip(own.clone()).map(|(origin, text)| Outcome { origin, ok: true, text });
    let event = Event {
        audience: Some(Audience::Room(room.clone())),
        kind: "event.left_world".into(),
        from: turn.actor(id),
        text: Some(t1("world.left", "name", name.as_str())),
        data: turn.occupant_data(&room, person),
        except: if own.is_none() { vec![id] } else { Vec::new() },
        origin,
        own,
        subject: Some(id),
        ..Event::default()
    };
    turn.emit(event);
    let ended = Event { bye, ..audiences_event(id, "event.audiences", before, Vec::new()) };
    turn.apply(Change::Left(id, outcome));
    turn.emit(ended);
    turn.zone.known.remove(id);
    turn.out.push(Output::Absent(id));
}

/// A record of a character's log that tells the edge what to hear.
pub(crate) fn audiences_event(
    id: CharacterId,
    kind: &'static str,
    before: Vec<Audience>,
    after: Vec<Audience>,
) -> Event {
    Event {
        audience: Some(Audience::Player(id)),
        kind: kind.into(),
        audiences: Some((before, after)),
        only: vec![id],
        ..Event::default()
    }
}

/// A change of party or of role: other audiences in the same place.
pub(crate) fn audiences_changed(turn: &mut Turn<'_>, id: CharacterId, before: Vec<Audience>) {
    let after = turn.zone.audiences(id);
    if before != after {
        turn.emit(audiences_event(id, "event.audiences", before, after));
    }
}

/// After a restore: timers, presence, moves without an answer, people of rooms that are gone.
pub(crate) fn wake(turn: &mut Turn<'_>) {
    let people: Vec<CharacterId> = turn.zone.state.people.ids().collect();
    for id in people {
        let Some(person) = turn.person(id) else { continue };
        if let Some(lost) = person.lost {
            // Nobody could come back while the zone was without an owner: the grace is theirs again.
            let at = lost.until.max(turn.now + turn.zone.config.grace_ms);
            turn.timer(Timer::Grace(id, lost.grace), Some(at));
        }
        if let Some(traveller) = turn.person(id).and_then(|person| person.frozen.clone()) {
            movement::again(turn, &traveller.move_id);
            continue;
        }
        displace(turn, id);
        turn.present(id);
    }
    let invitations: Vec<_> = turn.zone.state.invitations.values().cloned().collect();
    for pending in invitations {
        turn.timer(Timer::Invitation(pending.party, pending.whom), Some(pending.until.max(turn.now)));
    }
    shutdown::wake(turn);
    post::wake(turn);
    turn.timer(Timer::Beat, Some(turn.now + BEAT_MS));
}

/// Moves a character whose room is gone to the declared place.
fn displace(turn: &mut Turn<'_>, id: CharacterId) {
    let Some(person) = turn.person(id) else { return };
    if turn.room(&person.room).is_some() {
        return;
    }
    let (origin, name) = (happened_to(person), person.name.clone());
    let start = turn.zone.content.world.as_ref().map(|world| world.start.clone());
    let Some(to) = start.or_else(|| place_for(turn, None)) else { return };
    let story = Story {
        own: t1("move.displaced", "place", turn.room_name(&to)),
        leaves: t1("move.vanishes", "name", name.as_str()),
        arrives: t1("move.appears", "name", name.as_str()),
    };
    movement::relocate(turn, id, &to, story, &origin);
}

/// What a goodbye reads.
pub(crate) fn goodbye(name: &str) -> Text {
    t("world.goodbye").with("name", name)
}
