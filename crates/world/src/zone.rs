//! A zone: its state, the step that every input takes, and its way to the next owner.

use std::sync::Arc;

use rand::Rng;
use serde_json::Value;
use tidings_protocol::frames::COMMAND_CHARS;
use tidings_protocol::{Audience, CharacterId, RoomId, SessionId, WorldId, ZoneId};

use crate::content::Content;
use crate::effect::{Change, Effect};
use crate::input::{Ask, Command, Input, Millis, Present, Timer};
use crate::known::Known;
use crate::limits::Limits;
use crate::outcomes::{Outcome, Written};
use crate::output::{Output, Reply};
use crate::state::{Person, State};
use crate::turn::Turn;
use crate::{commands, movement, npc, party, presence, remote};

/// How long a link-dead character stays.
pub const GRACE_MS: i64 = 30_000;
/// How often a zone with people looks after its characters and its weather; one hour of the world is longer.
pub const BEAT_MS: i64 = 5_000;
/// The world where the content names none.
const NO_WORLD: &str = "world";

/// What is configured of the rules.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How often one may speak.
    pub limits: Limits,
    /// How long a link-dead character stays, in milliseconds.
    pub grace_ms: i64,
    /// Longest command line, in characters; 0: as long as an edge takes. Edges refuse longer ones already, but an
    /// alias may grow into one.
    pub command_chars: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { limits: Limits::default(), grace_ms: GRACE_MS, command_chars: COMMAND_CHARS }
    }
}

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint of zone {zone} cannot be read")]
pub struct RestoreError {
    /// Whose.
    pub zone: ZoneId,
    /// Why.
    #[source]
    pub source: serde_json::Error,
}

/// A zone of a world.
#[derive(Debug)]
pub struct Zone {
    pub(crate) id: ZoneId,
    pub(crate) content: Arc<Content>,
    pub(crate) config: Config,
    pub(crate) state: State,
    pub(crate) known: Known,
}

impl Zone {
    /// A zone from its last checkpoint; without one, a new zone.
    pub fn restore(
        id: ZoneId,
        content: Arc<Content>,
        config: Config,
        checkpoint: Option<&str>,
    ) -> Result<Self, RestoreError> {
        let mut state: State = match checkpoint {
            None | Some("") => State::default(),
            Some(text) => {
                serde_json::from_str(text).map_err(|source| RestoreError { zone: id.clone(), source })?
            }
        };
        npc::populate(&mut state, &id, &content);
        state.index();
        let mut zone = Self { id, content, config, state, known: Known::default() };
        for present in zone.occupants() {
            zone.known.put(present);
        }
        Ok(zone)
    }

    /// The zone's state for a checkpoint.
    pub fn checkpoint(&self) -> String {
        serde_json::to_string(&self.state).expect("the state holds nothing that JSON cannot")
    }

    /// Applies an effect of the log again; gives back what has to be done again in storage. Timers and presence
    /// are told by [`Zone::wake`]. An effect of a newer version that is not known changes nothing.
    pub fn replay(&mut self, effect: &Value) -> Vec<Output> {
        match serde_json::from_value::<Effect>(effect.clone()) {
            Ok(effect) => self.replay_effect(&effect),
            Err(_) => Vec::new(),
        }
    }

    /// As [`Zone::replay`], of an effect that was not written down.
    pub fn replay_effect(&mut self, effect: &Effect) -> Vec<Output> {
        self.state.apply(&effect.0);
        match &effect.0 {
            Change::Persist(persist) => vec![Output::Persist(persist.clone())],
            Change::Enter(person) | Change::Arrived(person, _) => self.replayed(person.id),
            Change::Left(id, _) => {
                self.known.remove(*id);
                vec![Output::Absent(*id)]
            }
            Change::Moved(id, _) | Change::Lost(id, _) | Change::Back(id) | Change::Role(id, _) => {
                self.replayed(*id)
            }
            _ => Vec::new(),
        }
    }

    fn replayed(&mut self, id: CharacterId) -> Vec<Output> {
        let Some(present) = self.present_of(id) else { return Vec::new() };
        self.known.put(present);
        Vec::new()
    }

    /// After the replay, once: every timer, everyone's presence, moves that have no answer yet; and people whose
    /// room is gone from the content are moved. The outputs are committed and done like those of a step.
    pub fn wake(&mut self, now: Millis, rng: &mut dyn Rng) -> Vec<Output> {
        let now = self.advance(now);
        let mut turn = Turn { zone: self, now, rng, out: Vec::new() };
        presence::wake(&mut turn);
        turn.out
    }

    /// Takes over what the zone before merely knew; after a rollback.
    pub fn carry(&mut self, before: Self) {
        for present in before.known.all().filter(|present| present.zone != self.id) {
            self.known.put(present.clone());
        }
        self.known.waiting = before.known.waiting;
        self.known.draining = before.known.draining;
    }

    /// The zone's id.
    pub fn id(&self) -> &ZoneId {
        &self.id
    }

    /// Whether the character is here, and not on its way to another zone.
    pub fn owns(&self, character: CharacterId) -> bool {
        self.state.people.get(&character).is_some_and(|person| person.frozen.is_none())
    }

    /// Whether the character is on its way to another zone: what is asked of it waits for the outcome. A step
    /// with an ask for it gives no outputs.
    pub fn is_moving(&self, character: CharacterId) -> bool {
        self.state.people.get(&character).is_some_and(|person| person.frozen.is_some())
    }

    /// Whether a traveller with this move was let in, now or before.
    pub fn knows_move(&self, move_id: &str) -> bool {
        self.state.moves.iter().rev().any(|known| known == move_id)
    }

    /// The session that a character of this zone answers to.
    pub fn session(&self, character: CharacterId) -> Option<SessionId> {
        self.state.people.get(&character).map(|person| person.session)
    }

    /// The audiences a character of this zone is in.
    pub fn audiences(&self, character: CharacterId) -> Vec<Audience> {
        self.state.people.get(&character).map(|person| self.audiences_of(person)).unwrap_or_default()
    }

    /// What storage keeps of a character, as [`Persist::Character`](crate::output::Persist) gives it.
    pub fn kept(&self, character: CharacterId) -> Option<String> {
        self.state.people.get(&character).map(Self::kept_of)
    }

    /// Everyone in the zone: presence after a restore.
    pub fn occupants(&self) -> Vec<Present> {
        self.state.people.ids().filter_map(|id| self.present_of(id)).collect()
    }

    pub(crate) fn kept_of(person: &Person) -> String {
        serde_json::to_string(&person.kept).expect("what is kept holds nothing that JSON cannot")
    }

    pub(crate) fn world_id(&self) -> WorldId {
        self.content
            .world
            .as_ref()
            .map_or_else(|| NO_WORLD.parse().expect("a slug"), |world| world.id.clone())
    }

    pub(crate) fn present_of(&self, id: CharacterId) -> Option<Present> {
        let person = self.state.people.get(&id)?;
        let room_name =
            self.content.rooms.get(&person.room).map_or_else(String::new, |room| room.name.clone());
        Some(Present {
            id,
            name: person.name.clone(),
            account: person.account,
            zone: self.id.clone(),
            room: person.room.clone(),
            room_name,
            link_lost: person.lost.is_some(),
            role: person.role,
        })
    }

    pub(crate) fn audiences_of(&self, person: &Person) -> Vec<Audience> {
        self.audiences_in(person, &person.room)
    }

    /// The audiences of a character, were it in this room.
    pub(crate) fn audiences_in(&self, person: &Person, room: &RoomId) -> Vec<Audience> {
        let mut all = vec![Audience::Player(person.id), Audience::Room(room.clone())];
        if let Some(place) = self.content.rooms.get(room) {
            all.push(Audience::Area(place.area.clone()));
        }
        all.push(Audience::World(self.world_id()));
        if person.is_staff() {
            all.push(Audience::Staff(self.world_id()));
        }
        all.extend(person.party.map(Audience::Party));
        all
    }

    /// The zone's clock: never back.
    fn advance(&mut self, now: Millis) -> Millis {
        self.state.clock = self.state.clock.max(now);
        self.state.clock
    }
}

/// One input, decided: the zone has changed, and the outputs say what is to be stored, told and done. The event
/// times are [`Zone`]'s clock, which is `now` or later.
pub fn step(zone: &mut Zone, input: Input, now: Millis, rng: &mut dyn Rng) -> Vec<Output> {
    let now = zone.advance(now);
    let mut turn = Turn { zone, now, rng, out: Vec::new() };
    match input {
        Input::Command(command) => ask(&mut turn, command),
        Input::Timer(timer) => on_timer(&mut turn, timer),
        Input::Fact(fact) => remote::fact(&mut turn, fact),
        Input::Handover(handover) => movement::handover(&mut turn, handover),
    }
    turn.out
}

fn ask(turn: &mut Turn<'_>, command: Command) {
    let Command { origin, character, ask } = command;
    if turn.zone.is_moving(character) {
        return;
    }
    match ask {
        Ask::Line(line) => commands::line(turn, &origin, character, &line),
        Ask::Enter(arrival) => presence::enter(turn, &origin, *arrival),
        Ask::Leave(why) => presence::leave_asked(turn, &origin, character, why),
        Ask::LinkLost(generation, grace) => presence::link_lost(turn, &origin, character, generation, grace),
        Ask::LinkBack(generation) => presence::link_back(turn, &origin, character, generation),
    }
}

fn on_timer(turn: &mut Turn<'_>, timer: Timer) {
    match timer {
        Timer::Grace(who, grace) => presence::grace_over(turn, who, grace),
        Timer::Beat => npc::beat(turn),
        Timer::Move(move_id) => movement::again(turn, &move_id),
        Timer::Invitation(party, whom) => party::invitation_over(turn, party, whom),
        Timer::Shutdown => commands::shutdown::due(turn),
    }
}

impl Turn<'_> {
    /// Answers with an outcome, remembered with the zone's state if it changed something.
    pub(crate) fn answer(&mut self, who: CharacterId, outcome: Outcome, kept: bool) {
        let reply = Reply { origin: outcome.origin.clone(), ok: outcome.ok, text: outcome.text.clone() };
        self.remember(who, outcome, kept);
        self.out.push(Output::Reply(reply));
    }

    pub(crate) fn remember(&mut self, who: CharacterId, outcome: Outcome, kept: bool) {
        if kept {
            self.apply(Change::Did(who, Written::of(&outcome)));
        } else if let Some(person) = self.zone.state.people.get_mut(&who) {
            if person.reads.len() >= READS_MAX {
                person.reads.pop_front();
            }
            person.reads.push_back(outcome);
        }
    }
}

/// Outcomes of commands that changed nothing, kept of each character in memory: more than a client can have in
/// flight, few enough that pages of help do not add up.
const READS_MAX: usize = 8;
