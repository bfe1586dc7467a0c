//! Coming and going: entering, taking over, losing the connection, leaving, and what is kept.

use crate::*;

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
    let data: serde_json::Value = serde_json::from_str(&events[1].data).expect("JSON");
    assert_eq!(data["room"], "town_hall");
    assert_eq!(data["occupant"]["name"], "Ben");
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
    for (ask, told) in [
        (Ask::LinkLost(0, None), "?! This session has ended."),
        (Ask::LinkBack(0), ""),
        (Ask::Leave(None), ""),
    ] {
        let command = Command { origin: stale.clone(), character, ask };
        assert_eq!((table.input(Input::Command(command)).concat(), table.effects()), (told.to_owned(), 0));
    }
}

#[test]
fn another_session_has_the_role_of_its_sign_in() {
    let mut table = Table::new();
    table.enter("Ann", Role::Admin);
    table.new_session("Ann");
    table.enter_as("Ann", arrival(1, "Ann", Role::Player));
    assert_eq!(kinds(&table), names(&[("event.audiences", "player"), ("event.welcome", "player")]));
    let (before, after) = table.events().next().and_then(|event| event.audiences.clone()).expect("audiences");
    let staff = Audience::Staff("lantern".parse().expect("a world"));
    assert!(before.contains(&staff) && !after.contains(&staff));
    let told = table.last.iter().find_map(|output| match output {
        Output::Present(present) => Some(present.role),
        _ => None,
    });
    assert_eq!(told, Some(Role::Player), "every zone is told");
    assert_eq!(table.types("Ann", "shutdown 90"), ["Ann! You may not do that."]);
}

#[test]
fn what_is_told_late_of_an_older_connection_changes_nothing() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    assert_eq!(table.ask("Ann", Ask::LinkLost(1, None)), ["Ben: Ann's connection is lost."]);
    assert_eq!(table.ask("Ann", Ask::LinkBack(2)), ["Ben: Ann is back."]);
    // The word of the loss before comes again, and late: refused, and the character stays.
    assert_eq!(table.ask("Ann", Ask::LinkLost(1, None)), ["Ann! This session has ended."]);
    assert_eq!(table.effects(), 0);
    assert_eq!(table.ask("Ann", Ask::LinkLost(2, None)), ["Ben: Ann's connection is lost."]);
    // So does the word of a return that was overtaken.
    table.ask("Ann", Ask::LinkBack(4));
    table.ask("Ann", Ask::LinkLost(4, None));
    assert!(table.ask("Ann", Ask::LinkBack(3)).is_empty() && table.effects() == 0);
}

#[test]
fn a_lost_connection_has_its_grace() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    assert_eq!(table.ask("Ann", Ask::LinkLost(0, None)), ["Ben: Ann's connection is lost."]);
    let grace = table.last.iter().find_map(|output| match output {
        Output::SetTimer(timer @ Timer::Grace(..), Some(at)) => Some((timer.clone(), *at - table.now)),
        _ => None,
    });
    let (timer, after) = grace.expect("a timer");
    assert_eq!(after, 30_000);
    assert_eq!(table.types("Ben", "who ann"), ["Ben> Online: 1\nAnn - Main Hall (link lost)"]);
    assert_eq!(table.types("Ben", "look ann"), ["Ben> Ann is here, but the connection is lost."]);
    assert_eq!(table.ask("Ann", Ask::LinkBack(0)), ["Ben: Ann is back."]);
    assert!(table.timer(timer.clone()).is_empty(), "a grace that ended is no grace");
    table.ask("Ann", Ask::LinkLost(0, Some(120_000)));
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
    assert_eq!(table.persisted().count(), 0, "storage has it so");
    assert_eq!(table.types("Ann", "hi"), ["Ann> You say: hello"]);
    assert_eq!(table.types("Ann", "look"), ["Ann> Yard\nThis is the Yard.\nExits: north, west, in, out"]);
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
    assert_eq!(table.persisted().count(), 1, "it is elsewhere now");
    assert_eq!(table.types("Ann", "channel who say"), ["Ann> On say: Ann"]);
}

#[test]
fn the_limits_of_speech_outlast_leaving() {
    let mut table = Table::new();
    table.enter("Ann", Role::Player);
    table.types("Ann", "say first");
    table.wait(30);
    for n in 1..Limits::default().say_per_minute {
        assert_eq!(table.types("Ann", &format!("say {n}")), [format!("Ann> You say: {n}")]);
    }
    let back = |table: &mut Table| {
        table.types("Ann", "quit");
        table.new_session("Ann");
        table.enter_as("Ann", arrival(1, "Ann", Role::Player));
    };
    back(&mut table);
    assert!(table.types("Ann", "say more").concat().starts_with("Ann! "), "she left, and the minute did not");
    // Nor are her breaches forgotten: with those of now they are too many.
    for _ in 2..limits::BREACHES_MAX {
        table.types("Ann", "say more");
    }
    back(&mut table);
    table.types("Ann", "say more");
    assert!(!table.zone.owns(table.id("Ann")), "sent out for flooding");
    table.wait(61);
    back(&mut table);
    assert_eq!(table.types("Ann", "say again"), ["Ann> You say: again"]);
}
