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
