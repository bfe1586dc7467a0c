//! What a zone host costs: so many commands a second, and how much of a processor its threads take for it.
//!
//! `cargo run --release -p tidings-world-service --example zone_rate [commands] [in flight]`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_bus::{Bus, Embedded, EmbeddedConfig};
use tidings_protocol::proto::world::v1::{self as wire, ZoneRequest, zone_request};
use tidings_protocol::text::Catalogue;
use tidings_protocol::{AccountId, CharacterId, SessionId, ZoneId};
use tidings_service::{Caller, Health, declare, subjects};
use tidings_storage::Store;
use tidings_world::{Config, Content, Limits};
use tidings_world_service::host::Parts;
use tidings_world_service::{HostConfig, Hosts, demo_world};

const PEOPLE: u128 = 100;
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut given = std::env::args().skip(1).map(|text| text.parse::<u128>().unwrap());
    let commands = given.next().unwrap_or(200_000);
    // One command a person at a time, as a session has it.
    let in_flight = given.next().unwrap_or(64).min(PEOPLE);
    let content = Arc::new(Content::load(&demo_world::files()).unwrap());
    let zone = content.world.as_ref().unwrap().start.zone();
    let backend = Embedded::open(declare(EmbeddedConfig::default())).unwrap();
    let bus = Bus::new(backend, Arc::new(subjects::registry(None).unwrap()));
    let off = Limits::NONE;
    let parts = Parts {
        bus: bus.clone(),
        store: Store::memory().await.unwrap(),
        content,
        rules: Config { limits: off, ..Config::default() },
        catalogue: Arc::new(Catalogue::builtin().clone()),
        unwritten: Arc::default(),
        health: Health::new(),
    };
    let hosts = Hosts::start(HostConfig { threads: 1, ..HostConfig::new("rate", 1) }, parts).unwrap();
    let caller = Caller::new(bus);
    for number in 1..=PEOPLE {
        enter(&caller, &zone, number).await;
    }
    for walk in [false, true] {
        let (started, busy) = (Instant::now(), zones_cpu());
        let each = commands / in_flight;
        let senders: Vec<_> = (0..in_flight)
            .map(|n| tokio::spawn(send(caller.clone(), zone.clone(), 1 + n % PEOPLE, n, each, walk)))
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        let (took, cpu) = (started.elapsed().as_secs_f64(), zones_cpu() - busy);
        let done = (each * in_flight) as f64;
        println!(
            "{}: {:.0} commands/s, {:.1} us of the zones' thread each; at 20,000/s {:.0} % of a processor",
            if walk { "walk" } else { "say" },
            done / took,
            cpu / done * 1e6,
            cpu / done * 20_000.0 * 100.0,
        );
    }
    hosts.drain(DEADLINE).await;
}

async fn enter(caller: &Caller, zone: &ZoneId, number: u128) {
    let character = wire::Character {
        id: CharacterId::new(1, number).to_string(),
        name: format!("P{number}"),
        account: AccountId::new(1, number).to_string(),
        role: "player".into(),
        zone: zone.to_string(),
        ..wire::Character::default()
    };
    let session = SessionId::new(1, number).to_string();
    let ask = zone_request::Ask::Enter(wire::Enter {
        session,
        character: Some(character),
        generation: 0,
        ..Default::default()
    });
    let request = ZoneRequest { ask: Some(ask) };
    while caller.zone(zone, &request, DEADLINE).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn send(caller: Caller, zone: ZoneId, number: u128, sender: u128, commands: u128, walk: bool) {
    for n in 0..commands {
        let text = match (walk, n % 2) {
            (false, _) => "say The tide is late, and so is the post.",
            (true, 0) => "east",
            (true, _) => "west",
        };
        let command = wire::Command {
            origin: Some(wire::Origin {
                session: SessionId::new(1, number).to_string(),
                id: format!("{walk}-{sender}-{n}"),
            }),
            character: CharacterId::new(1, number).to_string(),
            text: text.into(),
        };
        let request = ZoneRequest { ask: Some(zone_request::Ask::Command(command)) };
        caller.zone(&zone, &request, DEADLINE).await.unwrap();
    }
}

/// Seconds of processor time of the threads called `zones`.
fn zones_cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let ticks = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once(") ")?;
        if !name.ends_with("(zones") {
            return None;
        }
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?)
    });
    ticks.sum::<f64>() / 100.0
}
