//! The suite, run against each backend, and what only a file can show: that it survives.

mod suite;

use std::path::{Path, PathBuf};
use std::process::Command;

use suite::{NOW, account_id, character_id, new_account, new_character};
use tidings_storage::{ErrorKind, Mute, Record, Secret, Stamp, Store};

/// A store in a file, and the folder that goes with it.
async fn file_store() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Store::sqlite(&folder.path().join("tidings.db")).await.expect("a store"), folder)
}

async fn memory_store() -> (Store, ()) {
    (Store::memory().await.expect("a store"), ())
}

backend_suite!(sqlite_file, crate::file_store);
backend_suite!(sqlite_memory, crate::memory_store);

fn database() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tidings.db");
    (folder, path)
}

#[tokio::test]
async fn what_was_kept_is_there_when_it_is_opened_again() {
    let (_folder, path) = database();
    let mute = Mute {
        account: account_id(1),
        target: Some(account_id(2)),
        channel: String::new(),
        name: "Ben".to_owned(),
        until_ms: None,
        reason: String::new(),
    };
    {
        let store = Store::sqlite(&path).await.expect("a store");
        store.create_account(&new_account(1, "ann")).await.expect("kept");
        store.create_character(&new_character(1, 1, "Ann"), 5).await.expect("kept");
        let place = Record::Character {
            id: character_id(1),
            room: "harbour_quay".parse().expect("a room"),
            state: "{}".to_owned(),
        };
        let records = [place, Record::Mute { mute: mute.clone(), removed: false }];
        store.apply(&Stamp { epoch: "e".to_owned(), seq: 3 }, &records).await.expect("kept");
        store.secret("key", &Secret::new(vec![7])).await.expect("kept");
        store.close().await;
        assert_eq!(store.ping().await.expect_err("closed").kind(), ErrorKind::Closed);
    }
    let store = Store::sqlite(&path).await.expect("a store");
    let ann = store.character(character_id(1)).await.expect("an answer").expect("a character");
    assert_eq!(ann.room.map(|room| room.to_string()).as_deref(), Some("harbour_quay"));
    assert_eq!(store.mutes(account_id(1), NOW).await.expect("mutes"), [mute]);
    assert_eq!(store.secret("key", &Secret::new(vec![8])).await.expect("a secret").expose(), &vec![7]);
    store.close().await;
}

/// Run by the test below in a process of its own: writes until it is killed, saying each number once it is kept.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os("TIDINGS_TEST_WRITE_TO") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::sqlite(Path::new(&path)).await.expect("a store");
        for n in 0..u128::MAX {
            store.create_account(&new_account(n, &format!("name.{n}x"))).await.expect("kept");
            println!("kept {n}.");
        }
    });
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    use std::io::BufRead as _;
    let (_folder, path) = database();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["writes_until_it_is_killed", "--exact", "--nocapture"])
        .env("TIDINGS_TEST_WRITE_TO", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    let output = std::io::BufReader::new(child.stdout.take().expect("its output"));
    let numbers = output.lines().map_while(Result::ok).filter_map(|line| {
        line.split_once("kept ").and_then(|(_, n)| n.trim_end_matches('.').parse::<u128>().ok())
    });
    let last = numbers.take(40).last().expect("it wrote");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(last >= 39, "it wrote {last}");
    let store = Store::sqlite(&path).await.expect("it opens");
    for n in 0..=last {
        assert!(store.account(account_id(n)).await.expect("an answer").is_some(), "{n} was kept");
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let (_folder, path) = database();
    std::fs::write(&path, "not a database, but long enough to have a header of a hundred bytes".repeat(9))
        .expect("a file");
    let error = Store::sqlite(&path).await.expect_err("refused");
    assert!(!format!("{error}").is_empty());
    assert_eq!(std::fs::read(&path).expect("the file").len(), 67 * 9, "left as it was");
    let error = Store::sqlite(Path::new("/nowhere/at/all.db")).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Connection);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = database();
    let store = Store::sqlite(&path).await.expect("a store");
    assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    store.close().await;
}

#[tokio::test]
async fn no_secret_shows() {
    let account = new_account(1, "ann");
    let (store, ()) = memory_store().await;
    store.create_account(&account).await.expect("kept");
    let credentials = store.credentials("ann").await.expect("an answer");
    let error = store.create_account(&account).await.expect_err("taken");
    for text in [
        format!("{account:?}"),
        format!("{credentials:?}"),
        format!("{error} {error:?}"),
        format!("{store:?}"),
    ] {
        assert!(!text.contains("argon2"), "{text}");
    }
}
