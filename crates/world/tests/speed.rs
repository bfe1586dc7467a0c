//! What a step costs; run by hand: `cargo test -p tidings-world --release --test speed -- --ignored --nocapture`.

#![allow(clippy::print_stdout)] // the figures are what it is for

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tidings_world::input::{Ask, Command, Input, Origin, Role};
use tidings_world::{Config, Limits, Zone, step};

const PEOPLE: u128 = 1_000;
const STEPS: u128 = 200_000;

fn run(config: Config, name: &str, line: &str) {
    let mut zone =
        Zone::restore(common::zone_id("town"), Arc::new(common::content()), config, None).expect("a zone");
    let mut rng = StdRng::seed_from_u64(1);
    for n in 1..=PEOPLE {
        let ask = Ask::Enter(Box::new(common::arrival(n, &format!("P{n}"), Role::Player)));
        let origin = Origin { session: common::session(n), id: String::new() };
        step(
            &mut zone,
            Input::Command(Command { origin, character: common::character(n), ask }),
            1_000,
            &mut rng,
        );
    }
    let mut best = f64::MAX;
    for round in 0..3 {
        let started = Instant::now();
        for n in 0..STEPS {
            let who = n % PEOPLE + 1;
            let origin = Origin { session: common::session(who), id: format!("c{round}.{n}") };
            let command =
                Command { origin, character: common::character(who), ask: Ask::Line(line.to_owned()) };
            let now = 2_000 + i64::try_from(n).expect("small") * 5;
            black_box(step(&mut zone, Input::Command(command), now, &mut rng));
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e6 / STEPS as f64);
    }
    println!("{name}: {best:.2} us a step, {PEOPLE} people in the room");
}

#[test]
#[ignore = "measures, and asserts nothing: the command is at the top of this file"]
fn what_a_step_costs() {
    let off = Limits::NONE;
    let high = Limits { say_per_minute: 1_000_000, ..off };
    let text = format!("say {}", "x".repeat(100));
    run(Config { limits: off, ..Config::default() }, "say, no limits", &text);
    run(Config { limits: high, ..Config::default() }, "say, limits above the load", &text);
    run(Config { limits: off, ..Config::default() }, "whisper", "whisper P7 hello there");
    run(Config { limits: off, ..Config::default() }, "refusal", "xyzzy");
}
