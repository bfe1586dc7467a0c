//! What zones post to each other: it comes, once, in order, whatever dies; and what comes for somebody on the way.

use crate::*;

/// Two zones at a table each, Root in the town, and what each knows of the other's people.
fn two_zones() -> (Table, Table) {
    let (mut town, mut wood) = (Table::with(quiet()), Table::of("wood", quiet()));
    town.enter("Root", Role::Admin);
    wood.skip(10);
    wood.enter("Ben", Role::Player);
    wood.enter("Mod", Role::Admin);
    meet(&mut town, &mut wood);
    (town, wood)
}

fn meet(town: &mut Table, wood: &mut Table) {
    for present in wood.zone.occupants() {
        town.input(Input::Fact(Fact::Present(present)));
    }
    for present in town.zone.occupants() {
        wood.input(Input::Fact(Fact::Present(present)));
    }
}

/// Brings what waits in one zone to the other, and the word that it came back.
fn bring(from: &mut Table, to: &mut Table) -> Vec<String> {
    let (here, there) = (from.zone.id().clone(), to.zone.id().clone());
    let letters = from.zone.letters_to(&there, usize::MAX);
    let Some(last) = letters.last().map(|letter| letter.number) else { return Vec::new() };
    let lines = to.input(Input::Fact(Fact::Letters(here, letters)));
    from.input(Input::Fact(Fact::Delivered(there, last)));
    assert_eq!(from.zone.letters_waiting(), 0);
    lines
}

#[test]
fn a_shutdown_is_known_in_every_zone_and_cancelled_from_any() {
    let (mut town, mut wood) = two_zones();
    assert_eq!(wood.types("Mod", "shutdown cancel"), ["Mod! There is no shutdown to cancel."]);
    town.types("Root", "shutdown 90");
    assert!(bring(&mut town, &mut wood).is_empty(), "one zone tells everyone");
    assert!(wood.types("Mod", "admin status")[0].ends_with("Shutdown in 90 seconds."));
    wood.wait(60);
    assert!(wood.timer(Timer::Shutdown).is_empty(), "one zone reminds everyone");
    wood.now -= 60_000;
    let lines = wood.types("Mod", "shutdown cancel");
    assert!(lines.contains(&"Ben: [system] The shutdown is cancelled.".to_owned()), "{lines:?}");
    bring(&mut wood, &mut town);
    town.wait(100);
    assert!(town.timer(Timer::Shutdown).is_empty());
    assert_eq!(town.acts().count(), 0, "it is cancelled where it was planned");
    assert_eq!(town.types("Root", "shutdown cancel"), ["Root! There is no shutdown to cancel."]);
}

#[test]
fn a_shutdown_stops_every_host_and_is_over_after_a_restart() {
    let (mut town, mut wood) = two_zones();
    town.types("Root", "shutdown 5");
    bring(&mut town, &mut wood);
    for table in [&mut town, &mut wood] {
        table.wait(5);
        table.timer(Timer::Shutdown);
        assert_eq!(table.acts().cloned().collect::<Vec<_>>(), [Act::Shutdown]);
    }
    town.types("Root", "shutdown 5");
    let kept = town.zone.checkpoint();
    let mut after =
        Zone::restore(zone_id("town"), Arc::new(content()), quiet(), Some(&kept)).expect("a zone");
    let outputs = after.wake(town.now + 6_000, &mut town.rng);
    assert!(
        !outputs.iter().any(|o| matches!(o, Output::SetTimer(Timer::Shutdown, Some(_)) | Output::Act(_)))
    );
}

#[test]
fn of_two_plans_the_later_counts_in_both_zones() {
    let (mut town, mut wood) = two_zones();
    town.types("Root", "shutdown 90");
    wood.wait(1);
    wood.types("Mod", "shutdown 600");
    bring(&mut town, &mut wood);
    bring(&mut wood, &mut town);
    town.wait(1);
    for (table, name) in [(&mut town, "Root"), (&mut wood, "Mod")] {
        let status = table.types(name, "admin status");
        assert!(status[0].ends_with("Shutdown in 600 seconds."), "{status:?}");
    }
}

#[test]
fn of_two_words_on_a_silence_that_cross_the_later_counts_everywhere() {
    for ended in [true, false] {
        let (mut town, mut wood) = two_zones();
        let (silence, end) = ("mute_global ben 10", "unmute_global ben");
        let (first, second) = if ended { (silence, end) } else { (end, silence) };
        town.types("Root", first);
        wood.wait(1);
        wood.types("Mod", second);
        bring(&mut wood, &mut town);
        assert_eq!(town.persisted().count(), 0, "storage has the later word last");
        bring(&mut town, &mut wood);
        let again: Vec<_> = wood.persisted().collect();
        assert!(matches!(again[..], [Persist::Silence(..)]), "storage is told again which counts: {again:?}");
        let hears = if ended { "Ben> You say: hi" } else { "Ben! You are muted until 14:10." };
        assert!(wood.types("Ben", "say hi").contains(&hears.to_owned()));
        // In the town, where he goes then, it is so too.
        wood.types("Ben", "west");
        let traveller = goes(&mut wood, "Ben", "south");
        town.enter_known("Ben", wood.id("Ben"), wood.session_of("Ben"));
        town.input(Input::Handover(Handover::Arrive(traveller)));
        assert!(town.types("Ben", "say hi").contains(&hears.to_owned()));
    }
}

#[test]
fn a_silence_holds_for_those_who_enter_after_it_was_told() {
    let (mut town, mut wood) = two_zones();
    wood.types("Ben", "quit");
    meet(&mut town, &mut wood);
    town.types("Root", "mute_global ben 10");
    bring(&mut town, &mut wood);
    // Storage is behind: it knows of no silence.
    wood.new_session("Ben");
    let ben = wood.id("Ben");
    let arrival = Arrival { id: ben, account: account(11), ..arrival(11, "Ben", Role::Player) };
    wood.enter_as("Ben", arrival);
    assert_eq!(wood.types("Ben", "say hi"), ["Ben! You are muted until 14:10."]);
}

/// Root, the leader, in the town; Ben and Mod in the wood.
fn a_party() -> (Table, Table) {
    let (mut town, mut wood) = two_zones();
    for name in ["Ben", "Mod"] {
        town.types("Root", &format!("party invite {name}"));
        bring(&mut town, &mut wood);
        wood.types(name, "party accept");
        bring(&mut wood, &mut town);
    }
    let list = town.types("Root", "party list");
    assert_eq!(list, ["Root> Your party: Root (leader), Ben, Mod"]);
    (town, wood)
}

#[test]
fn who_leaves_a_party_while_another_is_removed_has_left_like_them() {
    let (mut town, mut wood) = a_party();
    town.types("Root", "party kick ben");
    wood.wait(1);
    wood.types("Mod", "party leave");
    bring(&mut town, &mut wood);
    bring(&mut wood, &mut town);
    assert_eq!(town.types("Root", "party list"), ["Root> Your party: Root (leader)"]);
    for name in ["Ben", "Mod"] {
        assert_eq!(wood.types(name, "party list"), [format!("{name}! You are not in a party.")]);
    }
}

#[test]
fn two_who_join_a_party_at_once_in_different_zones_are_both_in_it() {
    let (mut town, mut wood) = two_zones();
    town.enter("Ann", Role::Player);
    meet(&mut town, &mut wood);
    for name in ["ann", "ben"] {
        town.types("Root", &format!("party invite {name}"));
    }
    bring(&mut town, &mut wood);
    wood.types("Ben", "party accept");
    town.wait(1);
    town.types("Ann", "party accept");
    bring(&mut town, &mut wood);
    bring(&mut wood, &mut town);
    for name in ["Root", "Ann", "Ben"] {
        let table = if name == "Ben" { &mut wood } else { &mut town };
        let list = table.types(name, "party list");
        assert_eq!(list, [format!("{name}> Your party: Root (leader), Ben, Ann")]);
        let id = table.id(name);
        assert!(table.zone.audiences(id).iter().any(|audience| matches!(audience, Audience::Party(_))));
    }
}

#[test]
fn of_two_words_on_one_member_the_later_counts_everywhere() {
    let (mut town, mut wood) = a_party();
    wood.types("Ben", "party leave");
    town.wait(1);
    town.types("Root", "party kick ben");
    town.types("Root", "party invite ben");
    bring(&mut town, &mut wood);
    wood.wait(2);
    assert!(wood.types("Ben", "party accept").contains(&"Ben> You have joined the party.".to_owned()));
    bring(&mut wood, &mut town);
    for (table, name) in [(&mut town, "Root"), (&mut wood, "Ben")] {
        assert_eq!(table.types(name, "party list"), [format!("{name}> Your party: Root (leader), Mod, Ben")]);
    }
}

#[test]
fn a_party_that_was_disbanded_is_not_brought_back_by_an_older_word() {
    let (mut town, mut wood) = a_party();
    wood.types("Mod", "party leave");
    town.wait(1);
    town.types("Root", "party disband");
    bring(&mut town, &mut wood);
    bring(&mut wood, &mut town);
    assert_eq!(town.types("Root", "party list"), ["Root! You are not in a party."]);
    assert_eq!(wood.types("Ben", "party list"), ["Ben! You are not in a party."]);
    assert!(town.types("Root", "admin status")[0].contains(" 0 parties."));
}

#[test]
fn a_letter_comes_once_and_in_order() {
    let (mut town, mut wood) = two_zones();
    town.types("Root", "whisper ben one");
    town.types("Root", "teleport ben wood_brook");
    let letters = town.zone.letters_to(&zone_id("wood"), 9);
    let come = |letter: &Letter| Input::Fact(Fact::Letters(zone_id("town"), vec![letter.clone()]));
    wood.input(come(&letters[1]));
    assert_eq!(wood.last.len(), 0, "the one before it has not come");
    wood.input(come(&letters[0]));
    assert_eq!(wood.input(come(&letters[1]))[..2], ["Mod: Ben leaves.", "Ben> Root sends you to Brook."]);
    for letter in &letters {
        wood.input(come(letter));
        assert_eq!(wood.last.len(), 0, "it is here already");
    }
    // The answer to the first alone: the second is asked for until its own.
    town.input(Input::Fact(Fact::Delivered(zone_id("wood"), letters[0].number)));
    assert_eq!(town.zone.letters_to(&zone_id("wood"), 9).len(), 1);
    town.input(Input::Fact(Fact::Delivered(zone_id("wood"), letters[1].number)));
    assert_eq!(town.zone.letters_waiting(), 0);
    town.input(Input::Fact(Fact::Delivered(zone_id("wood"), letters[1].number)));
    assert_eq!(town.effects(), 0, "the answer twice is the answer once");
}

#[test]
fn the_next_owner_brings_what_the_last_one_did_not() {
    let (mut town, mut wood) = two_zones();
    let fresh = town.zone.checkpoint();
    town.types("Root", "summon ben");
    let effects: Vec<_> =
        town.last.iter().filter_map(|o| if let Output::Effect(e) = o { Some(e) } else { None }).collect();
    let mut next =
        Zone::restore(zone_id("town"), Arc::new(content()), quiet(), Some(&fresh)).expect("a zone");
    for effect in effects {
        next.replay_effect(effect);
    }
    let outputs = next.wake(town.now, &mut town.rng);
    let posted = outputs
        .into_iter()
        .find_map(|o| if let Output::Post(to, letter) = o { Some((to, letter)) } else { None });
    let (to, letter) = posted.expect("a letter");
    assert_eq!(to, zone_id("wood"));
    wood.input(Input::Fact(Fact::Letters(zone_id("town"), vec![letter])));
    assert!(wood.zone.is_moving(wood.id("Ben")), "he is on his way");
}

#[test]
fn a_command_that_finds_no_room_for_its_letters_is_refused_and_does_nothing() {
    let (mut town, _) = two_zones();
    town.enter("Ann", Role::Player);
    town.enter("Cat", Role::Player);
    town.types("Cat", "party invite ann");
    for n in 0..limits::OUTBOX_MAX {
        town.types(if n % 2 == 0 { "Ann" } else { "Root" }, "whisper ben one");
    }
    let full = town.zone.letters_waiting();
    assert!(full >= limits::OUTBOX_MAX);
    let commands = [
        ("Root", "whisper ben two"),
        ("Root", "teleport ben wood_brook"),
        ("Root", "summon ben"),
        ("Root", "kick ben"),
        ("Root", "mute_global ann 5"),
        ("Root", "unmute_global ann"),
        ("Root", "shutdown 90"),
        ("Root", "party invite ann"),
        ("Ann", "party accept"),
        ("Cat", "party leave"),
        ("Cat", "party disband"),
    ];
    for (name, line) in commands {
        let far = format!("{name}! What is far from here cannot be reached at the moment. Please try again.");
        assert_eq!(town.types(name, line), [far], "{line}");
        assert_eq!(town.effects(), 1, "{line}: its outcome alone");
        assert_eq!(town.zone.letters_waiting(), full, "{line}");
    }
    // What is done here needs no letter.
    assert!(town.types("Root", "teleport ann town_yard").contains(&"Root> You send Ann to Yard.".to_owned()));
    // Nobody can be refused to leave: the word of it is posted still.
    town.types("Cat", "quit");
    assert_eq!(town.zone.letters_waiting(), full + 1);
}

#[test]
fn what_follows_from_no_command_is_bounded_and_let_go_beyond() {
    let (mut town, _) = two_zones();
    let act = |n| Input::Fact(Fact::Act(character(11), RemoteAct::Whispered(format!("{n}"), account(11)), 0));
    for n in 0..limits::OUTBOX_FULL {
        town.input(act(n));
    }
    assert_eq!(town.zone.letters_waiting(), limits::OUTBOX_FULL);
    town.input(act(0));
    assert!(matches!(town.last[..], [Output::NotPosted(_)]), "{:?}", town.last);
    assert_eq!(town.zone.letters_waiting(), limits::OUTBOX_FULL);
}

#[test]
fn others_read_the_direction_wherever_it_was_said() {
    let (mut town, mut wood) = two_zones();
    assert_eq!(town.types("Root", "teleport ben n"), ["Root! You cannot go that way."]);
    assert_eq!(town.types("Root", "teleport ben goto"), ["Root! There is no place called 'goto'."]);
    wood.types("Ben", "west");
    meet(&mut town, &mut wood);
    assert_eq!(town.types("Root", "teleport ben e"), ["Root> You send Ben to the east."]);
    wood.types("Mod", "goto wood_glade");
    let lines = bring(&mut town, &mut wood);
    assert_eq!(lines, ["Mod: Ben leaves to the east.", "Ben> Root sends you to the east."]);
    wood.types("Mod", "goto wood_brook");
    town.types("Root", "teleport ben wood_glade");
    assert_eq!(bring(&mut town, &mut wood), ["Mod: Ben leaves.", "Ben> Root sends you to Glade."]);
}

/// Ann on her way to the wood.
fn on_her_way() -> (Table, Traveller, Table) {
    let mut town = Table::with(quiet());
    town.enter("Ann", Role::Player);
    town.enter("Root", Role::Admin);
    let traveller = goes_to_the_wood(&mut town, "Ann");
    let mut wood = Table::of("wood", quiet());
    wood.skip(100);
    (town, traveller, wood)
}

fn what_came_meanwhile(town: &mut Table) {
    town.types("Root", "mute_global ann 10");
    town.types("Root", "whisper ann psst");
    assert!(town.zone.is_moving(town.id("Ann")), "she is on her way still");
}

#[test]
fn what_comes_for_one_on_the_way_is_done_where_they_arrive() {
    let (mut town, traveller, mut wood) = on_her_way();
    what_came_meanwhile(&mut town);
    wood.enter_known("Ann", town.id("Ann"), town.session_of("Ann"));
    wood.input(Input::Handover(Handover::Arrive(traveller.clone())));
    let arrived = Handover::Arrived { move_id: traveller.move_id, zone: zone_id("wood") };
    town.input(Input::Handover(arrived));
    bring(&mut town, &mut wood);
    assert_eq!(wood.types("Ann", "say hi"), ["Ann! You are muted until 14:10."]);
    wood.wait(601);
    assert_eq!(
        wood.types("Ann", "reply yes"),
        ["Ann! There is no player called 'Root'."],
        "as far as is known here"
    );
}

#[test]
fn what_comes_for_one_on_the_way_is_done_here_where_they_stay() {
    for silent in [false, true] {
        let (mut town, traveller, _) = on_her_way();
        what_came_meanwhile(&mut town);
        let move_id = traveller.move_id;
        let (end, text) = if silent {
            (
                Handover::Unanswered { move_id },
                "Ann! That place cannot be reached at the moment. Please try again.",
            )
        } else {
            (Handover::Refused { move_id }, "Ann! You cannot go that way.")
        };
        assert_eq!(town.input(Input::Handover(end)), [text]);
        assert_eq!(town.types_as("Ann", "m1", "north"), [text], "one outcome");
        assert_eq!(town.types("Ann", "say hi"), ["Ann! You are muted until 14:10."]);
        town.wait(601);
        assert!(town.types("Ann", "reply yes").contains(&"Ann> [whisper] You to Root: yes".to_owned()));
    }
}

#[test]
fn a_kick_finds_one_who_went_on() {
    let (mut town, traveller, mut wood) = on_her_way();
    town.types("Root", "kick ann out");
    wood.enter_known("Ann", town.id("Ann"), town.session_of("Ann"));
    wood.input(Input::Handover(Handover::Arrive(traveller.clone())));
    town.input(Input::Handover(Handover::Arrived { move_id: traveller.move_id, zone: zone_id("wood") }));
    bring(&mut town, &mut wood);
    assert!(!wood.zone.owns(town.id("Ann")));
    // Who is in neither zone is let be.
    town.input(Input::Fact(Fact::Act(character(99), RemoteAct::Kick(4004, String::new()), 0)));
    assert_eq!(town.last.len(), 0);
}

#[test]
fn what_waits_for_one_on_the_way_is_bounded_and_staff_always_finds_room() {
    let (mut town, traveller, mut wood) = on_her_way();
    town.types("Root", "kick ann out");
    let ann = town.id("Ann");
    let until = town.now + 60_000;
    let invited = |n: usize| {
        let party = tidings_protocol::PartyId::new(1, n as u128);
        let act = RemoteAct::Invited { party, by: format!("P{n}"), account: None, until };
        Input::Fact(Fact::Act(ann, act, 0))
    };
    for n in 0..limits::BEHIND_MAX {
        town.input(invited(n));
        assert_eq!(town.effects(), 1, "{n}");
    }
    town.input(invited(limits::BEHIND_MAX));
    assert!(matches!(town.last[..], [Output::NotPosted(_)]), "the newest is let go: {:?}", town.last);
    town.input(invited(0));
    assert_eq!(town.effects(), 1, "it takes its own place");
    town.types("Root", "teleport ann town_hall");
    assert!(!town.last.iter().any(|output| matches!(output, Output::NotPosted(_))));
    wood.enter_known("Ann", ann, town.session_of("Ann"));
    wood.input(Input::Handover(Handover::Arrive(traveller.clone())));
    town.input(Input::Handover(Handover::Arrived { move_id: traveller.move_id, zone: zone_id("wood") }));
    assert_eq!(town.zone.letters_waiting(), limits::BEHIND_MAX + 2);
    bring(&mut town, &mut wood);
    assert!(!wood.zone.owns(ann), "the kick was not forgotten");
}

#[test]
fn a_mute_reaches_the_other_characters_of_its_account() {
    let (mut town, mut wood) = two_zones();
    let other = Arrival { account: account(1), ..arrival(31, "Twin", Role::Player) };
    wood.skip(20);
    wood.enter_known("Twin", character(31), crate::common::session(31));
    wood.enter_as("Twin", other);
    meet(&mut town, &mut wood);
    assert_eq!(town.types("Root", "mute ben"), ["Root> You have muted Ben."]);
    // The edges hear of it in each one's log, before the reply.
    let logs: Vec<_> =
        town.events().filter(|event| event.mute.is_some()).map(|event| event.audience.clone()).collect();
    assert_eq!(logs, [character(31), town.id("Root")].map(|id| Some(Audience::Player(id))));
    bring(&mut town, &mut wood);
    assert_eq!(wood.types("Twin", "mutes"), ["Twin> You have muted:\nBen"]);
}

#[test]
fn reply_answers_the_last_whisper_that_was_heard() {
    for mute in ["mute ann", "mute ann on whisper", "mute channel whisper"] {
        let mut table = Table::with(quiet());
        for name in ["Ann", "Ben", "Cat"] {
            table.enter(name, Role::Player);
        }
        table.types("Cat", "whisper ben one");
        table.types("Ben", mute);
        table.types("Ann", "whisper ben two");
        let reply = table.types("Ben", "reply yes");
        assert!(reply.contains(&"Ben> [whisper] You to Cat: yes".to_owned()), "{mute}: {reply:?}");
    }
}
