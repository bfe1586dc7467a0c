//! The server's voice, line by line: who types what, and what everyone reads.

mod common;

use common::Table;
use tidings_protocol::{AccountId, CharacterId};
use tidings_world::input::{KnownPlayer, Role};

/// Ann and Ben in the hall, Cara in the yard, Mod (a moderator) and Root (an admin) in the hall; the limits are off.
fn evening() -> Table {
    let limits = tidings_world::Limits::NONE;
    let mut table = Table::with(tidings_world::Config { limits, ..Default::default() });
    table.enter("Ann", Role::Player);
    table.enter("Ben", Role::Player);
    table.enter("Cara", Role::Player);
    table.types("Cara", "east");
    table.away.push(KnownPlayer {
        id: CharacterId::new(9, 9),
        name: "Zoe".to_owned(),
        account: AccountId::new(9, 9),
        role: Role::Player,
    });
    table
}

fn check(table: &mut Table, rows: &[(&str, &str, &[&str])]) {
    for (who, typed, expected) in rows {
        let mut lines = table.types(who, typed);
        lines.sort();
        let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        expected.sort();
        assert_eq!(lines, expected, "{who} types: {typed}");
    }
}

#[test]
fn speech() {
    let long = |n: usize| "x".repeat(n);
    let mut table = evening();
    check(
        &mut table,
        &[
            ("Ann", "say hello there", &["Ann> You say: hello there", "Ben: Ann says: hello there"]),
            ("Ann", "'hello", &["Ann> You say: hello", "Ben: Ann says: hello"]),
            ("Ann", "SAY  Hello  there ", &["Ann> You say: Hello  there", "Ben: Ann says: Hello  there"]),
            (
                "Ann",
                "say {name} <b>\u{1b}[31m",
                &["Ann> You say: {name} <b>[31m", "Ben: Ann says: {name} <b>[31m"],
            ),
            ("Ann", "emote smiles", &["Ann> You smile.", "Ben: Ann smiles."]),
            ("Ann", ":smiles.", &["Ann> You smile.", "Ben: Ann smiles."]),
            ("Ann", "smile", &["Ann> You smile.", "Ben: Ann smiles."]),
            ("Ann", "smile ben", &["Ann> You smile at Ben.", "Ben: Ann smiles at you."]),
            ("Ann", "dance ben", &["Ann! 'dance' takes nobody to do it to."]),
            ("Ann", "smile nobody", &["Ann! You see no 'nobody' here."]),
            ("Ann", ":waves to everyone!", &["Ann> Ann waves to everyone!", "Ben: Ann waves to everyone!"]),
            ("Ann", ":'s cat purrs", &["Ann> Ann's cat purrs.", "Ben: Ann's cat purrs."]),
            ("Ann", "pose leaning on the bar", &["Ann> You are now: leaning on the bar"]),
            ("Ben", "look ann", &["Ben> Ann is here: leaning on the bar"]),
            ("Ann", "pose", &["Ann> You no longer hold a pose."]),
            ("Ann", "local hi", &["Ann> [local] You: hi", "Ben: [local] Ann: hi"]),
            (
                "Cara",
                "global hi",
                &["Ann: [global] Cara: hi", "Ben: [global] Cara: hi", "Cara> [global] You: hi"],
            ),
            (
                "Ann",
                "whisper Cara psst",
                &["Ann> [whisper] You to Cara: psst", "Cara: [whisper] Ann to you: psst"],
            ),
            (
                "Ann",
                "whisper cARA psst",
                &["Ann> [whisper] You to Cara: psst", "Cara: [whisper] Ann to you: psst"],
            ),
            ("Cara", "reply yes?", &["Cara> [whisper] You to Ann: yes?", "Ann: [whisper] Cara to you: yes?"]),
            ("Ben", "reply hm", &["Ben! Nobody has whispered to you yet."]),
            ("Cara", "reply", &["Cara! Reply what?"]),
            ("Ann", "whisper", &["Ann! Usage: whisper <player> <message>"]),
            ("Ann", "whisper Ben", &["Ann! Whisper what? Usage: whisper <player> <message>"]),
            ("Ann", "whisper ann hi", &["Ann! You cannot whisper to yourself."]),
            ("Ann", "whisper Nobody hi", &["Ann! There is no player called 'Nobody'."]),
            ("Ann", "whisper Be hi", &["Ann! There is no player called 'Be'."]),
            ("Ann", "whisper zoe hi", &["Ann! Zoe is not in the world."]),
            ("Ann", "say", &["Ann! Say what?"]),
            ("Ann", "'", &["Ann! Say what?"]),
            ("Ann", ":", &["Ann! Emote what?"]),
            ("Ann", "local", &["Ann! Local what?"]),
            ("Ann", "global ", &["Ann! Global what?"]),
            ("Ann", "party", &["Ann! Party what?"]),
            ("Ann", "party hi", &["Ann! You are not in a party."]),
            ("Ann", &format!("say {}", long(501)), &["Ann! Too long: at most 500 characters."]),
            ("Ann", &format!("local {}", long(501)), &["Ann! Too long: at most 500 characters."]),
            ("Ann", &format!("emote {}", long(201)), &["Ann! Too long: at most 200 characters."]),
            ("Ann", &format!("pose {}", long(101)), &["Ann! Too long: at most 100 characters."]),
            ("Ann", &format!("whisper Ben {}", long(2_001)), &["Ann! Too long: at most 2000 characters."]),
            ("Ann", "system hi", &["Ann! You may not do that."]),
            ("Ann", "staff hi", &["Ann! You may not do that."]),
            ("Ann", "sya hi", &["Ann! There is no command 'sya'. Did you mean 'say'?"]),
            ("Ann", "xyzzy", &["Ann! There is no command 'xyzzy'."]),
            ("Ann", "", &["Ann! Type a command. 'help' lists them."]),
        ],
    );
}

#[test]
fn walking_and_seeing() {
    let mut table = evening();
    check(
        &mut table,
        &[
            (
                "Ann",
                "go east",
                &["Ann> You go east.", "Ben: Ann leaves to the east.", "Cara: Ann arrives from the west."],
            ),
            (
                "Ann",
                "w",
                &["Ann> You go west.", "Cara: Ann leaves to the west.", "Ben: Ann arrives from the east."],
            ),
            ("Ann", "go", &["Ann! Go where? Usage: go <direction>"]),
            ("Ann", "go sideways", &["Ann! You cannot go that way."]),
            ("Ann", "north", &["Ann! You cannot go that way."]),
            ("Cara", "in", &["Cara! You cannot go that way."]),
            ("Ann", "look", &["Ann> Main Hall\nThis is the Main Hall.\nExits: east, down\nHere: Ben"]),
            ("Cara", "look", &["Cara> Yard\nThis is the Yard.\nExits: north, west, in, out"]),
            ("Ann", "brief", &["Ann> brief is now on."]),
            ("Ann", "l", &["Ann> Main Hall\nThis is the Main Hall.\nExits: east, down\nHere: Ben"]),
            ("Ann", "look hearth", &["Ann> It crackles."]),
            ("Ann", "look at fire", &["Ann> It crackles."]),
            ("Ann", "look be", &["Ann> Ben is here."]),
            ("Ann", "look me", &["Ann> That is you."]),
            ("Ann", "look e", &["Ann> east leads to Yard."]),
            ("Ann", "look up", &["Ann> There is nothing special to see in that direction."]),
            ("Ann", "look moon", &["Ann! You see no 'moon' here."]),
            ("Ann", "examine ben", &["Ann> Ben is a player."]),
            ("Ann", "who", &["Ann> Online: 3\nAnn - Main Hall\nBen - Main Hall\nCara - Yard"]),
            ("Ann", "who yard", &["Ann> Online: 1\nCara - Yard"]),
            ("Ann", "who nobody", &["Ann> Online: 0"]),
            ("Ann", "weather", &["Ann> There is no weather here."]),
            (
                "Ann",
                "d",
                &[
                    "Ann> You go down.",
                    "Ben: Ann leaves downwards.",
                    "Ann: The innkeeper says: Good day, Ann.",
                ],
            ),
            ("Ann", "north", &["Ann! It is locked."]),
            ("Ann", "look n", &["Ann> north: oak door. It is locked."]),
            ("Ann", "look keeper", &["Ann> A round, friendly man."]),
            ("Ann", "say An ALE!", &["Ann> You say: An ALE!", "Ann: The innkeeper pours an ale for Ann."]),
            ("Ann", "screenreader on", &["Ann> screenreader is now on."]),
            ("Ann", "brief off", &["Ann> brief is now off."]),
            (
                "Ann",
                "look",
                &[
                    "Ann> Cellar\nThis is the Cellar.\nExits:\nnorth (oak door, locked)\nup\nHere:\nthe innkeeper",
                ],
            ),
        ],
    );
}

#[test]
fn mutes() {
    let mut table = evening();
    check(
        &mut table,
        &[
            ("Ann", "mutes", &["Ann> You have muted nobody."]),
            ("Ann", "mute Ben", &["Ann> You have muted Ben."]),
            ("Ann", "mute cara 5 so loud", &["Ann> You have muted Cara for 5 minutes."]),
            ("Ann", "mute zoe 1", &["Ann> You have muted Zoe for 1 minute."]),
            ("Ann", "mute zoe on global", &["Ann> You have muted Zoe on global."]),
            ("Ann", "mute channel local", &["Ann> You have muted the channel local."]),
            (
                "Ann",
                "mutes",
                &[
                    "Ann> You have muted:\nBen\nCara until 14:05 (so loud)\nZoe until 14:01\nZoe on global\nchannel local",
                ],
            ),
            ("Ann", "local hi", &["Ann! You are not on local. 'channel join local' brings you back."]),
            ("Ann", "unmute channel local", &["Ann> You have unmuted the channel local."]),
            ("Ann", "unmute Ben", &["Ann> You have unmuted Ben."]),
            ("Ann", "unmute Ben", &["Ann! You have not muted Ben."]),
            ("Ann", "unmute zoe on global", &["Ann> You have unmuted Zoe on global."]),
            ("Ann", "unmute ZOE", &["Ann> You have unmuted Zoe."]),
            (
                "Ann",
                "mute",
                &["Ann! Usage: mute <player> [on <channel>] [minutes] [reason], mute channel <name>"],
            ),
            ("Ann", "mute Ben on global 5", &["Ann> You have muted Ben on global for 5 minutes."]),
            ("Ann", "mute zoe 1 on local so loud", &["Ann> You have muted Zoe on local for 1 minute."]),
            ("Ann", "mute cara on say rude", &["Ann> You have muted Cara on say."]),
            (
                "Ann",
                "mutes",
                &[
                    "Ann> You have muted:\nCara until 14:05 (so loud)\nBen on global until 14:05\nZoe on local until 14:01 (so loud)\nCara on say (rude)",
                ],
            ),
            (
                "Ann",
                "mute Ben on",
                &["Ann! Usage: mute <player> [on <channel>] [minutes] [reason], mute channel <name>"],
            ),
            ("Ann", "mute Ben 5 on nothing", &["Ann! There is no channel called 'nothing'."]),
            (
                "Ann",
                "mute channel local 5",
                &["Ann! Usage: mute <player> [on <channel>] [minutes] [reason], mute channel <name>"],
            ),
            ("Ann", "unmute Ben", &["Ann! You have not muted Ben."]),
            ("Ann", "unmute Ben on say", &["Ann! You have not muted Ben on say."]),
            ("Ann", "unmute Ben on global", &["Ann> You have unmuted Ben on global."]),
            ("Ann", "mute nobody", &["Ann! There is no player called 'nobody'."]),
            ("Ann", "mute Ann", &["Ann! You cannot mute yourself."]),
            ("Ann", "mute Ben 0", &["Ann! The minutes are a number from 1 to 525600."]),
            ("Ann", "mute Ben on nothing", &["Ann! There is no channel called 'nothing'."]),
            ("Ann", "mute channel system", &["Ann! You cannot leave system."]),
        ],
    );
}

#[test]
fn oneself() {
    let mut table = evening();
    check(
        &mut table,
        &[
            ("Ann", "alias", &["Ann> You have no aliases."]),
            ("Ann", "alias hi say hello", &["Ann> 'hi' now stands for: say hello"]),
            ("Ann", "hi there", &["Ann> You say: hello there", "Ben: Ann says: hello there"]),
            ("Ann", "alias a b", &["Ann> 'a' now stands for: b"]),
            ("Ann", "alias b a", &["Ann> 'b' now stands for: a"]),
            ("Ann", "a", &["Ann! There is no command 'a'."]),
            ("Ann", "alias say say loudly:", &["Ann> 'say' now stands for: say loudly:"]),
            ("Ann", "say yes", &["Ann> You say: loudly: yes", "Ben: Ann says: loudly: yes"]),
            ("Ann", "unalias say", &["Ann> 'say' stands for nothing any more."]),
            ("Ann", "unalias say", &["Ann! You have no alias 'say'."]),
            ("Ann", "alias quit say no", &["Ann! 'quit' cannot be an alias."]),
            ("Ann", "alias", &["Ann> Your aliases:\na: b\nb: a\nhi: say hello"]),
            ("Ann", "settings", &["Ann> Your settings:\nbrief: off\nscreenreader: off\ninvitations: on"]),
            ("Ann", "settings colour on", &["Ann! There is no setting called 'colour'."]),
            ("Ann", "settings brief maybe", &["Ann! brief takes: on, off"]),
            (
                "Ann",
                "channel default global",
                &["Ann> Your default channel is global. 'chat <text>' speaks there."],
            ),
            (
                "Ann",
                "chat hey",
                &["Ann> [global] You: hey", "Ben: [global] Ann: hey", "Cara: [global] Ann: hey"],
            ),
            ("Ann", "channel", &["Ann> Channels:\nsay\nlocal\nglobal (default)\nwhisper\nsystem"]),
            ("Ann", "channel leave global", &["Ann> You have left global."]),
            ("Ann", "channel join global", &["Ann> You are on global."]),
            ("Ann", "channel who local", &["Ann> On local: Ann, Ben"]),
            ("Ann", "channel history say", &["Ann> Nothing has been said on say lately."]),
            ("Ann", "channel history staff", &["Ann! You may not do that."]),
            ("Ann", "help manners", &["Ann> Manners\nBe kind to everyone.\nSee also: say"]),
            ("Ann", "help secrets", &["Ann! There is no help on 'secrets'."]),
            ("Ann", "help kick", &["Ann! There is no help on 'kick'."]),
            ("Ann", "help kind", &["Ann> There is no help on 'kind' itself. See: manners"]),
            (
                "Ann",
                "help who",
                &[
                    "Ann> Lists who is in the world, and where.\nUsage: who [part of a name or place]\nAlso: online\nSee also: look, whisper",
                ],
            ),
            ("Ann", "quit", &["Ann> Goodbye, Ann.", "Ben: Ann has left the world."]),
        ],
    );
}

#[test]
fn staff() {
    let mut table = evening();
    let lines = table.enter("Mod", Role::Moderator);
    assert_eq!(
        lines,
        ["Ann: Mod has joined the world.", "Ben: Mod has joined the world.", "Mod> Welcome, Mod."]
    );
    table.enter("Root", Role::Admin);
    check(
        &mut table,
        &[
            ("Mod", "staff hm", &["Mod> [staff] You: hm", "Root: [staff] Mod: hm"]),
            ("Mod", "staff", &["Mod! Staff what?"]),
            ("Mod", "system", &["Mod! System what?"]),
            (
                "Mod",
                "system tea!",
                &[
                    "Mod> [system] tea!",
                    "Ann: [system] tea!",
                    "Ben: [system] tea!",
                    "Cara: [system] tea!",
                    "Root: [system] tea!",
                ],
            ),
            ("Ann", "who mod", &["Ann> Online: 1\nMod - Main Hall (staff)"]),
            (
                "Mod",
                "teleport Ben east",
                &[
                    "Mod> You send Ben to the east.",
                    "Ben> Mod sends you to the east.",
                    "Ann: Ben leaves to the east.",
                    "Root: Ben leaves to the east.",
                    "Mod: Ben leaves to the east.",
                    "Cara: Ben arrives from the west.",
                ],
            ),
            (
                "Mod",
                "summon ben",
                &[
                    "Mod> You summon Ben.",
                    "Ben> Mod summons you.",
                    "Cara: Ben leaves.",
                    "Ann: Ben arrives.",
                    "Root: Ben arrives.",
                    "Mod: Ben arrives.",
                ],
            ),
            (
                "Mod",
                "goto cara",
                &[
                    "Mod> You go to Yard.",
                    "Ann: Mod leaves.",
                    "Ben: Mod leaves.",
                    "Root: Mod leaves.",
                    "Cara: Mod arrives.",
                ],
            ),
            ("Mod", "goto nowhere at all", &["Mod! There is no place called 'nowhere at all'."]),
            ("Mod", "teleport zoe east", &["Mod! Zoe is not in the world."]),
            ("Mod", "mute_global Ben 5 spam", &["Mod> You have muted Ben for everyone for 5 minutes."]),
            ("Ben", "say hi", &["Ben! You are muted until 14:05."]),
            ("Ben", ":hops", &["Ben! You are muted until 14:05."]),
            ("Ben", "whisper Ann hi", &["Ben! You are muted until 14:05."]),
            ("Mod", "unmute_global Ben", &["Mod> You have unmuted Ben for everyone."]),
            ("Ben", "say hi", &["Ben> You say: hi", "Ann: Ben says: hi", "Root: Ben says: hi"]),
            ("Mod", "kick Root", &["Mod! You may not do that."]),
            ("Mod", "kick Mod", &["Mod! You cannot do that to yourself."]),
            ("Mod", "shutdown", &["Mod! You may not do that."]),
            (
                "Root",
                "shutdown 90",
                &[
                    "Root> The server goes down in 90 seconds. 'shutdown cancel' stops it.",
                    "Ann: [system] The server goes down in 90 seconds.",
                    "Ben: [system] The server goes down in 90 seconds.",
                    "Cara: [system] The server goes down in 90 seconds.",
                    "Mod: [system] The server goes down in 90 seconds.",
                    "Root: [system] The server goes down in 90 seconds.",
                ],
            ),
            ("Root", "shutdown soon", &["Root! The seconds are a number from 0 to 86400."]),
            (
                "Root",
                "admin status",
                &[
                    "Root> Zone town: 5 players, 1 character, 3 rooms, 0 parties.\nOnline in the world: 5.\nShutdown in 90 seconds.",
                ],
            ),
            ("Ann", "admin status", &["Ann! You may not do that."]),
            (
                "Mod",
                "kick Ben bye now",
                &[
                    "Mod> You have sent Ben out of the world.",
                    "Ann: Ben has left the world.",
                    "Root: Ben has left the world.",
                ],
            ),
            ("Mod", "ban zoe 10", &["Mod> You have banned Zoe for 10 minutes."]),
        ],
    );
}

#[test]
fn parties() {
    let mut table = evening();
    check(
        &mut table,
        &[
            (
                "Ann",
                "party invite ben",
                &[
                    "Ann> You invite Ben to your party.",
                    "Ben: Ann invites you to a party. 'party accept' within 60 seconds joins it.",
                ],
            ),
            ("Ann", "party invite ben", &["Ann! Ben has your invitation already."]),
            ("Ben", "party accept", &["Ben> You have joined the party.", "Ann: Ben has joined the party."]),
            ("Ben", "party hello", &["Ben> [party] You: hello", "Ann: [party] Ben: hello"]),
            ("Ben", "party list", &["Ben> Your party: Ann (leader), Ben"]),
            ("Ben", "party invite cara", &["Ben! Only the leader of the party may do that."]),
            ("Cara", "party accept", &["Cara! Nobody has invited you to a party."]),
            ("Ann", "party kick cara", &["Ann! Cara is not in your party."]),
            (
                "Ann",
                "party kick ben",
                &["Ann> You have removed Ben from the party.", "Ben: You have been removed from the party."],
            ),
            ("Ben", "party hm", &["Ben! You are not in a party."]),
            ("Ben", "mute ann", &["Ben> You have muted Ann."]),
            ("Cara", "settings invitations off", &["Cara> invitations is now off."]),
            ("Ann", "party invite cara", &["Ann> You invite Cara to your party."]),
            ("Cara", "party accept", &["Cara! Nobody has invited you to a party."]),
            ("Ann", "party disband", &["Ann> You have disbanded the party."]),
            ("Ann", "party leave", &["Ann! You are not in a party."]),
        ],
    );
}
