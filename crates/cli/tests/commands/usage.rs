//! What is typed wrongly is told, with exit code 2; help and version teach.

use crate::harness::Place;

#[test]
fn wrong_use_is_told_and_ends_with_2() {
    let place = Place::new();
    for args in [
        &["bogus"][..],
        &["serve", "--bogus"],
        &["user"],
        &["user", "add"],
        &["user", "add", "ann", "--role", "queen"],
        &["user", "role", "ann"],
        &["user", "role", "ann", "admin", "--role", "player"],
        &["user", "ban", "ann", "--minutes", "0"],
        &["user", "ban", "ann", "--lift", "--minutes", "5"],
        &["user", "list", "--data", "a", "--database", "b"],
        &["world", "check"],
        &["--listen", "127.0.0.1:0", "user", "list"],
    ] {
        let ran = place.run(args).ends(2);
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{args:?}: {ran:?}");
    }
    assert!(!place.data().exists(), "wrong use leaves nothing behind");
}

#[test]
fn mistakes_of_the_configuration_are_told_together_and_end_with_2() {
    let place = Place::new();
    let args = ["serve", "--listen", "nowhere", "--nats", "x", "--set", "limits.brst=1", "--data", "data"];
    let ran = place.run(&args).ends(2);
    assert_eq!(
        ran.err.lines().collect::<Vec<_>>(),
        [
            "tidings: --listen: 'listen' takes an address and a port, as in 127.0.0.1:4000, not 'nowhere'",
            "tidings: --nats: 'nats.servers' takes addresses as in tls://nats.example or nats://10.0.0.1:4222, without a user or a password: those are 'nats.user' with 'nats.password_file', or 'nats.token_file'",
            "tidings: --set limits.brst: unknown key 'limits.brst': did you mean 'limits.burst'?",
        ]
    );
    assert!(!place.data().exists(), "nothing is opened before the configuration is right");
}

#[test]
fn an_edges_configuration_makes_no_data_folder() {
    let place = Place::new();
    place.write("tidings.toml", "roles = [\"edge\"]\nnats.servers = [\"nats://127.0.0.1:1\"]\n");
    let ran = place.run(&["user", "add", "ann", "--data", "data"]).ends(1);
    assert!(ran.err.contains("run this where 'services' runs"), "{ran:?}");
    let ran = place.run(&["serve", "--listen", "127.0.0.1:0", "--data", "data"]).ends(1);
    assert!(ran.err.contains("no connection to NATS at nats://127.0.0.1:1"), "{ran:?}");
    assert!(ran.err.contains("'nats.servers' (--nats)"), "{ran:?}");
    assert!(!place.data().exists(), "an edge keeps nothing");
}

#[test]
fn help_teaches_and_the_version_is_told() {
    let place = Place::new();
    let help = place.run(&["--help"]).ends(0).out;
    for word in ["serve", "user", "world", "config", "--listen", "tidings world check", "Exit codes"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(place.run(&["user", "ban", "--help"]).ends(0).out.contains("--minutes"));
    assert!(place.run(&["--version"]).ends(0).out.starts_with("tidings "));
}

#[test]
fn production_refuses_a_start_that_is_not_safe() {
    let place = Place::new();
    let ran = place.run(&["--profile", "production", "--listen", "0.0.0.0:0", "--data", "data"]).ends(2);
    assert!(ran.err.contains("allow.plaintext_http = true"), "{ran:?}");
    assert!(!place.data().exists());
}
