//! The conformance suite: what every backend of the bus does alike. A backend instantiates it with
//! `conformance!(name, open)`, where `open` is an async function that gives a fresh [`Fixture`].

pub mod dead_letters;
pub mod delivery;
pub mod handling;
pub mod jobs;
pub mod keyvalue;
pub mod logs;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::backend::Backend;
use tidings_bus::{Bus, Check, Class, Registry, SlowReader, Subject, TemplateDef};

/// A fresh bus, and what has to live as long as it.
pub struct Fixture {
    pub bus: Bus,
    /// A handle over the same backend that checks nothing on the way out.
    pub unchecked: Bus,
    /// What is below them.
    pub backend: Arc<dyn Backend>,
    /// How the backend differs where the contract leaves it open.
    pub traits: Traits,
    #[allow(dead_code, reason = "held, not read")]
    pub keep: Box<dyn std::any::Any + Send>,
}

/// What the contract leaves to a backend.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Whether a publisher learns that a subscriber of policy `Refuse` is full: not across a network.
    pub publisher_is_told: bool,
    /// How long what was published may be on its way to subscribers.
    pub arrives_within: Duration,
}

impl Traits {
    #[allow(dead_code, reason = "one of several tests of the suite uses it")]
    /// A backend in the process: everything has happened when a call returns.
    pub const HERE: Self = Self { publisher_is_told: true, arrives_within: Duration::ZERO };
}

/// Long enough for anything that is to happen.
pub const SOON: Duration = Duration::from_secs(10);

pub fn row(name: &'static str, template: &'static str, class: Class) -> TemplateDef {
    TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 4_096,
        slow: SlowReader::Refuse,
        check: Some(Check::new(|payload| {
            if payload.starts_with(b"bad") { Err("it starts with 'bad'".to_owned()) } else { Ok(()) }
        })),
        wide: None,
    }
}

/// The registry of the suite.
pub fn registry() -> Arc<Registry> {
    registry_of("t")
}

/// The same for one of several systems on one server.
pub fn registry_of(prefix: &str) -> Arc<Registry> {
    let slow = |name, template, slow| TemplateDef { slow, ..row(name, template, Class::Ephemeral) };
    let templates = vec![
        row("room", "room.{room:place}.log", Class::Durable),
        row("owner", "zone.{zone:slug}.owner", Class::Durable),
        row("zone", "zone.{zone:slug}.log", Class::Durable),
        row("say", "say.{to:token}", Class::Ephemeral),
        slow("hint", "hint.{room:place}", SlowReader::DropOldest),
        slow("tick", "tick.{room:place}", SlowReader::DropNewest),
        row("ask", "ask.{what:slug}", Class::Request),
        row("work", "work.{queue:slug}", Class::Work),
        row("dlq", "dlq.{queue:slug}", Class::Durable),
    ];
    Arc::new(Registry::new(Some(prefix), templates).unwrap())
}

pub fn subject(bus: &Bus, name: &str, parameter: &str) -> Subject {
    bus.registry().subject(name, &[parameter]).unwrap()
}

pub fn text(payload: &Bytes) -> &str {
    std::str::from_utf8(payload).unwrap()
}

/// Waits for something that has to happen.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it happens soon")
}

/// Hands every case to another macro.
#[macro_export]
macro_rules! cases {
    ($then:ident, $open:path) => {
        $crate::$then! { @cases $open,
            delivery: [
                everyone_subscribed_hears, a_group_shares, patterns_hear_their_own, classes_are_enforced,
                a_request_is_answered,
                an_asker_is_told_once, nobody_serves, the_deadline_holds, a_responder_that_goes,
                a_request_that_is_let_go,
                slow_readers_by_policy, invalid_is_refused_and_skipped, draining_finishes_what_waits,
                draining_says_what_it_gave_up
            ],
            logs: [
                a_commit_is_ordered, each_is_a_commit_of_its_own, a_fence_refuses_the_stale, last_and_read, following_from_any_place,
                following_many_in_stream_order, adding_while_live_catches_up, removing_and_adding_anew,
                a_trimmed_log_reports_a_hole, what_is_no_longer_retained_is_told, the_position_resumes_exactly,
                one_writer_many_followers, falling_behind_while_waiting, a_commit_out_of_bounds,
                a_follower_ends_with_the_bus
            ],
            jobs: [
                each_goes_to_one_worker, a_nak_comes_again_later, the_last_attempt_makes_a_dead_letter,
                term_and_invalid_are_dead_letters, the_deadline_to_acknowledge, a_full_work_queue_refuses,
                draining_waits_for_work
            ],
            dead_letters: [
                a_letter_tells_its_history, letters_are_found_page_by_page,
                a_replay_is_marked_and_takes_its_letter_out, many_are_replayed_at_a_pace,
                a_replay_that_dies_is_stored_once, letters_are_taken_out_for_good, what_was_exported_is_imported_once
            ],
            handling: [
                each_end_is_told, a_long_handler_is_extended_and_holds_up_nobody, stopping_lets_handlers_finish
            ],
            keyvalue: [
                compare_and_set, keys_and_bounds, time_runs_out, watching_tells_what_is_and_what_changes,
                a_lagging_watcher_begins_anew, an_unknown_bucket_is_refused
            ]
        }
    };
}

/// Instantiates the suite for a backend: a test a case.
#[macro_export]
macro_rules! conformance {
    ($backend:ident, $open:path) => {
        mod $backend {
            use super::*;
            $crate::cases!(conformance, $open);
        }
    };
    (@cases $open:path, $($module:ident: [$($case:ident),*]),*) => {
        $(
            mod $module {
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        suite::$module::$case($open().await).await;
                    }
                )*
            }
        )*
    };
}

/// Runs the suite in turn, for a backend that is too dear to be made for each case: `$open` is given the case's number
/// and gives its fixture.
#[macro_export]
macro_rules! conformance_in_turn {
    ($open:path) => {
        $crate::cases!(conformance_in_turn, $open)
    };
    (@cases $open:path, $($module:ident: [$($case:ident),*]),*) => {{
        let mut number = 0;
        $($(
            number += 1;
            println!("{} {}", stringify!($module), stringify!($case));
            suite::$module::$case($open(number).await).await;
        )*)*
        number
    }};
}
