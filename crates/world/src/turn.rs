//! One turn of a zone: the input's time, its chance, and what is put out so far.

use rand::Rng;
use serde_json::json;
use tidings_protocol::{Audience, CharacterId, RoomId, Text, WorldId};

use crate::content::model::{Exit, Room};
use crate::effect::{Change, Effect};
use crate::input::{Made, Millis, Origin, Present, Timer};
use crate::output::{Act, Actor, AuditEntry, Event, Output, Persist};
use crate::state::Person;
use crate::text::row;
use crate::view::Occupant;
use crate::zone::Zone;

/// What decides: the zone, the time, chance, and the outputs.
pub(crate) struct Turn<'a> {
    pub zone: &'a mut Zone,
    pub now: Millis,
    pub rng: &'a mut dyn Rng,
    pub out: Vec<Output>,
}

impl Turn<'_> {
    /// Applies a change and puts it out.
    pub fn apply(&mut self, change: Change) {
        self.zone.state.apply(&change);
        self.out.push(Output::Effect(Effect(change)));
    }

    pub fn emit(&mut self, event: Event) {
        self.out.push(Output::Event(Box::new(event)));
    }

    pub fn timer(&mut self, timer: Timer, at: Option<Millis>) {
        self.out.push(Output::SetTimer(timer, at));
    }

    pub fn act(&mut self, act: Act) {
        self.out.push(Output::Act(act));
    }

    /// Storage is told after the commit, and again after a replay.
    pub fn persist(&mut self, persist: Persist) {
        self.apply(Change::Persist(persist.clone()));
        self.out.push(Output::Persist(persist));
    }

    /// A staff action's entry in the audit log.
    pub fn audit(&mut self, who: CharacterId, action: &str, target: &str, detail: &str) {
        let Some(person) = self.person(who) else { return };
        let entry = AuditEntry {
            time: self.now,
            account: person.account,
            name: person.name.clone(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        };
        self.persist(Persist::Audit(entry));
    }

    /// The mark of what is decided now and every zone is told: later than what it replaces, whatever the clock of the
    /// zone that made that.
    pub fn made(&self, replaces: Option<&Made>) -> Made {
        let at = replaces.map_or(self.now, |before| self.now.max(before.at + 1));
        Made { at, by: self.zone.id.clone() }
    }

    pub fn person(&self, who: CharacterId) -> Option<&Person> {
        self.zone.state.people.get(&who)
    }

    /// Keeps what storage holds of a character.
    pub fn keep(&mut self, who: CharacterId) {
        if let Some(person) = self.person(who) {
            let kept = Persist::Character(who, person.room.clone(), Zone::kept_of(person));
            self.persist(kept);
        }
    }

    /// Tells everyone where a character is.
    pub fn present(&mut self, who: CharacterId) {
        if let Some(present) = self.zone.present_of(who) {
            self.zone.known.put(present.clone());
            self.out.push(Output::Present(present));
        }
    }

    pub fn actor(&self, who: CharacterId) -> Option<Actor> {
        self.person(who).map(actor_of)
    }

    pub fn room(&self, id: &RoomId) -> Option<&Room> {
        self.zone.content.rooms.get(id)
    }

    pub fn room_name(&self, id: &RoomId) -> String {
        self.room(id).map_or_else(|| id.to_string(), |room| room.name.clone())
    }

    pub fn exit(&self, from: &RoomId, way: crate::content::model::Direction) -> Option<&Exit> {
        self.room(from)?.exits.get(&way)
    }

    /// The audience of everyone in the world.
    pub fn world(&self) -> Audience {
        Audience::World(self.world_id())
    }

    /// The staff's audience.
    pub fn staff(&self) -> Audience {
        Audience::Staff(self.world_id())
    }

    fn world_id(&self) -> WorldId {
        self.zone.world_id()
    }

    /// What clients learn of an occupant, with its room.
    pub fn occupant_data(&self, room: &RoomId, person: &Person) -> String {
        json!({ "room": room.as_str(), "occupant": Occupant::player(person) }).to_string()
    }

    /// An event in the character's own log that only its session's reply comes from.
    pub fn own_event(&mut self, who: CharacterId, kind: &'static str, origin: &Origin, own: Text) -> Event {
        Event {
            audience: Some(Audience::Player(who)),
            kind: kind.into(),
            from: self.actor(who),
            origin: Some(origin.clone()),
            own: Some(own),
            only: vec![who],
            ..Event::default()
        }
    }

    /// A line for one character alone, from nobody or somebody.
    pub fn tell(&mut self, whom: CharacterId, kind: &'static str, from: Option<Actor>, text: Text) {
        self.emit(Event {
            audience: Some(Audience::Player(whom)),
            kind: kind.into(),
            from,
            text: Some(text),
            only: vec![whom],
            ..Event::default()
        });
    }

    /// Things in a row, or a line each where the character's settings say so.
    pub fn row(&self, who: CharacterId, things: Vec<Text>) -> Text {
        row(self.person(who).is_some_and(|person| person.kept.settings.screen_reader), things)
    }

    pub fn find_present(&self, name: &str) -> Option<&Present> {
        self.zone.known.by_name(name)
    }

    /// One of several, by chance.
    pub fn choose<'b, T>(&mut self, of: &'b [T]) -> Option<&'b T> {
        let n = u64::try_from(of.len()).ok().filter(|n| *n > 0)?;
        of.get(usize::try_from(self.rng.next_u64() % n).ok()?)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.rng.next_u64().is_multiple_of(n.max(1))
    }

    /// 128 bits of chance.
    pub fn chance(&mut self) -> u128 {
        (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64())
    }
}

/// A player's character as it speaks.
pub(crate) fn actor_of(person: &Person) -> Actor {
    Actor {
        id: Some(person.id),
        name: person.name.clone(),
        account: Some(person.account),
        npc: false,
        staff: person.is_staff(),
    }
}

/// The origin of what no command caused: the session it happened to.
pub(crate) fn happened_to(person: &Person) -> Origin {
    Origin { session: person.session, id: String::new() }
}
