//! Repeats, limits, whatever is typed, and the same state for the next owner.

use crate::*;

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
    table.ask("Ann", Ask::LinkLost(0, None));
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
    let origin = Origin { session: crate::common::session(9), id: String::new() };
    step(
        &mut far,
        Input::Command(Command { origin, character: character(9), ask: enter }),
        table.now,
        &mut rng,
    );
    table.input(Input::Fact(Fact::Present(far.occupants()[0].clone())));
    assert_eq!(table.types("Ann", "whisper far hi"), ["Ann> [whisper] You to Far: hi"]);
    let posted = posted(&table);
    assert!(
        matches!(&posted[..], [(_, letter)] if matches!(letter.fact, Fact::Act(who, ..) if who == character(9))),
        "so that Far may reply: {posted:?}"
    );
    let before = std::mem::replace(&mut table.zone, zone("town"));
    table.zone.carry(before);
    table.enter_as("Ann", arrival(1, "Ann", Role::Player));
    assert_eq!(table.types("Ann", "who far").len(), 1);
    assert!(table.types("Ann", "who far")[0].starts_with("Ann> Online: 1"));
    table.input(Input::Fact(Fact::Absent(character(9))));
    assert_eq!(table.types("Ann", "whisper far hi"), ["Ann! There is no player called 'far'."]);
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
