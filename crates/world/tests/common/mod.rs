//! A small world made in code, and a table at which players type and everyone's lines are read.

#![allow(dead_code)] // each test uses a part

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tidings_protocol::{AccountId, Audience, Catalogue, CharacterId, RoomId, SessionId, ZoneId};
use tidings_world::content::model::{
    Area, Content, Direction, Emote, Exit, Help, Npc, Reaction, Room, RoutineStep, Thing, WorldMeta,
    Zone as Place,
};
use tidings_world::input::{
    Answer, Arrival, Ask, Command, Fact, Input, KnownPlayer, Millis, Origin, Role, Timer,
};
use tidings_world::output::{Act, Event, Persist, Query};
use tidings_world::{Config, Output, Zone, step};

pub fn room_id(id: &str) -> RoomId {
    id.parse().expect("a room")
}

pub fn zone_id(id: &str) -> ZoneId {
    id.parse().expect("a zone")
}

fn exit(to: &str) -> Exit {
    Exit { to: room_id(to), one_way: false, hidden: false, locked: false, door: None }
}

fn room(
    id: &str,
    area: &str,
    name: &str,
    outdoors: bool,
    exits: &[(Direction, &str)],
    at: (i32, i32),
) -> Room {
    Room {
        id: room_id(id),
        area: area.parse().expect("an area"),
        name: name.to_owned(),
        description: format!("This is the {name}."),
        outdoors,
        exits: exits.iter().map(|(direction, to)| (*direction, exit(to))).collect(),
        things: vec![Thing {
            words: vec!["fire".to_owned(), "hearth".to_owned()],
            description: "It crackles.".to_owned(),
        }],
        at,
    }
}

/// Two zones: `town` with a hall, a yard and a cellar; `wood` with a glade and a brook.
pub fn content() -> Content {
    use Direction::{Down, East, In, North, Out, South, Up, West};
    let mut rooms = vec![
        room(
            "town_hall",
            "town_inside",
            "Main Hall",
            false,
            &[(East, "town_yard"), (Down, "town_cellar")],
            (0, 0),
        ),
        room(
            "town_yard",
            "town_outside",
            "Yard",
            true,
            &[(West, "town_hall"), (North, "wood_glade"), (In, "town_gone"), (Out, "wood_gone")],
            (1, 0),
        ),
        room(
            "town_cellar",
            "town_inside",
            "Cellar",
            false,
            &[(Up, "town_hall"), (North, "town_yard")],
            (0, 1),
        ),
        room("wood_glade", "wood_all", "Glade", true, &[(South, "town_yard"), (East, "wood_brook")], (1, -1)),
        room("wood_brook", "wood_all", "Brook", true, &[(West, "wood_glade"), (North, "wood_lost")], (2, -1)),
    ];
    let locked = Exit { locked: true, door: Some("oak door".to_owned()), ..exit("town_yard") };
    if let Some(cellar) = rooms.iter_mut().find(|room| room.id.as_str() == "town_cellar") {
        cellar.exits.insert(North, locked);
    }
    let areas = ["town_inside", "town_outside", "wood_all"]
        .map(|id| Area { id: id.parse().expect("an area"), name: id.to_owned() });
    let weather = vec![("rain".to_owned(), 2), ("sun".to_owned(), 1)];
    let zones =
        ["town", "wood"].map(|id| Place { id: zone_id(id), name: id.to_owned(), weather: weather.clone() });
    let npc = Npc {
        id: "town_keeper".to_owned(),
        name: "the innkeeper".to_owned(),
        words: vec!["innkeeper".to_owned(), "keeper".to_owned()],
        description: "A round, friendly man.".to_owned(),
        home: room_id("town_cellar"),
        population: 1,
        wanders: Vec::new(),
        routine: vec![RoutineStep { hour: 6, go: Some(room_id("town_hall")), line: ":yawns.".to_owned() }],
        greetings: vec!["Good day, {name}.".to_owned()],
        reactions: vec![Reaction {
            words: vec!["ale".to_owned()],
            lines: vec![":pours an ale for {name}.".to_owned()],
        }],
        idle: vec![":hums.".to_owned()],
    };
    let deer = Npc {
        id: "wood_deer".to_owned(),
        name: "a deer".to_owned(),
        words: vec!["deer".to_owned()],
        home: room_id("wood_glade"),
        population: 2,
        wanders: vec![room_id("wood_glade"), room_id("wood_brook")],
        routine: Vec::new(),
        greetings: Vec::new(),
        ..npc.clone()
    };
    let emotes = [
        ("dance", "You dance.", "{name} dances.", "", "", ""),
        (
            "smile",
            "You smile.",
            "{name} smiles.",
            "You smile at {target}.",
            "{name} smiles at {target}.",
            "{name} smiles at you.",
        ),
    ];
    let help = Help {
        topic: "manners".to_owned(),
        title: "Manners".to_owned(),
        text: "Be kind to everyone.".to_owned(),
        see_also: ["say", "kick", "secrets", "nothing"].map(str::to_owned).to_vec(),
        role: "player".to_owned(),
    };
    let secret = Help { topic: "secrets".to_owned(), role: "admin".to_owned(), ..help.clone() };
    let look = Help {
        topic: "look".to_owned(),
        title: "Looking".to_owned(),
        text: "A room has its things.".to_owned(),
        see_also: vec!["manners".to_owned(), "examine".to_owned()],
        role: "player".to_owned(),
    };
    Content {
        world: Some(WorldMeta {
            id: "lantern".parse().expect("a world"),
            name: "Lantern".to_owned(),
            welcome: "Welcome.".to_owned(),
            start: room_id("town_hall"),
            hour_seconds: 60,
        }),
        zones: zones.into_iter().map(|zone| (zone.id.clone(), zone)).collect(),
        areas: areas.into_iter().map(|area| (area.id.clone(), area)).collect(),
        rooms: rooms.into_iter().map(|room| (room.id.clone(), room)).collect(),
        npcs: [npc, deer].into_iter().map(|npc| (npc.id.clone(), npc)).collect(),
        emotes: emotes
            .into_iter()
            .map(|(word, own, others, own_to, others_to, target_to)| {
                let emote = Emote {
                    word: word.to_owned(),
                    own: own.to_owned(),
                    others: others.to_owned(),
                    own_to: own_to.to_owned(),
                    others_to: others_to.to_owned(),
                    target_to: target_to.to_owned(),
                };
                (emote.word.clone(), emote)
            })
            .collect(),
        help: [help, secret, look].into_iter().map(|help| (help.topic.clone(), help)).collect(),
    }
}

pub fn character(n: u128) -> CharacterId {
    CharacterId::new(1_000, n << 64 | n)
}

pub fn account(n: u128) -> AccountId {
    AccountId::new(2_000, n << 64 | n)
}

pub fn session(n: u128) -> SessionId {
    SessionId::new(3_000, n << 64 | n)
}

pub fn arrival(n: u128, name: &str, role: Role) -> Arrival {
    Arrival {
        id: character(n),
        name: name.to_owned(),
        account: account(n),
        role,
        generation: 0,
        guest: false,
        room: None,
        state: String::new(),
        mutes: Vec::new(),
        silenced: None,
    }
}

/// Players around one zone: what each types is answered at once, and everyone's lines are gathered.
pub struct Table {
    pub zone: Zone,
    pub now: Millis,
    pub rng: StdRng,
    pub catalogue: Catalogue,
    players: BTreeMap<String, (CharacterId, SessionId)>,
    next: u128,
    /// Everything that was put out by the last input.
    pub last: Vec<Output>,
    /// Players that storage knows but who are not in the world.
    pub away: Vec<KnownPlayer>,
    heard: BTreeMap<CharacterId, Vec<Audience>>,
}

impl Table {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::of("town", config)
    }

    pub fn of(zone: &str, config: Config) -> Self {
        let zone = Zone::restore(zone_id(zone), Arc::new(content()), config, None).expect("a zone");
        Self {
            zone,
            // 14:00 UTC on some day; the world's hour is one that nobody's routine knows.
            now: 1_763_733_600_000,
            rng: StdRng::seed_from_u64(7),
            catalogue: Catalogue::builtin(),
            players: BTreeMap::new(),
            next: 0,
            last: Vec::new(),
            away: Vec::new(),
            heard: BTreeMap::new(),
        }
    }

    pub fn id(&self, name: &str) -> CharacterId {
        self.players[name].0
    }

    pub fn session_of(&self, name: &str) -> SessionId {
        self.players[name].1
    }

    /// Gives an input; the lines that each player reads of it, `Name> line`, own replies first marked by `Name!`
    /// where they are refusals.
    pub fn input(&mut self, input: Input) -> Vec<String> {
        self.last.clear();
        self.feed(input)
    }

    fn feed(&mut self, input: Input) -> Vec<String> {
        let outputs = step(&mut self.zone, input, self.now, &mut self.rng);
        let mut lines = Vec::new();
        let mut questions = Vec::new();
        for output in &outputs {
            match output {
                Output::Event(event) => self.read(event, &mut lines),
                Output::Reply(reply) => {
                    let mark = if reply.ok { '>' } else { '!' };
                    let text = self.catalogue.render(&reply.text, "en");
                    lines.push(format!("{}{mark} {text}", self.name_of_session(reply.origin.session)));
                }
                Output::Ask(number, query) => questions.push((*number, query.clone())),
                _ => {}
            }
        }
        self.last.extend(outputs);
        for (number, query) in questions {
            let answer = self.answer(&query);
            lines.extend(self.feed(Input::Fact(Fact::Answer(number, answer))));
        }
        lines
    }

    fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Player(name) => {
                let known = self.away.iter().find(|known| known.name.eq_ignore_ascii_case(name));
                Answer::Player(known.cloned())
            }
            Query::History { .. } => Answer::History(Vec::new()),
        }
    }

    fn name_of_session(&self, session: SessionId) -> String {
        let found = self.players.iter().find(|(_, (_, other))| *other == session);
        found.map_or_else(|| "?".to_owned(), |(name, _)| name.clone())
    }

    fn read(&mut self, event: &Event, lines: &mut Vec<String>) {
        let audience = event.audience.clone().expect("every event has an audience");
        if let (Some((_, after)), Audience::Player(id)) = (&event.audiences, &audience) {
            // The old ones stay open until the border; here only additions matter.
            let heard = self.heard.entry(*id).or_default();
            heard.extend(after.iter().cloned());
            if after.is_empty() {
                heard.clear();
            }
        }
        for (name, (id, session)) in &self.players {
            let own =
                event.own.as_ref().filter(|_| event.origin.as_ref().is_some_and(|o| o.session == *session));
            if let Some(own) = own {
                lines.push(format!("{name}> {}", self.catalogue.render(own, "en")));
                continue;
            }
            let hears = self.zone.audiences(*id).contains(&audience)
                || matches!(&audience, Audience::Player(other) if other == id);
            let told = event.only.is_empty() || event.only.contains(id);
            if let Some(text) = event.text.as_ref().filter(|_| hears && told && !event.except.contains(id)) {
                lines.push(format!("{name}: {}", self.catalogue.render(text, "en")));
            }
        }
    }

    pub fn enter(&mut self, name: &str, role: Role) -> Vec<String> {
        self.next += 1;
        self.players.insert(name.to_owned(), (character(self.next), session(self.next)));
        self.enter_as(name, arrival(self.next, name, role))
    }

    pub fn enter_as(&mut self, name: &str, arrival: Arrival) -> Vec<String> {
        let (character, session) = self.players[name];
        let origin = Origin { session, id: String::new() };
        self.input(Input::Command(Command { origin, character, ask: Ask::Enter(Box::new(arrival)) }))
    }

    /// Numbers of its own for a table beside another.
    pub fn skip(&mut self, numbers: u128) {
        self.next += numbers;
    }

    /// A player who comes from elsewhere.
    pub fn enter_known(&mut self, name: &str, character: CharacterId, session: SessionId) {
        self.players.insert(name.to_owned(), (character, session));
    }

    /// A session of its own for a character that is known.
    pub fn new_session(&mut self, name: &str) {
        self.next += 1;
        let session = session(self.next);
        self.players.get_mut(name).expect("a player").1 = session;
    }

    pub fn ask(&mut self, name: &str, ask: Ask) -> Vec<String> {
        let (character, session) = self.players[name];
        let origin = Origin { session, id: String::new() };
        self.input(Input::Command(Command { origin, character, ask }))
    }

    pub fn types(&mut self, name: &str, line: &str) -> Vec<String> {
        self.next += 1;
        let id = format!("c{}", self.next);
        self.types_as(name, &id, line)
    }

    pub fn types_as(&mut self, name: &str, id: &str, line: &str) -> Vec<String> {
        let (character, session) = self.players[name];
        let origin = Origin { session, id: id.to_owned() };
        self.input(Input::Command(Command { origin, character, ask: Ask::Line(line.to_owned()) }))
    }

    /// The number of the last command that was typed without an id of its own.
    pub fn commands(&self) -> u128 {
        self.next
    }

    /// The time goes on.
    pub fn wait(&mut self, seconds: i64) {
        self.now += seconds * 1_000;
    }

    pub fn timer(&mut self, timer: Timer) -> Vec<String> {
        self.input(Input::Timer(timer))
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.last.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event.as_ref()),
            _ => None,
        })
    }

    pub fn persisted(&self) -> impl Iterator<Item = &Persist> {
        self.last.iter().filter_map(|output| match output {
            Output::Persist(persist) => Some(persist),
            _ => None,
        })
    }

    pub fn acts(&self) -> impl Iterator<Item = &Act> {
        self.last.iter().filter_map(|output| match output {
            Output::Act(act) => Some(act),
            _ => None,
        })
    }

    pub fn effects(&self) -> usize {
        self.last.iter().filter(|output| matches!(output, Output::Effect(_))).count()
    }
}
