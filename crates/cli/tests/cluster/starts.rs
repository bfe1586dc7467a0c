//! Starts that cannot be, each with a word that helps.

use std::process::{Command, Stdio};

use anyhow::Result;
use tidings_test_support::{NatsServer, newest_nats};

use crate::harness::process;

/// What a start says that ends at once.
fn refused(args: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--set", "log.level=error", "--data"])
        .arg(folder.path());
    let output = command.args(args).stdin(Stdio::null()).output()?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn a_stream_of_another_form_is_told_and_not_changed() -> Result<()> {
    let nats = NatsServer::start(newest_nats())?;
    let mut keeper = process(&nats, "zone,services").start()?;
    keeper.stop()?;
    let told = refused(&["--nats", &nats.url(), "--roles", "edge", "--set", "nats.replicas=3"])?;
    for part in ["num_replicas is 1, declared is 3", "not changed", "'nats.replicas' has to be as it was"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // As it was, it serves again.
    keeper.restart()?;
    keeper.stop()
}

#[test]
fn no_server_is_told() -> Result<()> {
    let told = refused(&["--nats", "nats://127.0.0.1:1", "--roles", "zone,services"])?;
    assert!(
        told.contains("no connection to NATS at nats://127.0.0.1:1") && told.contains("--nats"),
        "{told}"
    );
    Ok(())
}

#[test]
fn who_is_not_let_in_is_told_by_the_setting_and_without_the_secret() -> Result<()> {
    let nats = NatsServer::start_with(newest_nats(), "authorization { user: ann, password: right }", &[])?;
    let (url, roles) = (nats.url(), ["--roles", "edge"]);
    let wrong = ["--nats", &url, "--set", "nats.user=ann", "--set", "nats.password=hidden"];
    let told = refused(&[&wrong[..], &roles].concat())?;
    assert!(told.contains("'nats.user' and 'nats.password_file'") && !told.contains("hidden"), "{told}");
    let told = refused(&[&["--nats", &url][..], &roles].concat())?;
    assert!(told.contains("wants to know who this is"), "{told}");
    let told =
        refused(&[&["--nats", &url, "--set", "nats.credentials_file=none.creds"][..], &roles].concat())?;
    assert!(told.contains("'nats.credentials_file': cannot read none.creds"), "{told}");
    Ok(())
}
