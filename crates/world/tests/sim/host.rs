//! A host of two zones in one thread, with a clock of its own: it commits, dies before or after, rebuilds zones
//! from their checkpoint and their log, loses and repeats what zones send each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tidings_protocol::{AccountId, CharacterId, RoomId, SessionId, ZoneId};
use tidings_world::content::Content;
use tidings_world::input::{Answer, Ask, Fact, HistoryLine, Input, KnownPlayer, Millis, Origin, Role, Timer};
use tidings_world::output::{Event, MuteChange, Persist, Query};
use tidings_world::{Config, Output, Zone, step};

#[path = "players.rs"]
mod players;
#[path = "posts.rs"]
mod posts;

use crate::checker::{Checker, Letters};
use crate::common;
use crate::lines::NAMES;
use posts::Post;

/// What a run did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub deaths: u64,
    pub moves: u64,
    pub repeats: u64,
    pub commits: u64,
    pub lines: u64,
    pub letters: u64,
    pub unanswered: u64,
}

impl Totals {
    pub fn add(&mut self, other: Self) {
        self.deaths += other.deaths;
        self.moves += other.moves;
        self.repeats += other.repeats;
        self.commits += other.commits;
        self.lines += other.lines;
        self.letters += other.letters;
        self.unanswered += other.unanswered;
    }
}

struct Hosted {
    zone: Zone,
    checkpoint: Option<String>,
    /// The effects since, as they are stored.
    log: Vec<String>,
    timers: BTreeMap<Timer, Millis>,
}

struct Player {
    id: CharacterId,
    account: AccountId,
    name: &'static str,
    role: Role,
    session: SessionId,
    said: Vec<(Origin, String)>,
}

pub struct Sim {
    rng: StdRng,
    now: Millis,
    content: Arc<Content>,
    zones: BTreeMap<ZoneId, Hosted>,
    posts: VecDeque<Post>,
    players: Vec<Player>,
    rooms: BTreeMap<CharacterId, (RoomId, String)>,
    mutes: Vec<MuteChange>,
    checker: Checker,
    letters: Letters,
    numbers: u128,
    totals: Totals,
    calm: bool,
}

fn origin(session: SessionId, id: &str) -> Origin {
    Origin { session, id: id.to_owned() }
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        let content = Arc::new(common::content());
        let zones = content.zones.keys().map(|id| {
            let zone =
                Zone::restore(id.clone(), content.clone(), Config::default(), None).expect("a new zone");
            (id.clone(), Hosted { zone, checkpoint: None, log: Vec::new(), timers: BTreeMap::new() })
        });
        let role = |name: &str| match name {
            "Mod" => Role::Moderator,
            "Root" => Role::Admin,
            _ => Role::Player,
        };
        let players: Vec<Player> = (1..)
            .zip(NAMES)
            .map(|(n, name)| Player {
                id: common::character(n),
                account: common::account(n),
                name,
                role: role(name),
                session: common::session(n),
                said: Vec::new(),
            })
            .collect();
        let names = players.iter().map(|p| (p.id, (p.name.to_owned(), p.account))).collect();
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: 1_763_733_600_000,
            zones: zones.collect(),
            content,
            posts: VecDeque::new(),
            checker: Checker::new(names),
            letters: Letters::default(),
            players,
            rooms: BTreeMap::new(),
            mutes: Vec::new(),
            numbers: 1_000,
            totals: Totals::default(),
            calm: false,
        }
    }

    pub fn run(mut self, inputs: usize) -> Totals {
        for _ in 0..inputs {
            self.now += self.rng.random_range(0..400);
            let player = self.rng.random_range(0..self.players.len());
            match self.rng.random_range(0..100) {
                0..60 => self.types(player),
                60..68 => self.repeats(player),
                68..71 => self.link(player, Ask::LinkLost(0, None)),
                71..75 => self.link(player, Ask::LinkBack(0)),
                75..78 => self.enters(player),
                78..80 => self.link(player, Ask::Leave(None)),
                80..88 => self.time_passes(),
                88..93 => self.deliver(),
                93..95 => self.bring_letters(),
                95..96 => self.asks_the_log(),
                96..98 => self.checkpoints(),
                _ => self.dies(),
            }
            self.everyone_is_somewhere();
        }
        self.settle();
        self.totals.lines = self.checker.lines;
        self.totals
    }

    fn chance(&mut self, one_in: u32) -> bool {
        !self.calm && self.rng.random_range(0..one_in) == 0
    }

    fn any_zone(&mut self) -> ZoneId {
        let at = self.rng.random_range(0..self.zones.len());
        self.zones.keys().nth(at).cloned().expect("a zone")
    }

    fn zone_of(&self, id: CharacterId) -> Option<ZoneId> {
        self.zones.iter().find(|(_, hosted)| hosted.zone.owns(id)).map(|(zone, _)| zone.clone())
    }

    // ---- what happens to them ----

    fn time_passes(&mut self) {
        self.now += self.rng.random_range(0..8_000);
        let due: Vec<(ZoneId, Timer)> = self
            .zones
            .iter()
            .flat_map(|(zone, hosted)| {
                let due = hosted.timers.iter().filter(|(_, at)| **at <= self.now);
                due.map(|(timer, _)| (zone.clone(), timer.clone()))
            })
            .collect();
        for (zone, timer) in due {
            let hosted = self.zones.get_mut(&zone).expect("a zone");
            if hosted.timers.remove(&timer).is_some() {
                self.input(&zone, Input::Timer(timer));
            }
        }
    }

    fn checkpoints(&mut self) {
        self.zones_agree();
        let zone = self.any_zone();
        let rebuilt = self.rebuilt(&zone);
        let hosted = self.zones.get_mut(&zone).expect("a zone");
        let timeless = |zone: &Zone| {
            let mut state: serde_json::Value = serde_json::from_str(&zone.checkpoint()).expect("JSON");
            state["clock"] = 0.into();
            state
        };
        assert_eq!(
            timeless(&rebuilt),
            timeless(&hosted.zone),
            "the log gives another state than the one decided"
        );
        hosted.checkpoint = Some(hosted.zone.checkpoint());
        hosted.log.clear();
    }

    /// A zone from its checkpoint and its log.
    fn rebuilt(&mut self, id: &ZoneId) -> Zone {
        let hosted = &self.zones[id];
        let restored =
            Zone::restore(id.clone(), self.content.clone(), Config::default(), hosted.checkpoint.as_deref());
        let mut zone = restored.expect("a checkpoint of ours");
        let effects: Vec<serde_json::Value> =
            hosted.log.iter().map(|effect| serde_json::from_str(effect).expect("JSON")).collect();
        for effect in effects {
            for output in zone.replay(&effect) {
                if let Output::Persist(persist) = output {
                    self.persist(persist);
                }
            }
        }
        zone
    }

    fn dies(&mut self) {
        let zone = self.any_zone();
        self.die(&zone);
    }

    fn die(&mut self, id: &ZoneId) {
        self.totals.deaths += 1;
        let mut zone = self.rebuilt(id);
        let others: Vec<_> = self
            .zones
            .iter()
            .filter(|(other, _)| *other != id)
            .flat_map(|(_, hosted)| hosted.zone.occupants())
            .collect();
        for present in others {
            step(&mut zone, Input::Fact(Fact::Present(present)), self.now, &mut self.rng);
        }
        let outputs = zone.wake(self.now, &mut self.rng);
        let hosted = self.zones.get_mut(id).expect("a zone");
        hosted.zone = zone;
        hosted.timers.clear();
        let key = None;
        self.commit(id, &outputs);
        self.follow_up(id, outputs, key);
    }

    // ---- deciding and committing ----

    fn input(&mut self, id: &ZoneId, input: Input) {
        let hosted = self.zones.get_mut(id).expect("a zone");
        let asker = match &input {
            Input::Command(command) => Some(command.character),
            _ => None,
        };
        let outputs = step(&mut hosted.zone, input, self.now, &mut self.rng);
        if self.chance(60) {
            // Decided, never committed.
            return self.die(id);
        }
        self.commit(id, &outputs);
        if self.chance(60) {
            // Committed, and nothing that follows was done.
            return self.die(id);
        }
        self.follow_up(id, outputs, asker);
    }

    fn commit(&mut self, id: &ZoneId, outputs: &[Output]) {
        let mut events: Vec<Event> = Vec::new();
        let hosted = self.zones.get_mut(id).expect("a zone");
        for output in outputs {
            match output {
                Output::Effect(effect) => {
                    let effect = serde_json::to_string(effect).expect("JSON");
                    self.letters.committed(id, &effect);
                    hosted.log.push(effect);
                }
                Output::Event(event) => events.push(event.as_ref().clone()),
                _ => {}
            }
        }
        self.totals.commits += 1;
        self.checker.commit(&events);
    }

    fn follow_up(&mut self, id: &ZoneId, outputs: Vec<Output>, asker: Option<CharacterId>) {
        let stored = outputs.iter().any(|output| matches!(output, Output::Effect(_)));
        for output in outputs {
            match output {
                Output::Effect(_) | Output::Event(_) => {}
                Output::Reply(reply) => {
                    let by_session =
                        self.players.iter().find(|player| player.session == reply.origin.session);
                    if let Some(who) = by_session.map(|player| player.id).or(asker) {
                        self.checker.reply(&reply, who, stored);
                    }
                }
                Output::Persist(persist) => self.persist(persist),
                Output::Ask(number, query) => {
                    let answer = self.answer(query);
                    self.input(id, Input::Fact(Fact::Answer(number, answer)));
                }
                Output::SetTimer(timer, at) => {
                    let timers = &mut self.zones.get_mut(id).expect("a zone").timers;
                    match at {
                        Some(at) => timers.insert(timer, at),
                        None => timers.remove(&timer),
                    };
                }
                Output::Handover(to, traveller) => self.posts.push_back(Post::Arrive(to, traveller)),
                Output::HandoverRefused(move_id) => {
                    let from = self.zones.keys().find(|zone| *zone != id).cloned().expect("another zone");
                    self.posts.push_back(Post::Refused(from, move_id));
                }
                Output::Present(present) => self.tell_others(id, &Fact::Present(present)),
                Output::Absent(who) => self.tell_others(id, &Fact::Absent(who)),
                // Given at once where it can be, and for certain by `bring_letters`.
                Output::Post(to, letter) => {
                    let letters = Fact::Letters(id.clone(), vec![letter]);
                    self.posts.push_back(Post::Letter(to, letters));
                }
                Output::NotPosted(to) => panic!("{id} has too many letters for {to}"),
                Output::Act(_) => {}
            }
        }
    }

    fn tell_others(&mut self, id: &ZoneId, fact: &Fact) {
        for (_, hosted) in self.zones.iter_mut().filter(|(zone, _)| *zone != id) {
            step(&mut hosted.zone, Input::Fact(fact.clone()), self.now, &mut self.rng);
        }
    }

    fn answer(&mut self, query: Query) -> Answer {
        if self.chance(10) {
            return Answer::Failed;
        }
        match query {
            Query::Player(name) => {
                let known = self.players.iter().find(|player| player.name.eq_ignore_ascii_case(&name));
                Answer::Player(known.map(|player| KnownPlayer {
                    id: player.id,
                    name: player.name.to_owned(),
                    account: player.account,
                    role: player.role,
                }))
            }
            Query::History { limit, .. } => {
                let line = HistoryLine {
                    time: self.now,
                    text: tidings_protocol::Text::new("chat.say").with("name", "Ann").with("text", "hi"),
                };
                Answer::History(vec![line; limit.min(3) as usize])
            }
        }
    }

    fn persist(&mut self, persist: Persist) {
        match persist {
            Persist::Character(id, room, state) => drop(self.rooms.insert(id, (room, state))),
            Persist::Mute(change) => {
                self.mutes.retain(|mute| {
                    (mute.account, mute.target, &mute.channel)
                        != (change.account, change.target, &change.channel)
                });
                if !change.removed {
                    self.mutes.push(change);
                }
            }
            Persist::Silence(..) | Persist::Audit(_) => {}
        }
    }

    // ---- what must hold of the zones ----

    fn everyone_is_somewhere(&self) {
        for player in &self.players {
            let owners = self.zones.values().filter(|hosted| hosted.zone.owns(player.id)).count();
            let movers = self.zones.values().filter(|hosted| hosted.zone.is_moving(player.id)).count();
            assert!(owners <= 1, "{} is in two zones", player.name);
            match self.checker.room_of(player.id) {
                None => assert_eq!(owners, 0, "{} is in a zone and in no room", player.name),
                Some(_) => assert!(owners + movers >= 1, "{} is in a room and in no zone", player.name),
            }
        }
    }

    /// Where every letter has come, every zone knows the same of what all are told.
    fn zones_agree(&self) {
        if self.zones.values().any(|hosted| hosted.zone.letters_waiting() > 0) {
            return;
        }
        let told = |hosted: &Hosted| {
            let state: serde_json::Value = serde_json::from_str(&hosted.zone.checkpoint()).expect("JSON");
            // A plan whose time has come is over where that was seen.
            let plan = &state["shutdown"];
            let at = plan["at"].as_i64().filter(|at| *at > self.now);
            serde_json::json!([plan["made"], at, state["silences"], state["parties"]])
        };
        let told: Vec<serde_json::Value> = self.zones.values().map(told).collect();
        assert!(told.iter().all(|one| *one == told[0]), "zones disagree: {told:#?}");
    }

    /// Nothing is lost any more: every move ends, and rooms and zones agree.
    fn settle(&mut self) {
        self.calm = true;
        for _ in 0..8 {
            self.now += 3_000;
            self.time_passes();
            self.deliver();
            self.deliver();
            self.bring_letters();
        }
        self.letters.all_came();
        let waiting = self.zones.values().any(|hosted| hosted.zone.letters_waiting() > 0);
        assert!(!waiting, "a letter never came");
        self.zones_agree();
        for player in &self.players {
            assert!(
                !self.zones.values().any(|hosted| hosted.zone.is_moving(player.id)),
                "{} is on the way for ever",
                player.name
            );
            let places =
                self.zones.values().flat_map(|hosted| hosted.zone.occupants()).filter(|p| p.id == player.id);
            let rooms: Vec<RoomId> = places.map(|present| present.room).collect();
            let expected: Vec<RoomId> = self.checker.room_of(player.id).cloned().into_iter().collect();
            assert_eq!(rooms, expected, "{} is elsewhere than its events say", player.name);
        }
    }
}
