//! An evening of two players, line by line in the server's voice.

use std::time::Duration;

use anyhow::Result;
use tidings_client::frames::ServerFrame;
use tidings_test_support::Player;

use super::{elsewhere, server, server_with_limits};

#[tokio::test]
async fn two_players_meet_talk_and_part() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    ann.hears("Welcome, Ann.").await?;
    assert_eq!(ann.state.body["room"]["name"], "Main Hall");
    assert_eq!(ann.state.body["character"]["name"], "Ann");
    assert!(!ann.connection.welcome().recovered);

    let mut ben = Player::new(&server.api(), "Ben").await?;
    ben.hears("Welcome, Ben.").await?;
    ann.hears("Ben has joined the world.").await?;
    let occupants = &ben.state.body["room"]["occupants"];
    assert_eq!((&occupants["total"], &occupants["items"][0]["name"]), (&1.into(), &"Ann".into()));

    assert_eq!(ann.does("say hello").await?, "You say: hello");
    let said = ben.hears("Ann says: hello").await?;
    assert_eq!((said.kind.as_str(), said.audience.as_str()), ("chat.say", "room"));
    assert_eq!(said.data["message"], "hello");
    assert_eq!(said.from.map(|from| from.name).as_deref(), Some("Ann"));
    assert_eq!(ben.does("'good evening").await?, "You say: good evening");
    ann.hears("Ben says: good evening").await?;

    assert_eq!(ann.does(":smiles.").await?, "Ann smiles.");
    ben.hears("Ann smiles.").await?;
    assert_eq!(ann.does("wave").await?, "You wave.");
    ben.hears("Ann waves.").await?;
    assert_eq!(ann.does("local anyone here?").await?, "[local] You: anyone here?");
    ben.hears("[local] Ann: anyone here?").await?;
    assert_eq!(ann.does("global hello world").await?, "[global] You: hello world");
    ben.hears("[global] Ann: hello world").await?;

    assert_eq!(ann.does("whisper Ben a secret").await?, "[whisper] You to Ben: a secret");
    ben.hears("[whisper] Ann to you: a secret").await?;
    assert_eq!(ben.does("reply kept").await?, "[whisper] You to Ann: kept");
    ann.hears("[whisper] Ben to you: kept").await?;

    assert_eq!(ann.does("pose leaning on a broom").await?, "You are now: leaning on a broom");
    assert!(ben.does("look Ann").await?.contains("leaning on a broom"));

    assert_eq!(ann.does("go east").await?, "You go east.");
    let garden = ann.sees_room().await?;
    assert_eq!(garden.body["room"]["name"], "Garden");
    ben.hears("Ann leaves to the east.").await?;
    assert_eq!(ben.does("say anybody?").await?, "You say: anybody?");
    ann.does_not_hear("Ben says: anybody?").await?;
    assert_eq!(ben.does("e").await?, "You go east.");
    ann.hears("Ben arrives from the west.").await?;

    let who = ann.does("who").await?;
    assert_eq!(who.lines().next(), Some("Online: 2"));
    assert!(who.lines().any(|line| line == "Ann - Garden"), "{who}");

    assert_eq!(ben.does("quit").await?, "Goodbye, Ben.");
    ann.hears("Ben has left the world.").await?;
    assert_eq!(ann.does("who").await?, "Online: 1\nAnn - Garden");
    Ok(())
}

#[tokio::test]
async fn what_is_done_is_remembered_and_muted_with_what_is_said() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    ben.does("say hello").await?;
    ben.does(":hums").await?;
    ben.does("wave").await?;
    ann.hears("Ben waves.").await?;
    assert_eq!(ann.does("channel history say").await?, "Ben says: hello\nBen hums.\nBen waves.");
    assert_eq!(ann.does("mute Ben on say 5").await?, "You have muted Ben on say for 5 minutes.");
    ben.does(":grumbles").await?;
    ben.does("global still there?").await?;
    ann.hears("[global] Ben: still there?").await?;
    ann.does_not_hear("Ben grumbles.").await?;
    assert_eq!(ann.does("channel history say").await?, "Nothing has been said on say lately.");
    Ok(())
}

#[tokio::test]
async fn walking_into_another_zone_is_walking() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    for player in [&mut ann, &mut ben] {
        player.does("east").await?;
        player.sees_room().await?;
    }
    assert_eq!(ann.does("north").await?, "You go north.");
    assert_eq!(ann.sees_room().await?.body["room"]["name"], "Glade");
    ben.hears("Ann leaves to the north.").await?;
    assert_eq!(ben.does("whisper Ann wait for me").await?, "[whisper] You to Ann: wait for me");
    ann.hears("[whisper] Ben to you: wait for me").await?;
    assert_eq!(ben.does("north").await?, "You go north.");
    ann.hears("Ben arrives from the south.").await?;
    ann.does("say across").await?;
    ben.hears("Ann says: across").await?;
    Ok(())
}

#[tokio::test]
async fn a_muted_player_is_not_heard_and_not_told() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    assert_eq!(ann.does("mute Ben 5 too loud").await?, "You have muted Ben for 5 minutes.");
    assert_eq!(ben.does("say can you hear me").await?, "You say: can you hear me");
    assert_eq!(ben.does("global can you hear me").await?, "[global] You: can you hear me");
    assert_eq!(ben.does("whisper Ann psst").await?, "[whisper] You to Ann: psst");
    ann.does_not_hear("Ben says: can you hear me").await?;
    ann.does_not_hear("[global] Ben: can you hear me").await?;
    ann.does_not_hear("[whisper] Ben to you: psst").await?;
    assert_eq!(ann.does("unmute Ben").await?, "You have unmuted Ben.");
    ben.does("say and now?").await?;
    ann.hears("Ben says: and now?").await?;
    assert_eq!(ann.does("mute Ben").await?, "You have muted Ben.");
    assert!(ann.does("mutes").await?.contains("Ben"));
    Ok(())
}

#[tokio::test]
async fn refusals_are_in_the_servers_voice() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let too_long = format!("say {}", "x".repeat(501));
    let cases = [
        ("whisper Zed hello", "There is no player called 'Zed'."),
        ("whisper Ann hello", "You cannot whisper to yourself."),
        ("whisper Ann", "Whisper what? Usage: whisper <player> <message>"),
        ("whisper", "Usage: whisper <player> <message>"),
        ("say", "Say what?"),
        (too_long.as_str(), "Too long: at most 500 characters."),
        ("kick Ann", "You may not do that."),
        ("go south", "You cannot go that way."),
        ("lok", "There is no command 'lok'. Did you mean 'look'?"),
    ];
    for (command, text) in cases {
        assert_eq!(ann.refused(command).await?, text, "{command}");
    }
    let mut ben = Player::new(&server.api(), "Ben").await?;
    ben.does("quit").await?;
    ann.hears("Ben has left the world.").await?;
    assert_eq!(ann.refused("whisper Ben hello").await?, "Ben is not in the world.");
    Ok(())
}

#[tokio::test]
async fn too_many_whispers_are_refused_with_the_time_to_wait() -> Result<()> {
    let server = server_with_limits().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let _ben = Player::new(&server.api(), "Ben").await?;
    for _ in 0..3 {
        ann.does("whisper Ben hello").await?;
    }
    let refusal = ann.refused("whisper Ben hello").await?;
    assert!(
        refusal.starts_with("Not so fast: at most 3 whispers a minute to one player. Try again in "),
        "{refusal}"
    );
    Ok(())
}

#[tokio::test]
async fn a_lost_link_is_shown_and_what_was_missed_comes_once() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    ben.lines().await;
    let (address, secret, position) = ben.connection.resume_point();
    let session = ben.session.clone();
    drop(ben);
    ann.hears("Ben's connection is lost.").await?;
    assert!(ann.does("who").await?.contains("Ben - Main Hall (link lost)"));
    for n in 1..=20 {
        ann.does(&format!("say line {n}")).await?;
    }
    let connection =
        tidings_client::Connection::resume(elsewhere(&server, address), &secret, Some(position)).await?;
    assert!(connection.welcome().recovered, "{:?}", connection.welcome().reason);
    let name = connection.welcome().character.name.clone();
    let state = tidings_client::frames::State {
        what: tidings_client::frames::What::Room,
        position: connection.position().clone(),
        body: serde_json::Map::new(),
    };
    let mut ben = Player { name, session, connection, state };
    ann.hears("Ben is back.").await?;
    let lines = ben.lines().await;
    let said: Vec<String> = lines.into_iter().filter(|line| line.starts_with("Ann says: line ")).collect();
    let expected: Vec<String> = (1..=20).map(|n| format!("Ann says: line {n}")).collect();
    assert_eq!(said, expected);
    Ok(())
}

#[tokio::test]
async fn a_second_sign_in_takes_the_character_over() -> Result<()> {
    let server = server().start()?;
    let mut ann = Player::new(&server.api(), "Ann").await?;
    let mut again = Player::enter(&server.api(), ann.session.clone(), Some("Ann")).await?;
    let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(_));
    let ServerFrame::Bye(bye) = ann.connection.find(bye, Duration::from_secs(5)).await? else {
        unreachable!()
    };
    assert_eq!((bye.code, bye.reconnect), (4001, false));
    assert_eq!(again.does("say still me").await?, "You say: still me");
    assert_eq!(again.does("who").await?, "Online: 1\nAnn - Main Hall");
    Ok(())
}
