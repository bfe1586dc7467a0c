//! Mutes, silences, staff and its audit, the shutdown, invitations.

use crate::*;

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
    // The history does not wait for storage to have them.
    let asked = |table: &mut Table| -> Vec<String> {
        table.types("Ann", "channel history say");
        let mutes = table.last.iter().find_map(|output| match output {
            Output::Ask(_, Query::History { mutes, .. }) => Some(mutes.clone()),
            _ => None,
        });
        mutes.expect("a question").into_iter().map(|mute| mute.name).collect()
    };
    assert_eq!(asked(&mut table), ["Old", "Ben"]);
    table.wait(301);
    assert_eq!(table.types("Ann", "mutes"), ["Ann> You have muted:\nOld"], "it ended on time");
    assert_eq!(asked(&mut table), ["Old"]);
}

#[test]
fn a_silence_reaches_who_is_there() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    let silence = |at: i64, until: Option<i64>| {
        let made = Made { at, by: zone_id("wood") };
        Input::Fact(Fact::Silenced(account(1), Silence { made, until, reason: String::new() }))
    };
    let until = Some(table.now + 60_000);
    table.input(silence(5, until));
    assert_eq!(table.effects(), 1);
    for older in [silence(5, until), silence(4, None)] {
        table.input(older);
        assert_eq!(table.effects(), 0);
    }
    assert_eq!(table.types("Ann", "'hi"), ["Ann! You are muted until 14:01."]);
    table.wait(60);
    assert_eq!(table.types("Ann", "'hi"), ["Ann> You say: hi"]);
}

#[test]
fn what_is_remembered_of_silences_and_parties_is_bounded() {
    let mut table = Table::with(quiet());
    let mut last = String::new();
    for n in 0..2_000 {
        let made = Made { at: n, by: zone_id("wood") };
        let silence = Silence { made: made.clone(), until: None, reason: String::new() };
        table.input(Input::Fact(Fact::Silenced(account(n as u128), silence)));
        let id = tidings_protocol::PartyId::new(n as u64, 1);
        let words = [(character(1), Membership { made, member: false })].into();
        table.input(Input::Fact(Fact::Party(id, Party { words })));
        last = id.to_string();
    }
    let state: serde_json::Value = serde_json::from_str(&table.zone.checkpoint()).expect("JSON");
    for (kept, max) in [("silences", limits::SILENCES_MAX), ("parties", limits::PARTIES_GONE_MAX)] {
        assert_eq!(state[kept].as_object().expect("by id").len(), max, "{kept}");
    }
    assert!(state["parties"].get(&last).is_some(), "the oldest is forgotten");
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
fn staff_ends_no_silence_of_its_own_or_of_those_above() {
    let mut table = Table::with(quiet());
    for (name, role) in [("Root", Role::Admin), ("Mod", Role::Moderator), ("Other", Role::Moderator)] {
        table.enter(name, role);
    }
    table.types("Root", "mute_global mod");
    table.types("Root", "mute_global other");
    assert_eq!(table.types("Mod", "unmute_global mod"), ["Mod! You cannot do that to yourself."]);
    assert_eq!(table.types("Mod", "unmute_global other"), ["Mod! You may not do that."]);
    assert_eq!(table.persisted().count(), 0);
    assert_eq!(table.types("Root", "unmute_global mod"), ["Root> You have unmuted Mod for everyone."]);
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
fn an_invitation_ends_with_its_party() {
    let mut table = Table::with(quiet());
    for name in ["Ann", "Ben"] {
        table.enter(name, Role::Player);
    }
    table.types("Ann", "party invite ben");
    table.types("Ann", "party disband");
    assert_eq!(table.types("Ben", "party accept"), ["Ben! Nobody has invited you to a party."]);
    assert_eq!(table.types("Ann", "party list"), ["Ann! You are not in a party."], "it does not come back");
    // Another one is another party's.
    table.types("Ann", "party invite ben");
    assert!(table.types("Ben", "party accept").contains(&"Ben> You have joined the party.".to_owned()));
}

#[test]
fn an_invitation_that_was_taken_up_is_over() {
    let mut table = Table::with(quiet());
    for name in ["Ann", "Ben"] {
        table.enter(name, Role::Player);
    }
    table.types("Ann", "party invite ben");
    let timer = table.last.iter().find_map(|output| match output {
        Output::SetTimer(timer @ Timer::Invitation(..), Some(_)) => Some(timer.clone()),
        _ => None,
    });
    table.types("Ben", "party accept");
    table.types("Ben", "party leave");
    assert!(table.timer(timer.expect("a timer")).is_empty(), "it was taken up: it did not run out");
    let again = table.types("Ann", "party invite ben");
    assert!(again.contains(&"Ann> You invite Ben to your party.".to_owned()), "{again:?}");
}
