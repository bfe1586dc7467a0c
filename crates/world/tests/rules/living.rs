//! What lives there, and the weather.

use crate::*;

#[test]
fn those_who_live_there_are_heard_within_bounds() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.types("Ann", "down");
    let mut heard = 1; // the greeting
    for _ in 0..10 {
        heard += table.types("Ann", "say ale").iter().filter(|line| line.contains("innkeeper ")).count();
    }
    assert_eq!(heard, 4, "four lines a minute");
    table.wait(61);
    assert!(table.types("Ann", "say ale").iter().any(|line| line.contains("innkeeper ")));
    table.types("Ann", "up");
    table.wait(61);
    // The hour of his routine: he walks up to the hall, and is seen.
    let hour = 60_000;
    table.now = (table.now / (24 * hour) + 1) * 24 * hour + 6 * hour;
    let mut lines = table.timer(Timer::Beat);
    table.wait(5);
    lines.extend(table.timer(Timer::Beat));
    assert!(lines.contains(&"Ann: The innkeeper arrives from below.".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("yawns")), "nobody was there to hear it");
    assert_eq!(table.types("Ann", "look keeper"), ["Ann> A round, friendly man."]);
    table.types("Ann", "quit");
    assert!(table.timer(Timer::Beat).is_empty() && table.last.is_empty(), "the zone sleeps");
}

#[test]
fn weather_shows_out_of_doors() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.types("Ann", "east");
    table.timer(Timer::Beat);
    let patch = table.events().find_map(|event| event.patch.clone()).expect("a patch");
    let condition = patch["weather"]["condition"].as_str().expect("a condition").to_owned();
    assert_eq!(table.types("Ann", "weather"), [format!("Ann> The weather here: {condition}.")]);
    let view = table.zone.view(table.id("Ann"), "room", None, &table.catalogue, "en").expect("a view");
    let view: serde_json::Value = serde_json::from_str(&view).expect("JSON");
    assert_eq!(view["room"]["weather"]["condition"], condition);
    let mut changed = false;
    for _ in 0..200 {
        table.wait(60);
        changed |= table.timer(Timer::Beat).iter().any(|line| line.starts_with("Ann: The weather changes: "));
    }
    assert!(changed);
}

#[test]
fn a_zone_beats_however_often_somebody_comes() {
    let begins = |table: &Table| {
        let beat = |output: &Output| matches!(output, Output::SetTimer(Timer::Beat, Some(_)));
        table.last.iter().any(beat)
    };
    let mut wood = Table::of("wood", Config::default());
    wood.enter("Cat", Role::Player);
    assert!(begins(&wood), "the first who enters wakes it");
    wood.enter("Dan", Role::Player);
    assert!(!begins(&wood), "who enters later does not put it off");
    let mut town = Table::new();
    town.enter("Ann", Role::Player);
    let traveller = goes_to_the_wood(&mut town, "Ann");
    wood.input(Input::Handover(Handover::Arrive(traveller.clone())));
    assert!(wood.zone.owns(town.id("Ann")) && !begins(&wood), "nor does who walks in");
    let mut asleep = Table::of("wood", Config::default());
    asleep.input(Input::Handover(Handover::Arrive(traveller)));
    assert!(begins(&asleep), "the first who walks in wakes it");
}
