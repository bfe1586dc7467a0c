//! Staff: what they may do, and what others may not.

use std::time::Duration;

use anyhow::Result;
use std::process::Command;
use tidings_client::frames::ServerFrame;
use tidings_test_support::Player;

use super::{World, server};

/// Gives an account a role, through the running server, as an operator would.
fn promote(server: &World, username: &str, role: &str) -> Result<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["user", "role", username, "--role", role, "--data"])
        .arg(server.data())
        .status()?;
    anyhow::ensure!(status.success(), "tidings user role ended with {status}");
    Ok(())
}

/// A player who may do everything.
async fn admin(server: &World, name: &str) -> Result<Player> {
    let api = server.api();
    drop(Player::new(&server.api(), name).await?);
    let account = format!("{}-account", name.to_lowercase());
    promote(server, &account, "admin")?;
    let session = api.sign_in(&account, &format!("correct horse {name}")).await?;
    Player::enter(&api, session, Some(name)).await
}

#[tokio::test]
async fn staff_teleport_kick_and_are_heard_by_those_who_muted_them() -> Result<()> {
    let server = server().start()?;
    let mut ann = admin(&server, "Ann").await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;

    ben.does("mute Ann").await?;
    ann.does("system The tide is in.").await?;
    ben.hears("[system] The tide is in.").await?;
    ben.does("unmute Ann").await?;

    assert_eq!(ben.refused("teleport Ann east").await?, "You may not do that.");
    assert_eq!(ann.does("teleport Ben east").await?, "You send Ben to the east.");
    ben.hears("Ann sends you to the east.").await?;
    assert_eq!(ben.sees_room().await?.body["room"]["name"], "Garden");

    ann.does("kick Ben").await?;
    let bye = |frame: &ServerFrame| matches!(frame, ServerFrame::Bye(_));
    let since = std::time::Instant::now();
    let ServerFrame::Bye(bye) = ben.connection.find(bye, Duration::from_secs(5)).await? else {
        unreachable!()
    };
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    assert_eq!((bye.code, bye.reconnect), (4004, false));
    Ok(())
}

#[tokio::test]
async fn a_shutdown_is_cancelled_from_another_zone() -> Result<()> {
    let server = server().start()?;
    let mut ann = admin(&server, "Ann").await?;
    let mut cat = admin(&server, "Cat").await?;
    cat.does("goto woods_brook").await?;
    cat.sees_room().await?;
    assert_eq!(cat.refused("shutdown cancel").await?, "There is no shutdown to cancel.");
    ann.does("shutdown 90").await?;
    cat.hears("[system] The server goes down in 90 seconds.").await?;
    assert_eq!(cat.does("shutdown cancel").await?, "You have cancelled the shutdown.");
    ann.hears("[system] The shutdown is cancelled.").await?;
    assert_eq!(ann.refused("shutdown cancel").await?, "There is no shutdown to cancel.");
    // The direction is read in the zone it is done in.
    cat.does("goto woods_glade").await?;
    cat.sees_room().await?;
    let mut ben = Player::new(&server.api(), "Ben").await?;
    ben.does("east").await?;
    ben.sees_room().await?;
    ben.does("north").await?;
    ben.sees_room().await?;
    cat.hears("Ben arrives from the south.").await?;
    ann.does("teleport Ben north").await?;
    ben.hears("Ann sends you to the north.").await?;
    cat.hears("Ben leaves to the north.").await?;
    Ok(())
}
