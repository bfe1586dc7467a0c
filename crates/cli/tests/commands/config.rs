//! `tidings config`: what is in force and where each value came from.

use crate::harness::Place;

#[test]
fn each_value_says_where_it_came_from() {
    let place = Place::new();
    let file = place.write("my.toml", "guests = false\n\n[limits]\nburst = 3\n");
    let args =
        ["config", "--config", "my.toml", "--listen", "127.0.0.1:7", "--set", "limits.burst=4", "--json"];
    let mut command = place.command(&args);
    command.env("TIDINGS_LOCALE", "de");
    let output = command.output().expect("the binary");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (key, value, from) in [
        ("listen", serde_json::json!("127.0.0.1:7"), "--listen"),
        ("guests", serde_json::json!(false), "my.toml:1"),
        ("limits.burst", serde_json::json!(4), "--set limits.burst"),
        ("locale", serde_json::json!("de"), "TIDINGS_LOCALE"),
        ("limits.say_per_minute", serde_json::json!(15), "default"),
    ] {
        assert_eq!((&json[key]["value"], json[key]["from"].as_str()), (&value, Some(from)), "{key}");
    }
    assert!(file.exists() && !place.data().exists(), "looking changes nothing");
}

/// What is printed can be the file of the next start: keys with a table's name before them, as TOML reads them.
#[test]
fn what_is_printed_can_be_used_as_a_file() {
    let place = Place::new();
    let printed = place.run(&["config", "--set", "limits.burst=9", "--set", "proxy.trusted=::1"]).ends(0).out;
    assert!(printed.contains("limits.burst = 9    # --set limits.burst"), "{printed}");
    place.write("tidings.toml", &printed);
    let again = place.run(&["config", "--json"]).ends(0).json();
    assert_eq!(again["limits.burst"]["value"], 9);
    assert_eq!(again["proxy.trusted"]["value"], serde_json::json!(["::1"]));
}

#[test]
fn a_running_server_tells_what_is_in_force_in_it() {
    let place = Place::new();
    let server = place.serve(&["--set", "limits.burst=7"]);
    let ask =
        |more: &[&str]| place.run(&[&["config", "--data", "data", "--json"], more].concat()).ends(0).json();
    assert_eq!(ask(&[])["limits.burst"]["value"], 7);
    assert_eq!(ask(&["--local"])["limits.burst"]["value"], 20);
    assert!(place.run(&["config", "--data", "data"]).out.starts_with("# In force in the running server."));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(ask(&[])["limits.burst"]["value"], 20);
}

#[test]
fn mistakes_are_told_with_the_line() {
    let place = Place::new();
    place.write("tidings.toml", "guests = true\n[limits]\nbrust = 3\n");
    let ran = place.run(&["config"]).ends(2);
    assert_eq!(
        ran.err,
        "tidings: tidings.toml:3: unknown key 'limits.brust': did you mean 'limits.burst'?\n"
    );
    let missing = place.run(&["config", "--config", "none.toml"]).ends(2);
    assert!(missing.err.contains("none.toml:1: cannot be read"), "{missing:?}");
}
