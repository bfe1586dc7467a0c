//! Staff: what they may do, and what others may not.

use std::time::Duration;

use anyhow::Result;
use std::process::Command;
use tidings_client::frames::ServerFrame;
use tidings_test_support::{Player, Server};

use super::server;

/// Gives an account a role, through the running server, as an operator would.
fn promote(server: &Server, username: &str, role: &str) -> Result<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["user", "role", username, "--role", role, "--data"])
        .arg(server.data())
        .status()?;
    anyhow::ensure!(status.success(), "tidings user role ended with {status}");
    Ok(())
}

#[tokio::test]
async fn staff_teleport_kick_and_are_heard_by_those_who_muted_them() -> Result<()> {
    let server = server().start()?;
    let api = server.api();
    let ann = Player::new(&api, "Ann").await?;
    promote(&server, "ann-account", "admin")?;
    let session = api.sign_in("ann-account", "correct horse Ann").await?;
    drop(ann);
    let mut ann = Player::enter(&api, session, Some("Ann")).await?;
    let mut ben = Player::new(&api, "Ben").await?;

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
