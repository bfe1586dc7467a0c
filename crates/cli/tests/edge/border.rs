//! The border under load: people walk between rooms full of talk, dropping and coming back, and hear of each room
//! what lies between their own `entered` and `left` records in its log: everything, once, in order, nothing else.
//!
//! The checker reads the logs; it shares nothing with the edge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message as _;
use tidings_bus::Bus;
use tidings_client::frames::{ClientFrame, ServerFrame};
use tidings_client::{Connection, Error};
use tidings_protocol::Audience;
use tidings_protocol::proto::world::v1::Event;
use tidings_service::Subjects;
use tidings_test_support::Player;

use crate::harness::House;

const ROOMS: [&str; 4] = ["town_hall", "town_gate", "hill_foot", "hill_top"];
/// The ways on the line of rooms, by place: towards the end and back.
const WAYS: [(&str, &str); 4] = [("east", ""), ("north", "west"), ("up", "south"), ("", "down")];
const STEPS: usize = 40;
const WALKERS: usize = 4;

/// One who walks, and everything it heard said.
struct Walker {
    connection: Option<Connection>,
    id: String,
    at: usize,
    commands: usize,
    heard: Vec<u64>,
}

impl Walker {
    fn note(&mut self, frame: &ServerFrame) {
        if let ServerFrame::Event(event) = frame
            && event.kind == "chat.say"
        {
            self.heard.push(event.seq);
        }
    }

    async fn step(&mut self, choice: u64) {
        let (on, back) = WAYS[self.at];
        let forward = back.is_empty() || (!on.is_empty() && choice & 1 == 0);
        self.commands += 1;
        let id = format!("walk-{}", self.commands);
        let text = if forward { on } else { back }.to_owned();
        let connection = self.connection.as_mut().expect("connected");
        connection.send(&ClientFrame::Command { id: id.clone(), text }).await.unwrap();
        loop {
            let frame = self.connection.as_mut().expect("connected").next().await.unwrap();
            self.note(&frame);
            match frame {
                ServerFrame::Reply(reply) if reply.id == id => {
                    assert!(reply.ok, "{}", reply.text);
                    break;
                }
                ServerFrame::Error(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        self.at = if forward { self.at + 1 } else { self.at - 1 };
    }

    async fn drop_and_return(&mut self) {
        let connection = self.connection.take().expect("connected").reconnect().await.unwrap();
        assert!(connection.welcome().recovered, "{:?}", connection.welcome().reason);
        self.connection = Some(connection);
    }

    async fn listen_to_the_end(&mut self) {
        let wait = std::time::Duration::from_millis(800);
        loop {
            match self.connection.as_mut().expect("connected").next_within(wait).await {
                Ok(frame) => self.note(&frame),
                Err(Error::Timeout(_)) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// What the log of each room entitles a character to hear.
async fn entitled(bus: &Bus, character: &str) -> BTreeSet<u64> {
    let mut expected = BTreeSet::new();
    for room in ROOMS {
        let audience = Audience::Room(room.parse().unwrap());
        let subject = Subjects(bus.registry()).log(&audience).unwrap();
        let mut inside = false;
        for message in bus.read(&[subject], 0, 1_000_000).await.unwrap() {
            let event = Event::decode(message.payload).unwrap();
            let about_me = event.subject == character;
            match event.kind.as_str() {
                "event.entered" | "event.joined_world" if about_me => inside = true,
                "event.left" | "event.left_world" if about_me => inside = false,
                "chat.say" if inside && event.from.is_none_or(|from| from.id != character) => {
                    expected.insert(message.seq);
                }
                _ => {}
            }
        }
    }
    expected
}

async fn talk(mut player: Player, stop: Arc<AtomicBool>) {
    let mut line = 0;
    while !stop.load(Ordering::Relaxed) {
        line += 1;
        player.does(&format!("say line {line}")).await.unwrap();
        if line % 50 == 0 {
            while player.connection.next_within(std::time::Duration::from_millis(1)).await.is_ok() {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_walks_hears_each_room_between_its_own_records() {
    let house = House::new().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut talkers = Vec::new();
    for (place, name) in ["Tam", "Tess", "Tom", "Tilda"].into_iter().enumerate() {
        let mut talker = house.player(name).await;
        for way in &WAYS[..place] {
            talker.does(way.0).await.unwrap();
        }
        talkers.push(tokio::spawn(talk(talker, Arc::clone(&stop))));
    }
    let mut walkers = Vec::new();
    for number in 0..WALKERS {
        let player = house.player(&format!("Walker{}", ["a", "b", "c", "d"][number])).await;
        let id = player.connection.welcome().character.id.to_string();
        let mut walker =
            Walker { connection: Some(player.connection), id, at: 0, commands: 0, heard: Vec::new() };
        walkers.push(tokio::spawn(async move {
            let mut chance = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(number as u64 + 1);
            for step in 0..STEPS {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                walker.step(chance >> 40).await;
                if number % 2 == 1 && step % 7 == 6 {
                    walker.drop_and_return().await;
                }
            }
            walker
        }));
    }
    let mut done = Vec::new();
    for walker in walkers {
        done.push(walker.await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    for talker in talkers {
        talker.await.unwrap();
    }
    for mut walker in done {
        walker.listen_to_the_end().await;
        let expected: Vec<u64> = entitled(&house.bus, &walker.id).await.into_iter().collect();
        assert!(expected.len() > STEPS, "there was talk: {}", expected.len());
        assert_eq!(walker.heard, expected, "{}", walker.id);
    }
}
