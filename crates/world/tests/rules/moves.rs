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
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_ref()).collect();
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

/// Largest frame of the server that a client has to take.
const FRAME_BYTES_MAX: usize = 100 * 1024;

/// One with as much of everything as one may have, each character of it as long as can be where it is written down.
fn laden(table: &mut Table) {
    let long = |n: usize| "\"".repeat(n);
    for name in ["Ann", "Ben"] {
        table.enter(name, Role::Player);
    }
    for n in 0..240 {
        for line in ["say x", "dance", "local x", "global x"] {
            table.types("Ann", line);
        }
        let alias = format!("alias w{n} {}", long(limits::ALIAS_CHARS_MAX));
        if table.types("Ann", &alias).concat().starts_with("Ann!") {
            table.types("Ann", &format!("alias w{n} x"));
        }
    }
    for n in 0..=limits::MUTES_MAX {
        let (id, account) = (character(1_000 + n as u128), account(1_000 + n as u128));
        let name = format!("Somebody{n:012}");
        let mute = format!("mute {name} on whisper 500000 ");
        table.away.push(KnownPlayer { id, name, account, role: Role::Player });
        let with_reason = format!("{mute}{}", long(limits::REASON_CHARS_MAX));
        if table.types("Ann", &with_reason).concat().starts_with("Ann!") {
            table.types("Ann", &mute);
        }
    }
    for _ in 0..limits::OUTCOMES_MAX {
        table.types("Ann", &format!("whisper ben {}", long(limits::WHISPER_CHARS_MAX)));
    }
}

#[test]
fn one_with_all_that_one_may_have_fits_a_call_and_its_lists_a_frame() {
    let most = Limits { say_per_minute: 240, local_per_minute: 240, global_per_minute: 240, ..Limits::NONE };
    let mut table = Table::with(Config { limits: most, ..Config::default() });
    laden(&mut table);
    for (list, full, text) in [
        ("alias", "alias v \"\"\"\"", "Ann! You have as many aliases as one may. Remove one first."),
        ("mutes", "mute ben", "Ann! You have muted as many as one may. Unmute somebody first."),
    ] {
        assert_eq!(table.types("Ann", full), [text]);
        for locale in ["en", "de"] {
            table.types("Ann", list);
            let reply = table.last.iter().find_map(|output| match output {
                Output::Reply(reply) => Some(table.catalogue.render(&reply.text, locale)),
                _ => None,
            });
            let frame = json!(reply.expect("a list")).to_string();
            assert!(frame.len() < FRAME_BYTES_MAX - 1_024, "{list}: {} bytes", frame.len());
        }
    }
    let traveller = goes_to_the_wood(&mut table, "Ann");
    let bytes = json!(traveller).to_string().len();
    assert!((380_000..limits::TRAVELLER_BYTES_MAX).contains(&bytes), "{bytes}");
    let mut wood = zone("wood");
    step(&mut wood, Input::Handover(Handover::Arrive(traveller)), table.now, &mut table.rng);
    assert!(wood.owns(table.id("Ann")));
}

#[test]
fn what_one_carries_is_refused_beyond_its_bytes() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    let text = "x".repeat(limits::ALIAS_CHARS_MAX);
    let set = |n: usize| format!("alias w{n:02} {text}");
    let fit = limits::ALIASES_BYTES_MAX / (text.len() + 3);
    for n in 0..fit {
        assert!(table.types("Ann", &set(n)).concat().starts_with("Ann> 'w"), "{n}");
    }
    assert_eq!(table.types("Ann", &set(fit)), ["Ann! Your aliases are too long together. Remove one first."]);
    assert!(table.types("Ann", &set(0)).concat().starts_with("Ann> 'w00'"), "one takes its own place");
    let reason = "x".repeat(limits::REASON_CHARS_MAX);
    let fit = limits::REASONS_BYTES_MAX / reason.len();
    for n in 0..=fit {
        let (id, account) = (character(100 + n as u128), account(100 + n as u128));
        table.away.push(KnownPlayer { id, name: format!("P{n}"), account, role: Role::Player });
    }
    for n in 0..fit {
        assert_eq!(
            table.types("Ann", &format!("mute p{n} {reason}")),
            [format!("Ann> You have muted P{n}.")]
        );
    }
    let refused = "Ann! The reasons of your mutes are too long together. Give a shorter one, or none.";
    assert_eq!(table.types("Ann", &format!("mute p{fit} {reason}")), [refused]);
    assert_eq!(table.types("Ann", &format!("mute p{fit}")), [format!("Ann> You have muted P{fit}.")]);
}
