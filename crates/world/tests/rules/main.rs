//! The rules at their edges, by subject.

mod coming;
#[path = "../common/mod.rs"]
mod common;
mod letters;
mod living;
mod moves;
mod outcomes;
mod sanctions;
mod texts;
mod views;

use std::sync::Arc;

use common::{Table, account, arrival, character, content, room_id, zone_id};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tidings_protocol::Audience;
use tidings_world::input::{
    Arrival, Ask, Command, Fact, Handover, Input, KnownPlayer, Letter, Made, Membership, Origin, Party, Role,
    Silence, Timer, Traveller,
};
use tidings_world::output::{Act, MuteChange, Persist, Query, RemoteAct};
use tidings_world::{Config, Limits, Output, Zone, limits, step};

/// No limits.
fn quiet() -> Config {
    let limits = Limits::NONE;
    Config { limits, ..Config::default() }
}

/// What the last input's events are, and whose.
fn kinds(table: &Table) -> Vec<(String, &'static str)> {
    let scope = |event: &tidings_world::output::Event| event.audience.as_ref().map_or("", Audience::scope);
    table.events().map(|event| (event.kind.to_string(), scope(event))).collect()
}

/// The like, as it is expected.
fn names(rows: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    rows.iter().map(|(kind, scope)| ((*kind).to_owned(), *scope)).collect()
}

/// A new zone.
fn zone(id: &str) -> Zone {
    Zone::restore(zone_id(id), Arc::new(content()), Config::default(), None).expect("a zone")
}

/// What the askers read of these outputs.
fn texts(outputs: Vec<Output>) -> Vec<String> {
    let catalogue = tidings_protocol::Catalogue::builtin();
    let text = |output| match output {
        Output::Event(event) => event.own.map(|own| catalogue.render(&own, "en")),
        Output::Reply(reply) => Some(catalogue.render(&reply.text, "en")),
        _ => None,
    };
    outputs.into_iter().filter_map(text).collect()
}

/// The letters that the last input posted.
fn posted(table: &Table) -> Vec<(tidings_protocol::ZoneId, Letter)> {
    let letter = |output: &Output| match output {
        Output::Post(to, letter) => Some((to.clone(), letter.clone())),
        _ => None,
    };
    table.last.iter().filter_map(letter).collect()
}

/// Walks to the yard and north, out of the zone.
fn goes_to_the_wood(table: &mut Table, name: &str) -> Traveller {
    table.types(name, "east");
    goes(table, name, "north")
}

/// Walks out of the zone.
fn goes(table: &mut Table, name: &str, way: &str) -> Traveller {
    assert!(table.types_as(name, "m1", way).is_empty(), "the outcome is the target's to tell");
    let sent = table.last.iter().find_map(|output| match output {
        Output::Handover(zone, traveller) => Some((zone.clone(), traveller.as_ref().clone())),
        _ => None,
    });
    let (to, traveller) = sent.expect("a hand-over");
    assert_eq!(to, traveller.to.zone());
    traveller
}
