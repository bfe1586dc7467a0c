//! The rules at their edges: coming and going, repeats, limits, what storage is told, what lives there, views.

mod common;

use std::sync::Arc;

use common::{Table, account, arrival, character, content, room_id, zone_id};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tidings_protocol::Audience;
use tidings_world::input::{Arrival, Ask, Command, Fact, Handover, Input, Origin, Role, Timer, Traveller};
use tidings_world::output::{Act, MuteChange, Persist};
use tidings_world::{Config, Limits, Output, Zone, step};

fn quiet() -> Config {
    let limits = Limits {
        say_per_minute: 0,
        local_per_minute: 0,
        global_per_minute: 0,
        party_per_minute: 0,
        whispers_per_minute: 0,
        whispers_per_person_per_minute: 0,
    };
    Config { limits, ..Config::default() }
}

fn kinds(table: &Table) -> Vec<(String, &'static str)> {
    let scope = |event: &tidings_world::output::Event| event.audience.as_ref().map_or("", Audience::scope);
    table.events().map(|event| (event.kind.clone(), scope(event))).collect()
}

fn names(rows: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    rows.iter().map(|(kind, scope)| ((*kind).to_owned(), *scope)).collect()
}

#[test]
fn entering_tells_the_edge_then_the_room() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    let lines = table.enter("Ben", Role::Moderator);
    assert_eq!(lines, ["Ann: Ben has joined the world.", "Ben> Welcome, Ben."]);
    assert_eq!(kinds(&table), names(&[("event.audiences", "player"), ("event.joined_world", "room")]));
    let events: Vec<_> = table.events().cloned().collect();
    let (before, after) = events[0].audiences.clone().expect("audiences");
    let after: Vec<String> = after.iter().map(ToString::to_string).collect();
    assert!(before.is_empty());
    let player = format!("player.{}", table.id("Ben"));
    assert_eq!(
        after,
        [player.as_str(), "room.town_hall", "area.town_inside", "world.lantern", "staff.lantern"]
    );
    assert_eq!(events[1].subject, Some(table.id("Ben")));
    assert!(events[1].origin.as_ref().is_some_and(|origin| origin.id.is_empty()));
    assert_eq!(events[1].data["room"], "town_hall");
    assert_eq!(events[1].data["occupant"]["name"], "Ben");
    // A repeat changes nothing.
    let again = Arrival { ..arrival(2, "Ben", Role::Moderator) };
    assert!(table.enter_as("Ben", again).is_empty());
    assert_eq!((table.effects(), table.events().count()), (0, 0));
}

#[test]
fn another_session_takes_over_without_a_line_to_others() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    let old = table.session_of("Ann");
    table.new_session("Ann");
    assert_eq!(table.enter_as("Ann", arrival(1, "Ann", Role::Player)), ["Ann> Welcome, Ann."]);
    assert_eq!(kinds(&table), names(&[("event.welcome", "player")]));
    // The old one speaks no more, and its lost connection is nobody's.
    let stale = Origin { session: old, id: "x".to_owned() };
    let character = table.id("Ann");
    let say = Command { origin: stale.clone(), character, ask: Ask::Line("say hi".to_owned()) };
    assert_eq!(table.input(Input::Command(say)), ["?! This session has ended."]);
    for ask in [Ask::LinkLost(None), Ask::LinkBack, Ask::Leave(None)] {
        let command = Command { origin: stale.clone(), character, ask };
        assert!(table.input(Input::Command(command)).is_empty() && table.effects() == 0);
    }
}

#[test]
fn a_lost_connection_has_its_grace() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    assert_eq!(table.ask("Ann", Ask::LinkLost(None)), ["Ben: Ann's connection is lost."]);
    let grace = table.last.iter().find_map(|output| match output {
        Output::SetTimer(timer @ Timer::Grace(..), Some(at)) => Some((timer.clone(), *at - table.now)),
        _ => None,
    });
    let (timer, after) = grace.expect("a timer");
    assert_eq!(after, 30_000);
    assert_eq!(table.types("Ben", "who ann"), ["Ben> Online: 1\nAnn - Main Hall (link lost)"]);
    assert_eq!(table.types("Ben", "look ann"), ["Ben> Ann is here, but the connection is lost."]);
    assert_eq!(table.ask("Ann", Ask::LinkBack), ["Ben: Ann is back."]);
    assert!(table.timer(timer.clone()).is_empty(), "a grace that ended is no grace");
    table.ask("Ann", Ask::LinkLost(Some(120_000)));
    assert!(table.timer(timer).is_empty(), "nor is the one before");
    table.input(Input::Fact(Fact::Draining(true)));
    assert!(
        table.timer(Timer::Grace(table.id("Ann"), 2)).is_empty(),
        "it does not run while the host drains"
    );
    table.input(Input::Fact(Fact::Draining(false)));
    assert_eq!(table.timer(Timer::Grace(table.id("Ann"), 2)), ["Ben: Ann has left the world."]);
    assert!(!table.zone.owns(table.id("Ann")));
}

#[test]
fn leaving_ends_the_own_log_last() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.types("Ann", "pose dozing");
    assert_eq!(table.types_as("Ann", "q", "quit"), ["Ann> Goodbye, Ann."]);
    assert_eq!(kinds(&table), names(&[("event.left_world", "room"), ("event.audiences", "player")]));
    let last = table.events().last().expect("an event");
    assert_eq!(last.bye.as_ref().map(|bye| bye.0), Some(4000));
    assert!(last.audiences.as_ref().is_some_and(|(before, after)| !before.is_empty() && after.is_empty()));
    assert!(table.last.iter().any(|output| matches!(output, Output::Absent(_))));
    assert_eq!(table.types_as("Ann", "q", "quit"), ["Ann> Goodbye, Ann."], "a repeat has the same outcome");
    assert_eq!((table.effects(), table.events().count()), (0, 0));
    // Staff and the session's end give a reason of their own.
    table.new_session("Ann");
    table.enter_as("Ann", arrival(1, "Ann", Role::Player));
    table.ask("Ann", Ask::Leave(Some((4003, "Signed out.".to_owned()))));
    assert_eq!(table.events().last().and_then(|e| e.bye.clone()), Some((4003, "Signed out.".to_owned())));
}

#[test]
fn what_is_kept_comes_back() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.types("Ann", "alias hi say hello");
    table.types("Ann", "brief on");
    table.types("Ann", "pose dozing");
    table.types("Ann", "east");
    table.types("Ann", "quit");
    let kept = table.persisted().find_map(|persist| match persist {
        Persist::Character(_, room, state) => Some((room.clone(), state.clone())),
        _ => None,
    });
    let (room, state) = kept.expect("the character is kept");
    assert_eq!(room, room_id("town_yard"));
    table.new_session("Ann");
    let back = Arrival { room: Some(room), state, ..arrival(1, "Ann", Role::Player) };
    assert_eq!(table.enter_as("Ann", back), ["Ann> Welcome, Ann."]);
    assert_eq!(table.types("Ann", "hi"), ["Ann> You say: hello"]);
    assert_eq!(table.types("Ann", "look"), ["Ann> Yard\nExits: north, west, in, out"]);
    assert_eq!(table.types("Ann", "look me"), ["Ann> Ann is here: dozing"]);
    // A room that is gone, or a state that is none, is no reason to be kept out.
    table.types("Ann", "quit");
    table.new_session("Ann");
    let odd = Arrival {
        room: Some(room_id("town_nowhere")),
        state: "{".to_owned(),
        ..arrival(1, "Ann", Role::Player)
    };
    assert_eq!(table.enter_as("Ann", odd), ["Ann> Welcome, Ann."]);
    assert_eq!(table.types("Ann", "channel who say"), ["Ann> On say: Ann"]);
}

#[test]
fn a_repeat_gets_the_first_outcome() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    for line in [
        "say hi",
        "east",
        "west",
        "mute Ben",
        "alias a look",
        "look",
        "nonsense",
        "whisper Nobody hi",
        "shutdown",
    ] {
        let id = format!("id of {line}");
        let first: Vec<_> =
            table.types_as("Ann", &id, line).into_iter().filter(|l| l.starts_with("Ann")).collect();
        let again = table.types_as("Ann", &id, line);
        assert_eq!(again[0], first[0], "{line}");
        assert_eq!((again.len(), table.effects(), table.events().count()), (1, 0, 0), "{line}");
        let replies = table.last.iter().filter(|output| matches!(output, Output::Reply(_))).count();
        assert_eq!(replies, 1, "{line}");
    }
}

#[test]
fn limits_of_verbs() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    table.enter("Cara", Role::Player);
    for wait in [0, 20, 28] {
        table.wait(wait);
        assert_eq!(table.types("Ann", "whisper Ben hi").len(), 2);
    }
    let refused = ["Ann! Not so fast: at most 3 whispers a minute to one player. Try again in 12 seconds."];
    assert_eq!(table.types("Ann", "whisper Ben hi"), refused);
    table.types("Ann", "whisper Cara hi");
    table.types("Ann", "whisper Cara hi");
    let refused = ["Ann! Not so fast: at most 5 whispers a minute. Try again in 12 seconds."];
    assert_eq!(table.types("Ann", "whisper Cara hi"), refused);
    table.wait(12);
    assert_eq!(table.types("Ann", "whisper Ben hi").len(), 2);
    for (verb, limit, refusal) in [
        ("say", 15, "Not so fast: at most 15 lines a minute. Try again in 60 seconds."),
        ("local", 20, "Not so fast: at most 20 lines a minute on local. Try again in 60 seconds."),
        ("global", 10, "Not so fast: at most 10 lines a minute on global. Try again in 60 seconds."),
    ] {
        for n in 0..limit {
            assert_eq!(table.types("Ben", &format!("{verb} {n}")).len(), 3, "{verb} {n}");
        }
        assert_eq!(table.types("Ben", &format!("{verb} more")), [format!("Ben! {refusal}")]);
    }
    // The counters travel with the character: the limit holds in another zone too.
    let traveller = goes_to_the_wood(&mut table, "Ben");
    let mut wood = zone("wood");
    let lines =
        texts(step(&mut wood, Input::Handover(Handover::Arrive(traveller)), table.now, &mut table.rng));
    assert!(lines.contains(&"You go north.".to_owned()), "{lines:?}");
    let origin = Origin { session: table.session_of("Ben"), id: "w1".to_owned() };
    let ask = Ask::Line("say more".to_owned());
    let say = Input::Command(Command { origin, character: table.id("Ben"), ask });
    let lines = texts(step(&mut wood, say, table.now, &mut table.rng));
    assert_eq!(lines, ["Not so fast: at most 15 lines a minute. Try again in 60 seconds."]);
}

#[test]
fn a_flood_ends_the_session() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    let mut breaches = 0;
    let mut bye = None;
    while table.zone.owns(table.id("Ann")) {
        let lines = table.types("Ann", "global hi");
        bye = table.events().last().and_then(|event| event.bye.clone());
        breaches += usize::from(lines[0].starts_with("Ann! Not so fast"));
        assert!(breaches <= 20);
    }
    assert_eq!((breaches, bye.map(|bye| bye.0)), (20, Some(4008)));
    let last = format!("c{}", table.commands());
    let again = table.types_as("Ann", &last, "global hi");
    assert!(again[0].starts_with("Ann! Not so fast"), "a repeat has the same outcome: {again:?}");
}

fn zone(id: &str) -> Zone {
    Zone::restore(zone_id(id), Arc::new(content()), quiet_but_counting(), None).expect("a zone")
}

fn quiet_but_counting() -> Config {
    Config::default()
}

fn texts(outputs: Vec<Output>) -> Vec<String> {
    let catalogue = tidings_protocol::Catalogue::builtin();
    let text = |output| match output {
        Output::Event(event) => event.own.map(|own| catalogue.render(&own, "en")),
        Output::Reply(reply) => Some(catalogue.render(&reply.text, "en")),
        _ => None,
    };
    outputs.into_iter().filter_map(text).collect()
}

/// Walks to the yard and north, out of the zone.
fn goes_to_the_wood(table: &mut Table, name: &str) -> Traveller {
    table.types(name, "east");
    assert!(table.types_as(name, "m1", "north").is_empty(), "the outcome is the target's to tell");
    let sent = table.last.iter().find_map(|output| match output {
        Output::Handover(zone, traveller) => Some((zone.clone(), traveller.as_ref().clone())),
        _ => None,
    });
    let (to, traveller) = sent.expect("a hand-over");
    assert_eq!(to, zone_id("wood"));
    traveller
}

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

#[test]
fn a_new_owner_has_the_same_state() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    let checkpoint = table.zone.checkpoint();
    let mut log = Vec::new();
    for (who, line) in [
        ("Ann", "say hi"),
        ("Ann", "east"),
        ("Ben", "mute Ann 5 hm"),
        ("Ben", "alias a b"),
        ("Ann", "pose dozing"),
        ("Ben", "party invite Ann"),
        ("Ann", "party accept"),
        ("Ann", "whisper Ben hi"),
        ("Ben", "local hi"),
    ] {
        table.types(who, line);
        log.extend(table.last.iter().filter_map(|output| match output {
            Output::Effect(effect) => Some(serde_json::to_value(effect).expect("JSON")),
            _ => None,
        }));
    }
    table.ask("Ann", Ask::LinkLost(None));
    log.extend(table.last.iter().filter_map(|output| match output {
        Output::Effect(effect) => Some(serde_json::to_value(effect).expect("JSON")),
        _ => None,
    }));
    let restored = Zone::restore(zone_id("town"), Arc::new(content()), quiet(), Some(&checkpoint));
    let mut zone = restored.expect("a zone");
    let again: Vec<_> = log.iter().flat_map(|effect| zone.replay(effect)).collect();
    assert_eq!(zone.checkpoint(), table.zone.checkpoint());
    assert!(
        again.iter().any(|output| matches!(output, Output::Persist(Persist::Mute(_)))),
        "storage is told again"
    );
    assert!(zone.replay(&json!({ "Unknown": 1 })).is_empty(), "what a newer version logged is left alone");
    let outputs = zone.wake(table.now, &mut table.rng);
    let graces = outputs.iter().filter(|o| matches!(o, Output::SetTimer(Timer::Grace(..), Some(_)))).count();
    let present = outputs.iter().filter(|o| matches!(o, Output::Present(_))).count();
    assert_eq!((graces, present), (1, 2));
    assert!(Zone::restore(zone_id("town"), Arc::new(content()), quiet(), Some("{")).is_err());
}

#[test]
fn what_is_merely_known_is_carried_over() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    let mut far = zone("wood");
    let mut rng = StdRng::seed_from_u64(1);
    let enter = Ask::Enter(Box::new(arrival(9, "Far", Role::Player)));
    let origin = Origin { session: common::session(9), id: String::new() };
    step(
        &mut far,
        Input::Command(Command { origin, character: character(9), ask: enter }),
        table.now,
        &mut rng,
    );
    table.input(Input::Fact(Fact::Present(far.occupants()[0].clone())));
    assert_eq!(table.types("Ann", "whisper far hi"), ["Ann> [whisper] You to Far: hi"]);
    let sent = table.acts().next().cloned();
    assert!(matches!(sent, Some(Act::Send(who, _, _)) if who == character(9)), "so that Far may reply");
    let before = std::mem::replace(&mut table.zone, zone("town"));
    table.zone.carry(before);
    table.enter_as("Ann", arrival(1, "Ann", Role::Player));
    assert_eq!(table.types("Ann", "who far").len(), 1);
    assert!(table.types("Ann", "who far")[0].starts_with("Ann> Online: 1"));
    table.input(Input::Fact(Fact::Absent(character(9))));
    assert_eq!(table.types("Ann", "whisper far hi"), ["Ann! There is no player called 'far'."]);
}

#[test]
fn mutes_go_to_the_edge_and_to_storage() {
    let mut table = Table::with(quiet());
    let mute = MuteChange {
        account: account(1),
        target: Some(account(7)),
        name: "Old".to_owned(),
        channel: String::new(),
        until: None,
        reason: String::new(),
        removed: false,
    };
    table.enter("Ann", Role::Player);
    table.types("Ann", "quit");
    table.new_session("Ann");
    table.enter_as("Ann", Arrival { mutes: vec![mute], ..arrival(1, "Ann", Role::Player) });
    table.enter("Ben", Role::Player);
    assert_eq!(table.types("Ann", "mutes"), ["Ann> You have muted:\nOld"]);
    table.types("Ann", "mute ben 5 loud");
    let event = table.events().next().expect("an event");
    assert_eq!(event.audience, Some(Audience::Player(table.id("Ann"))));
    let change = event.mute.clone().expect("a change");
    assert_eq!(
        (change.account, change.name.as_str(), change.until),
        (account(1), "Ben", Some(table.now + 300_000))
    );
    assert_eq!(table.persisted().next(), Some(&Persist::Mute(change)));
    table.wait(301);
    assert_eq!(table.types("Ann", "mutes"), ["Ann> You have muted:\nOld"], "it ended on time");
}

#[test]
fn a_silence_and_a_role_reach_who_is_there() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    let silence = Fact::Silenced(account(1), Some(table.now + 60_000));
    table.input(Input::Fact(silence.clone()));
    assert_eq!(table.effects(), 1);
    table.input(Input::Fact(silence));
    assert_eq!(table.effects(), 0);
    assert_eq!(table.types("Ann", "'hi"), ["Ann! You are muted until 14:01."]);
    table.wait(60);
    assert_eq!(table.types("Ann", "'hi"), ["Ann> You say: hi"]);
    assert_eq!(table.types("Ann", "kick Bob"), ["Ann! You may not do that."]);
    table.input(Input::Fact(Fact::Role(account(1), Role::Admin)));
    assert_eq!(kinds(&table), names(&[("event.audiences", "player")]));
    assert_eq!(table.types("Ann", "staff hi"), ["Ann> [staff] You: hi"]);
}

#[test]
fn staff_actions_are_audited_and_done() {
    let mut table = Table::with(quiet());
    table.enter("Root", Role::Admin);
    table.enter("Ben", Role::Player);
    for line in [
        "goto town_yard",
        "summon ben",
        "teleport ben w",
        "mute_global ben 5",
        "unmute_global ben",
        "system hi",
        "ban ben 5 x",
    ] {
        table.types("Root", line);
        let audited = table.persisted().filter(|persist| matches!(persist, Persist::Audit(_))).count();
        assert_eq!(audited, 1, "{line}");
    }
    let acts: Vec<_> = table.acts().collect();
    assert!(matches!(acts[..], [Act::Ban(..), Act::Revoke(..)]), "{acts:?}");
    assert!(!table.zone.owns(table.id("Ben")));
    let bye = table.events().find_map(|event| event.bye.clone());
    assert_eq!(bye, Some((4005, "x".to_owned())));
}

#[test]
fn a_shutdown_reminds_and_comes() {
    let mut table = Table::new();
    table.enter("Root", Role::Admin);
    table.types("Root", "shutdown 40");
    let mut reminders = Vec::new();
    loop {
        let next = table.last.iter().find_map(|output| match output {
            Output::SetTimer(Timer::Shutdown, at) => *at,
            _ => None,
        });
        let Some(next) = next else { break };
        table.now = next;
        reminders.extend(table.timer(Timer::Shutdown));
    }
    let told = |text: &str| format!("Root: [system] The server goes down {text}.");
    assert_eq!(reminders, [told("in 30 seconds"), told("in 10 seconds"), told("in 5 seconds"), told("now")]);
    assert_eq!(table.acts().cloned().collect::<Vec<_>>(), [Act::Shutdown]);
}

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
    assert_eq!(view["room"]["weather"]["condition"], condition);
    let mut changed = false;
    for _ in 0..200 {
        table.wait(60);
        changed |= table.timer(Timer::Beat).iter().any(|line| line.starts_with("Ann: The weather changes: "));
    }
    assert!(changed);
}

#[test]
fn an_invitation_ends() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    table.types("Ann", "party invite Ben");
    let timer = table.last.iter().find_map(|output| match output {
        Output::SetTimer(timer @ Timer::Invitation(..), Some(at)) => Some((timer.clone(), *at)),
        _ => None,
    });
    let (timer, at) = timer.expect("a timer");
    assert_eq!(at, table.now + 60_000);
    table.wait(60);
    assert_eq!(table.timer(timer), ["Ann: Your invitation to Ben has ended."]);
    assert_eq!(table.types("Ben", "party accept"), ["Ben! Nobody has invited you to a party."]);
}

#[test]
fn a_view_has_pages() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    for n in 0..120 {
        table.enter(&format!("P{n}"), Role::Player);
    }
    let id = table.id("Ann");
    let see = |what: &str, page: Option<&str>| table.zone.view(id, what, page, &table.catalogue, "en");
    let room = see("room", None).expect("a view");
    assert_eq!(room["character"]["name"], "Ann");
    assert_eq!(room["room"]["id"], "town_hall");
    assert_eq!(room["room"]["exits"]["east"]["place"], "Yard");
    assert_eq!(room["room"]["occupants"]["total"], 120);
    let mut names = Vec::new();
    let mut page = None;
    for expected in [50, 50, 20] {
        let view = see("occupants", page.as_deref()).expect("a view");
        let items = view["occupants"]["items"].as_array().expect("items").clone();
        assert_eq!(items.len(), expected);
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        page = view["occupants"]["next"].as_str().map(str::to_owned);
    }
    assert_eq!(page, None);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 120);
    assert!(see("occupants", Some("no token")).is_some(), "a token that is none shows the first page");
    let map = see("map", None).expect("a view");
    assert_eq!(map["map"]["here"], "town_hall");
    assert_eq!(map["map"]["rooms"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(map["map"]["rooms"]["town_yard"]["at"], json!({ "x": 1, "y": 0 }));
    let commands = see("commands", None).expect("a view");
    assert!(commands["commands"]["say"].is_object() && commands["commands"]["kick"].is_null());
    assert!(see("nonsense", None).is_none());
    assert!(table.zone.view(character(999), "room", None, &table.catalogue, "en").is_none());
}

#[test]
fn a_crowd_fits_a_frame() {
    let mut zone = zone("town");
    let mut rng = StdRng::seed_from_u64(1);
    for n in 1..=2_000 {
        let name = format!("Somebody{n:032}");
        let state = json!({ "pose": "x".repeat(100) }).to_string();
        let ask = Ask::Enter(Box::new(Arrival { state, ..arrival(n, &name, Role::Player) }));
        let origin = Origin { session: common::session(n), id: String::new() };
        step(&mut zone, Input::Command(Command { origin, character: character(n), ask }), 1_000, &mut rng);
    }
    let catalogue = tidings_protocol::Catalogue::builtin();
    let view = zone.view(character(1), "room", None, &catalogue, "en").expect("a view");
    assert!(view.to_string().len() < 32 * 1024);
    for line in ["look", "who", "channel who global"] {
        let origin = Origin { session: common::session(1), id: line.to_owned() };
        let ask = Ask::Line(line.to_owned());
        let outputs = step(
            &mut zone,
            Input::Command(Command { origin, character: character(1), ask }),
            2_000,
            &mut rng,
        );
        let [text] = &texts(outputs)[..] else { panic!("one reply") };
        assert!(text.len() < 48 * 1024, "{line}: {}", text.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever is typed, one outcome comes, and nothing breaks.
    #[test]
    fn no_line_breaks_anything(lines in proptest::collection::vec(odd_line(), 1..12)) {
        let mut table = Table::new();
        table.enter("Root", Role::Admin);
        table.enter("Ann", Role::Player);
        for line in lines {
            for name in ["Root", "Ann"] {
                if table.zone.owns(table.id(name)) {
                    table.types(name, &line);
                    let outcomes = table.last.iter().filter(|output| match output {
                        Output::Reply(reply) => !reply.origin.id.is_empty(),
                        Output::Event(event) => event.own.is_some() && event.origin.as_ref().is_some_and(|o| !o.id.is_empty()),
                        _ => false,
                    });
                    let handed_over = table.zone.is_moving(table.id(name));
                    prop_assert_eq!(outcomes.count(), usize::from(!handed_over), "{}", line);
                }
            }
        }
        let checkpoint = table.zone.checkpoint();
        prop_assert!(Zone::restore(zone_id("town"), Arc::new(content()), Config::default(), Some(&checkpoint)).is_ok());
    }
}

/// Commands with odd ends, and anything at all.
fn odd_line() -> impl Strategy<Value = String> {
    let commands = [
        "say",
        "'",
        ":",
        "emote",
        "pose",
        "local",
        "global",
        "whisper",
        "whisper Ann",
        "reply",
        "chat",
        "party",
        "party invite",
        "party kick",
        "channel",
        "channel history",
        "channel history say",
        "channel default",
        "mute",
        "mute Ann",
        "mute channel",
        "unmute",
        "go",
        "look",
        "look at",
        "examine",
        "who",
        "alias",
        "alias x",
        "alias x x",
        "x",
        "unalias",
        "settings",
        "settings brief",
        "help",
        "goto",
        "teleport",
        "teleport Ann",
        "summon",
        "kick",
        "mute_global",
        "unmute_global",
        "system",
        "ban",
        "admin",
        "shutdown",
        "smile",
        "dance",
    ];
    prop_oneof![
        3 => (proptest::sample::select(commands.to_vec()), ".{0,40}").prop_map(|(command, rest)| format!("{command} {rest}")),
        1 => ".{0,60}",
        1 => Just("say ".to_owned() + &"x".repeat(9_000)),
    ]
}
