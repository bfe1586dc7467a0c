//! What the command line takes away from an account, its open sockets feel within a second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tidings_client::frames::ServerFrame;
use tidings_test_support::{Player, Server, ServerBuilder};

fn server() -> Result<Server> {
    ServerBuilder::new(env!("CARGO_BIN_EXE_tidings")).set("log.level", "warn").without_limits().start()
}

/// Runs `tidings user ...` beside the server.
fn user(server: &Server, args: &[&str], input: &str) -> Result<()> {
    use std::io::Write;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.arg("user").args(args).arg("--data").arg(server.data());
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
    ensure!(child.wait()?.success(), "{args:?}");
    Ok(())
}

/// The close code and reason that the player is sent away with, and how long it took.
async fn sent_away(player: &mut Player, since: Instant) -> Result<(u16, String)> {
    let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(_));
    let ServerFrame::Bye(bye) = player.connection.find(bye, Duration::from_secs(5)).await? else {
        bail!("not a bye")
    };
    ensure!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    ensure!(!bye.reconnect, "{bye:?}");
    Ok((bye.code, bye.reason))
}

#[tokio::test]
async fn a_ban_sends_away_keeps_out_and_can_be_lifted() -> Result<()> {
    let server = server()?;
    let api = server.api();
    let mut ann = Player::new(&api, "Ann").await?;
    let mut ben = Player::new(&api, "Ben").await?;
    user(&server, &["ban", "ann-account", "--reason", "Shouting at the goose."], "")?;
    let (_, reason) = sent_away(&mut ann, Instant::now()).await?;
    assert_eq!(reason, "Shouting at the goose.");
    assert!(api.sign_in("ann-account", "correct horse Ann").await.is_err());
    ben.does("say The other goes on.").await?;
    user(&server, &["ban", "ann-account", "--lift"], "")?;
    let session = api.sign_in("ann-account", "correct horse Ann").await?;
    Player::enter(&api, session, Some("Ann")).await?.does("look").await?;
    Ok(())
}

#[tokio::test]
async fn a_new_password_a_new_role_and_removal_end_sessions() -> Result<()> {
    let server = server()?;
    let api = server.api();
    let mut ann = Player::new(&api, "Ann").await?;
    user(&server, &["password", "ann-account", "--password-stdin"], "another horse\n")?;
    sent_away(&mut ann, Instant::now()).await?;
    assert!(api.sign_in("ann-account", "correct horse Ann").await.is_err(), "the old password");

    let session = api.sign_in("ann-account", "another horse").await?;
    let mut ann = Player::enter(&api, session, Some("Ann")).await?;
    assert_eq!(ann.refused("system Hello.").await?, "You may not do that.");
    user(&server, &["role", "ann-account", "moderator"], "")?;
    sent_away(&mut ann, Instant::now()).await?;

    let session = api.sign_in("ann-account", "another horse").await?;
    let mut ann = Player::enter(&api, session, Some("Ann")).await?;
    ann.does("system Hello.").await?;
    user(&server, &["remove", "ann-account"], "")?;
    sent_away(&mut ann, Instant::now()).await?;
    assert!(api.sign_in("ann-account", "another horse").await.is_err());
    Ok(())
}
