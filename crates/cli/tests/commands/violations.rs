//! `tidings violations`: staff see who went over a limit.

use std::process::Command;

use anyhow::{Result, ensure};
use tidings_test_support::ServerBuilder;

use crate::harness::Place;

#[test]
fn without_a_server_there_is_nobody_to_ask() {
    let place = Place::new();
    let ran = place.run(&["violations", "--data", "data"]).ends(1);
    assert!(ran.err.contains("no server runs on the data folder data"), "{ran:?}");
}

#[tokio::test]
async fn who_went_over_a_limit_is_listed_for_staff() -> Result<()> {
    let server = ServerBuilder::new(env!("CARGO_BIN_EXE_tidings"))
        .set("log.level", "warn")
        .without_limits()
        .set("limits.sign_ins_per_minute_per_address", 2)
        .set("limits.commands_per_minute", 1)
        .set("limits.burst", 2)
        .start()?;
    let list = |more: &[&str]| -> Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        let output = command.arg("violations").arg("--data").arg(server.data()).args(more).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    assert_eq!(list(&[])?, "Nobody has gone over a limit since the server started.\n");
    let api = server.api();
    let mut ann = tidings_test_support::Player::new(&api, "Ann").await?;
    for _ in 0..3 {
        let _ = ann.connection.command("look").await;
    }
    for _ in 0..5 {
        assert!(api.sign_in("nobody-here", "wrong horse").await.is_err());
    }
    let told: serde_json::Value = serde_json::from_str(&list(&["--json"])?)?;
    let [address, account] = told["violations"].as_array().expect("a list").as_slice() else {
        panic!("{told}")
    };
    assert_eq!((&address["limit"], &address["outcome"]), (&"sign_ins".into(), &"refused".into()));
    assert_eq!((&address["who"], &address["count"]), (&"127.0.0.1".into(), &4.into()), "one was Ann's");
    assert_eq!((&account["limit"], &account["username"]), (&"commands".into(), &"ann-account".into()));
    let shown = list(&[])?;
    assert!(shown.contains("4 x  127.0.0.1\n") && shown.contains("1 x  ann-account\n"), "{shown}");
    Ok(())
}
