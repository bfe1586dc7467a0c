//! Moves between zones: the target decides.

use crate::*;

#[test]
fn between_zones_the_target_decides() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    let id = table.id("Ann");
    let traveller = goes_to_the_wood(&mut table, "Ann");
    assert_eq!(table.events().count(), 0, "the source tells nobody");
    assert!(table.zone.is_moving(id) && !table.zone.owns(id));
    assert!(table.types("Ann", "say hi").is_empty(), "what is asked of a traveller waits");
    let timer = Timer::Move(traveller.move_id.clone());
    table.timer(timer.clone());
    assert!(table.last.iter().any(|output| matches!(output, Output::Handover(..))), "it is asked for again");
    let mut wood = zone("wood");
    let mut rng = StdRng::seed_from_u64(1);
    let outputs = step(&mut wood, Input::Handover(Handover::Arrive(traveller.clone())), table.now, &mut rng);
    let events: Vec<_> =
        outputs.iter().filter_map(|o| if let Output::Event(e) = o { Some(e) } else { None }).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["event.audiences", "event.left", "event.entered"]);
    assert_eq!(events[1].audience, Some(Audience::Room(room_id("town_yard"))));
    assert_eq!(events[2].audience, Some(Audience::Room(room_id("wood_glade"))));
    let (before, after) = events[0].audiences.clone().expect("audiences");
    assert!(before.contains(&Audience::Room(room_id("town_yard"))));
    assert!(after.contains(&Audience::Room(room_id("wood_glade"))) && !after.contains(&before[1]));
    assert!(wood.owns(id) && wood.knows_move(&traveller.move_id));
    assert!(
        step(&mut wood, Input::Handover(Handover::Arrive(traveller.clone())), table.now, &mut rng).is_empty()
    );
    // A repeat of the command, at its new owner.
    let origin = Origin { session: table.session_of("Ann"), id: "m1".to_owned() };
    let north = Input::Command(Command { origin, character: id, ask: Ask::Line("north".to_owned()) });
    let outputs = step(&mut wood, north, table.now, &mut rng);
    assert_eq!(outputs.len(), 1);
    assert_eq!(texts(outputs), ["You go north."]);
    let arrived = Handover::Arrived { move_id: traveller.move_id, zone: zone_id("wood") };
    table.input(Input::Handover(arrived.clone()));
    assert!(!table.zone.is_moving(id));
    table.input(Input::Handover(arrived));
    assert_eq!(table.effects(), 0, "the answer twice is the answer once");
    assert!(table.timer(timer).is_empty());
}

#[test]
fn staff_that_sends_itself_away_has_its_outcome_there() {
    let mut table = Table::new();
    table.enter("Root", Role::Admin);
    assert!(table.types_as("Root", "t", "teleport root wood_brook").is_empty());
    let traveller = table.last.iter().find_map(|output| match output {
        Output::Handover(_, traveller) => Some(traveller.as_ref().clone()),
        _ => None,
    });
    let traveller = traveller.expect("a hand-over");
    let mut wood = zone("wood");
    let arrive = Input::Handover(Handover::Arrive(traveller));
    assert_eq!(texts(step(&mut wood, arrive, table.now, &mut table.rng)), ["You send Root to Brook."]);
    let origin = Origin { session: table.session_of("Root"), id: "t".to_owned() };
    let ask = Ask::Line("teleport root wood_brook".to_owned());
    let again = Input::Command(Command { origin, character: table.id("Root"), ask });
    assert_eq!(texts(step(&mut wood, again, table.now, &mut table.rng)), ["You send Root to Brook."]);
}

#[test]
fn a_refused_traveller_stays() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.types("Ann", "east");
    assert!(table.types_as("Ann", "m1", "out").is_empty());
    let traveller = table.last.iter().find_map(|output| match output {
        Output::Handover(_, traveller) => Some(traveller.as_ref().clone()),
        _ => None,
    });
    let traveller = traveller.expect("a hand-over");
    let mut wood = zone("wood");
    let outputs =
        step(&mut wood, Input::Handover(Handover::Arrive(traveller.clone())), table.now, &mut table.rng);
    assert!(matches!(&outputs[..], [Output::HandoverRefused(id)] if *id == traveller.move_id));
    let refused = Input::Handover(Handover::Refused { move_id: traveller.move_id });
    assert_eq!(table.input(refused), ["Ann! You cannot go that way."]);
    assert!(table.zone.owns(table.id("Ann")));
    assert_eq!(table.types_as("Ann", "m1", "out"), ["Ann! You cannot go that way."]);
}
