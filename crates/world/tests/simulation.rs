//! A seeded simulation: two zones, a handful of players, and a host that dies at the worst moments. The checker
//! reads what was committed and answered, and nothing else; it shares no code with the rules.
//!
//! `TIDINGS_SIM_SEEDS=1000` runs 1,000 seeds of `TIDINGS_SIM_INPUTS` (10,000) inputs; `TIDINGS_SIM_SEED=n` replays
//! one that failed.

#[path = "sim/checker.rs"]
mod checker;
mod common;
#[path = "sim/host.rs"]
mod host;
#[path = "sim/lines.rs"]
mod lines;
#[path = "sim/voice.rs"]
mod voice;

use host::Sim;

/// Without the variables: what a development build does in some twenty seconds.
const SEEDS: u64 = 40;
const INPUTS: usize = 2_000;
const INPUTS_OF_MANY: usize = 10_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn nothing_breaks_whatever_dies() {
    let many = variable("TIDINGS_SIM_SEEDS");
    let inputs = variable("TIDINGS_SIM_INPUTS").map(|n| usize::try_from(n).expect("a size"));
    let inputs = inputs.unwrap_or(if many.is_some() { INPUTS_OF_MANY } else { INPUTS });
    let seeds = match variable("TIDINGS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..many.unwrap_or(SEEDS),
    };
    let mut totals = host::Totals::default();
    for seed in seeds.clone() {
        let run = std::panic::catch_unwind(|| Sim::new(seed).run(inputs));
        match run {
            Ok(done) => totals.add(done),
            Err(cause) => {
                eprintln!(
                    "seed {seed} failed: TIDINGS_SIM_SEED={seed} TIDINGS_SIM_INPUTS={inputs} replays it"
                );
                std::panic::resume_unwind(cause);
            }
        }
    }
    println!("{} seeds of {inputs} inputs: {totals:?}", seeds.end - seeds.start);
    assert!(
        [totals.deaths, totals.moves, totals.repeats, totals.letters, totals.unanswered]
            .iter()
            .all(|n| *n > 0),
        "the simulation exercises nothing: {totals:?}"
    );
}
