//! A cluster of three real servers that is broken in every way while everything uses it: what was confirmed is stored, and
//! told, once, in order.
//!
//! Each kind of fault has a test here; a short run mixes them. A longer one is `cargo xtask chaos --seed N --minutes M`.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#[path = "../checker/mod.rs"]
mod checker;
mod load;
mod plan;
mod pulse;
mod run;
mod strike;
mod verdict;

use std::time::Duration;

use tidings_test_support::{newest_nats, oldest_nats};

use crate::plan::{Fault, Plan, Step};
use crate::run::run;

/// The variables by which `cargo xtask chaos` says what to run.
const SEED: &str = "TIDINGS_CHAOS_SEED";
const MINUTES: &str = "TIDINGS_CHAOS_MINUTES";
/// The seed of the short run.
const SHORT_SEED: u64 = 3;
/// No fault is begun later in it.
const SHORT_SPAN: Duration = Duration::from_secs(15);
/// What a longer run lasts unless it is told, in minutes.
const LONG_MINUTES: u64 = 5;

/// Each of these once, for so many milliseconds.
async fn each(version: &str, what: &str, faults: &[(Fault, u64)]) {
    let steps = faults.iter().enumerate().map(|(place, (fault, hold))| Step {
        wait: Duration::from_millis(300),
        fault: *fault,
        node: place % plan::SERVERS,
        hold: Duration::from_millis(*hold),
    });
    assert!(run(version, what, steps, Duration::MAX).await, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed() {
    each(newest_nats(), "killed", &[(Fault::KillNode, 500), (Fault::KillLeader, 1_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen() {
    each(oldest_nats(), "frozen", &[(Fault::FreezeNode, 3_000), (Fault::FreezeLeader, 5_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_and_back() {
    each(newest_nats(), "gone and back", &[(Fault::Wiped, 500), (Fault::AllStopped, 4_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_for_a_minute() {
    each(newest_nats(), "away for a minute", &[(Fault::AllStopped, 60_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_go() {
    each(newest_nats(), "told to go", &[(Fault::LameDuck, 200)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parted() {
    each(newest_nats(), "parted", &[(Fault::PartNode, 3_000), (Fault::PartLeader, 8_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets() {
    let faults = [
        (Fault::StalledSockets, 7_000),
        (Fault::HalfClosed, 500),
        (Fault::CutSockets, 500),
        (Fault::Late, 1_500),
    ];
    each(newest_nats(), "sockets", &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full() {
    each(newest_nats(), "full", &[(Fault::Full, 4_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run() {
    let plan = Plan::new(SHORT_SEED, &Fault::SOON_OVER, Duration::from_secs(2));
    assert!(run(newest_nats(), &format!("seed {SHORT_SEED}"), plan, SHORT_SPAN).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "as long as it is told to be: by `cargo xtask chaos`"]
async fn a_longer_run() {
    let told = |name| std::env::var(name).ok().map(|value| value.parse().expect("a whole number"));
    let (seed, minutes) = (told(SEED).unwrap_or(1), told(MINUTES).unwrap_or(LONG_MINUTES));
    let plan = Plan::new(seed, &Fault::ALL, Duration::from_secs(60));
    let span = Duration::from_secs(60 * minutes);
    assert!(run(newest_nats(), &format!("seed {seed}"), plan, span).await, "seed {seed}");
}
