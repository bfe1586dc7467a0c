//! `tidings subjects`: the registry as a list, and as permissions.

use crate::harness::Place;

#[test]
fn the_registry_is_listed() {
    let place = Place::new();
    let out = place.run(&["subjects"]).ends(0).out;
    let line = out.lines().find(|line| line.starts_with("room.{room:place}.log ")).expect("rooms have logs");
    for part in ["durable", "tidings.world.v1.Event", "keeps its place"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let json = place.run(&["subjects", "--json"]).ends(0).json();
    let rows = json["subjects"].as_array().expect("a list");
    assert_eq!(rows.len() + 1, out.lines().count());
    let hint = rows.iter().find(|row| row["name"] == "room.hint").expect("rooms have hints");
    assert_eq!((&hint["class"], &hint["slow_reader"]), (&"ephemeral".into(), &"loses the oldest".into()));
    assert!(rows.iter().all(|row| row["max_payload"].as_u64().is_some_and(|bytes| bytes > 0)));
}

#[test]
fn another_worlds_subjects_and_users_have_its_prefix() {
    let place = Place::new();
    let nats = ["--nats", "nats://127.0.0.1", "--set", "subject_prefix=north"];
    let out = place.run(&[&["subjects"], &nats[..]].concat()).ends(0).out;
    assert!(out.lines().skip(1).all(|line| line.starts_with("north.")), "{out}");
    let fragment = place.run(&[&["subjects", "--permissions"], &nats[..]].concat()).ends(0).out;
    for part in [
        "user: \"north-edge\", password: $NATS_NORTH_EDGE_PASSWORD",
        "\"north.room.*.log\"",
        "\"_INBOX.north.edge.>\"",
    ] {
        assert!(fragment.contains(part), "{part}: {fragment}");
    }
    assert!(!fragment.contains("\"room.*.log\"") && !fragment.contains("tidings_EVENTS"), "{fragment}");
}
