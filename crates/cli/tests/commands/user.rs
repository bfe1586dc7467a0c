//! `tidings user`, each verb with a running server and without one: the outcome is the same.

use serde_json::json;

use crate::harness::{Place, Server};

/// Runs the check without a server, then with one.
fn both(check: impl Fn(&Place)) {
    check(&Place::new());
    let place = Place::new();
    let server: Server = place.serve(&[]);
    check(&place);
    assert_eq!(server.stop(), Some(0));
}

/// The account as `user list` shows it.
fn listed(place: &Place, name: &str) -> Option<serde_json::Value> {
    let list = place.user(&["list", "--json"]).ends(0).json();
    list["accounts"].as_array().expect("a list").iter().find(|account| account["username"] == name).cloned()
}

#[test]
fn add_makes_an_account_with_a_role_and_a_password() {
    both(|place| {
        let ran = place
            .user_with("correct horse\n", &["add", "ann", "--role", "admin", "--password-stdin"])
            .ends(0);
        assert_eq!(ran.out, "The account 'ann' is made, as admin.\n");
        assert_eq!(listed(place, "ann").expect("ann")["role"], "admin");

        let ran = place.user(&["add", "ben", "--json"]).ends(0).json();
        assert_eq!((&ran["username"], &ran["role"]), (&json!("ben"), &json!("player")));
        assert_eq!(ran["password"].as_str().expect("made up").len(), 20);
        assert_ne!(place.user(&["add", "cat", "--json"]).json()["password"], ran["password"]);

        let again = place.user(&["add", "Ann"]).ends(1);
        assert!(again.err.starts_with("tidings: ") && again.out.is_empty(), "{again:?}");
        for bad in ["", "a", "a b", "x\u{202e}y"] {
            place.user(&["add", bad]).ends(1);
        }
        let short = place.user_with("short\n", &["add", "dan", "--password-stdin"]).ends(1);
        assert!(short.err.contains("at least 8 characters"), "{short:?}");
        place.user_with("", &["add", "dan", "--password-stdin"]).ends(1);
        assert!(listed(place, "dan").is_none());
    });
}

#[test]
fn list_shows_everyone_in_order() {
    both(|place| {
        let _made = place.user(&["add", "first"]).ends(0);
        for name in ["zoe", "ann", "mia"] {
            place.user(&["add", name]).ends(0);
        }
        let ran = place.user(&["list"]).ends(0);
        let names: Vec<&str> = ran.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["ann", "first", "mia", "zoe"]);
        assert!(ran.out.contains("player") && ran.out.contains("since 20"), "{ran:?}");
    });
}

#[test]
fn role_changes_what_an_account_may_do() {
    both(|place| {
        place.user(&["add", "ann"]).ends(0);
        assert_eq!(place.user(&["role", "ann", "moderator"]).ends(0).out, "'ann' is moderator now.\n");
        assert_eq!(listed(place, "ann").expect("ann")["role"], "moderator");
        place.user(&["role", "ann", "--role", "builder"]).ends(0);
        assert_eq!(listed(place, "ann").expect("ann")["role"], "builder");
        let missing = place.user(&["role", "nobody", "admin"]).ends(1);
        assert_eq!(missing.err, "tidings: There is no account of that name.\n");
    });
}

#[test]
fn password_is_changed_from_standard_input_or_made_up() {
    both(|place| {
        place.user(&["add", "ann"]).ends(0);
        let ran = place.user_with("another horse\r\n", &["password", "ann", "--password-stdin"]).ends(0);
        assert_eq!(ran.out, "The password of 'ann' is changed.\n");
        let made_up = place.user(&["password", "ann"]).ends(0);
        assert!(made_up.out.contains("shown this once: "), "{made_up:?}");
        place.user_with("short", &["password", "ann", "--password-stdin"]).ends(1);
        place.user(&["password", "nobody"]).ends(1);
    });
}

#[test]
fn ban_keeps_out_and_lift_lets_in() {
    both(|place| {
        place.user(&["add", "ann"]).ends(0);
        let ran = place.user(&["ban", "ann", "--minutes", "5", "--reason", "shouting"]).ends(0);
        assert_eq!(ran.out, "'ann' is banned for 5 minutes.\n");
        assert_eq!(listed(place, "ann").expect("ann")["banned"], true);
        assert_eq!(place.user(&["ban", "ann", "--lift", "--json"]).ends(0).json()["banned"], false);
        assert_eq!(listed(place, "ann").expect("ann")["banned"], false);
        assert_eq!(place.user(&["ban", "ann"]).ends(0).out, "'ann' is banned for good.\n");
        place.user(&["ban", "nobody"]).ends(1);
    });
}

#[test]
fn remove_takes_the_account_away() {
    both(|place| {
        place.user(&["add", "ann"]).ends(0);
        assert_eq!(place.user(&["remove", "ann"]).ends(0).out, "'ann' is removed.\n");
        assert!(listed(place, "ann").is_none());
        place.user(&["remove", "ann"]).ends(1);
    });
}

#[test]
fn what_was_done_beside_a_server_is_there_for_the_next_one() {
    let place = Place::new();
    place.user(&["add", "ann", "--role", "admin"]).ends(0);
    let server = place.serve(&[]);
    assert_eq!(listed(&place, "ann").expect("ann")["role"], "admin");
    place.user(&["add", "ben"]).ends(0);
    server.kill();
    assert!(place.socket().exists(), "a killed server leaves its socket");
    assert!(listed(&place, "ben").is_some(), "and the next command holds the folder itself");
    let server = place.serve(&[]);
    assert!(listed(&place, "ben").is_some());
    assert_eq!(server.stop(), Some(0));
    assert!(!place.socket().exists());
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let place = Place::new();
    place.user(&["add", "first"]).ends(0);
    let names = ["ann", "ben", "cat", "dan"];
    let children =
        names.map(|name| place.command(&["user", "add", name, "--data", "data"]).spawn().expect("it"));
    for child in children {
        assert!(child.wait_with_output().expect("an end").status.success());
    }
    for name in names {
        assert!(listed(&place, name).is_some(), "{name}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_made_for_add_alone() {
    let place = Place::new();
    for args in [&["list"][..], &["role", "ann", "admin"], &["remove", "ann"]] {
        let ran = place.user(args).ends(1);
        assert!(ran.err.contains("there is no data folder at data"), "{ran:?}");
    }
    assert!(!place.data().exists());
    place.user(&["add", "ann"]).ends(0);
    assert!(place.data().is_dir());
}

#[test]
fn the_folder_may_be_named_by_the_environment_or_a_file_and_may_have_a_long_path() {
    let place = Place::new();
    place.write("tidings.toml", "data = 'from-file'");
    place.run(&["user", "add", "ann"]).ends(0);
    assert!(place.path().join("from-file/tidings.db").is_file());
    let long = format!("{}/{}", "long".repeat(30), "longer".repeat(30));
    let add = |args: &[&str]| {
        let child = place.command(args).env("TIDINGS_DATA", &long).spawn().expect("the binary");
        child.wait_with_output().expect("an end").status.success()
    };
    assert!(add(&["user", "add", "ann"]));
    assert!(place.path().join(&long).join("tidings.db").is_file());
    place.run(&["user", "list", "--database", "postgres://x"]).ends(2);
}
