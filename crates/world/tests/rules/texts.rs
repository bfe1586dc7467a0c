//! What is read: help, lists for those who listen, how long a line may be, the channel of what is done.

use crate::*;

#[test]
fn help_points_to_what_one_may_read_once() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.enter("Root", Role::Admin);
    assert_eq!(table.types("Ann", "help manners"), ["Ann> Manners\nBe kind to everyone.\nSee also: say"]);
    assert_eq!(
        table.types("Root", "help manners"),
        ["Root> Manners\nBe kind to everyone.\nSee also: say, kick, secrets"]
    );
    let look = "A room has its things.\nUsage: look [thing, person or direction]\nAlso: l";
    let see = "See also: examine, who, brief, manners";
    assert_eq!(table.types("Ann", "help look"), [format!("Ann> {look}\n{see}")]);
    let found = table.types("Ann", "help room").remove(0);
    let (_, found) = found.split_once("See: ").expect("it is searched for");
    let mut words: Vec<&str> = found.split(", ").collect();
    let all = words.len();
    words.sort_unstable();
    words.dedup();
    assert!(words.contains(&"look") && words.len() == all, "{found}");
}

#[test]
fn lists_are_a_line_each_for_who_listens() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    table.types("Ann", "party invite ben");
    table.types("Ben", "party accept");
    let none = "There is no help on 'kind' itself. See:";
    for (line, seen, heard) in [
        ("emotes", "Emotes: dance, smile", "Emotes:\ndance\nsmile"),
        ("channel who say", "On say: Ann, Ben", "On say:\nAnn\nBen"),
        ("party list", "Your party: Ann (leader), Ben", "Your party:\nAnn (leader)\nBen"),
        ("help kind", &format!("{none} manners"), &format!("{none}\nmanners")),
        (
            "look",
            "Main Hall\nThis is the Main Hall.\nExits: east, down\nHere: Ben",
            "Main Hall\nThis is the Main Hall.\nExits:\neast\ndown\nHere:\nBen",
        ),
    ] {
        table.types("Ann", "screenreader off");
        assert_eq!(table.types("Ann", line), [format!("Ann> {seen}")]);
        table.types("Ann", "screenreader on");
        assert_eq!(table.types("Ann", line), [format!("Ann> {heard}")]);
    }
    assert!(table.types("Ann", "help")[0].starts_with("Ann> Commands:\nsay\nemote\n"));
}

#[test]
fn a_line_may_be_as_long_as_is_configured() {
    let cases = [(2_200, 2_190, true), (2_200, 2_300, false), (3_000, 2_300, true), (0, 9_000, true)];
    for (command_chars, letters, fits) in cases {
        let mut table = Table::with(Config { command_chars, ..quiet() });
        table.enter("Ann", Role::Player);
        let answer = table.types("Ann", &format!("say {}", "x".repeat(letters))).remove(0);
        let max = if fits { 500 } else { command_chars };
        assert_eq!(answer, format!("Ann! Too long: at most {max} characters."), "{command_chars} {letters}");
        // An alias that grows into a line beyond it, and a loop of aliases that ends.
        table.types("Ann", &format!("alias a b {}", "y".repeat(400)));
        table.types("Ann", &format!("alias b a {}", "z".repeat(400)));
        let answer = table.types("Ann", &format!("a {}", "x".repeat(1_500))).remove(0);
        let expected = if command_chars == 2_200 {
            "Too long: at most 2200 characters."
        } else {
            "There is no command 'a'."
        };
        assert!(answer.starts_with(&format!("Ann! {expected}")), "{command_chars}: {answer}");
    }
}

#[test]
fn a_limit_of_one_is_one() {
    let limits = Limits { say_per_minute: 1, ..Limits::NONE };
    let mut table = Table::with(Config { limits, ..quiet() });
    table.enter("Ann", Role::Player);
    table.types("Ann", "say hi");
    table.wait(59);
    let told = ["Ann! Not so fast: at most 1 line a minute. Try again in 1 second."];
    assert_eq!(table.types("Ann", "say hi"), told);
}

#[test]
fn what_is_done_is_of_the_channel_say() {
    let mut table = Table::with(quiet());
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    for line in ["say hi", ":hums", "smile", "smile ben"] {
        table.types("Ann", line);
        let lines: Vec<_> = table.events().filter(|event| event.kind.starts_with("chat.")).collect();
        assert!(!lines.is_empty() && lines.iter().all(|event| event.channel == "say"), "{line}: {lines:?}");
    }
    assert_eq!(table.events().next().map(|event| event.kind.as_ref()), Some("chat.emote"));
}

#[test]
fn a_mute_by_another_name_ends_as_it_was_made() {
    let mut table = Table::with(quiet());
    let mute = MuteChange {
        account: account(1),
        target: Some(account(7)),
        name: "Old".to_owned(),
        channel: "global".to_owned(),
        until: None,
        reason: String::new(),
        removed: false,
    };
    table.enter("Ann", Role::Player);
    table.types("Ann", "quit");
    table.new_session("Ann");
    table.enter_as("Ann", Arrival { mutes: vec![mute], ..arrival(1, "Ann", Role::Player) });
    let new = tidings_world::input::KnownPlayer {
        id: character(70),
        name: "New".to_owned(),
        account: account(7),
        role: Role::Player,
    };
    table.away.push(new);
    assert_eq!(table.types("Ann", "unmute new"), ["Ann! You have not muted New."]);
    assert_eq!(table.types("Ann", "unmute new on global"), ["Ann> You have unmuted New on global."]);
    assert_eq!(table.types("Ann", "unmute new on global"), ["Ann! You have not muted New on global."]);
}
