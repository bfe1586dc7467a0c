//! `docs/protocol.md` tells the truth: its examples are frames, and its tables are the tables.

use std::collections::BTreeSet;

use serde_json::Value;
use tidings_protocol::frames::ServerFrame;
use tidings_protocol::read::client_frame;
use tidings_protocol::{Catalogue, CloseCode, ErrorCode};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");
const DEPTH: usize = 10;

fn examples(mark: &str) -> Vec<&'static str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in DOCUMENT.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if let Some(example) = line.strip_prefix(mark)
            && inside
        {
            found.push(example);
        }
    }
    found
}

fn type_of(text: &str) -> String {
    let value: Value = serde_json::from_str(text).expect("an example is JSON");
    value["type"].as_str().expect("a type").to_owned()
}

#[test]
fn every_client_frame_has_an_example_that_reads() {
    let mut types = BTreeSet::new();
    for example in examples("> ") {
        let frame = client_frame(example.as_bytes(), DEPTH).unwrap_or_else(|e| panic!("{e}: {example}"));
        assert_eq!(serde_json::to_string(&frame).expect("json"), example);
        types.insert(type_of(example));
    }
    assert_eq!(types.into_iter().collect::<Vec<_>>(), ["command", "hello", "ping", "state"]);
}

#[test]
fn every_server_frame_has_an_example_that_reads() {
    let mut types = BTreeSet::new();
    for example in examples("< ") {
        let frame: ServerFrame = serde_json::from_str(example).unwrap_or_else(|e| panic!("{e}: {example}"));
        let (written, shown) = (serde_json::to_value(&frame), serde_json::from_str::<Value>(example));
        assert_eq!(written.expect("json"), shown.expect("json"), "nothing unknown in it");
        types.insert(type_of(example));
    }
    let all = ["bye", "error", "event", "gap", "patch", "pong", "reply", "state", "welcome"];
    assert_eq!(types.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn every_key_that_is_named_is_in_the_catalogue() {
    let catalogue = Catalogue::builtin();
    let keys: Vec<&str> =
        DOCUMENT.split("\"key\":\"").skip(1).filter_map(|after| after.split('"').next()).collect();
    assert!(keys.len() >= 3, "{keys:?}");
    for key in keys {
        assert!(catalogue.has(key), "'{key}' is in no catalogue");
    }
}

/// The rows of the table under a heading.
fn rows(heading: &str) -> Vec<&'static str> {
    let (_, section) = DOCUMENT.split_once(heading).expect("the heading");
    let table = section.lines().skip_while(|line| !line.starts_with("|---"));
    table.skip(1).take_while(|line| line.starts_with('|')).collect()
}

#[test]
fn the_tables_are_the_tables_in_the_code() {
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let errors: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| {
            format!("| `{}` | {} | {} |", code.as_str(), code.http_status(), yes(code.is_retryable()))
        })
        .collect();
    assert_eq!(rows("## Error codes"), errors, "expected:\n{}", errors.join("\n"));
    let closes: Vec<String> = CloseCode::ALL
        .iter()
        .map(|code| format!("| {} | {} | {} |", code.code(), yes(code.reconnects()), code.reason()))
        .collect();
    assert_eq!(rows("## Close codes"), closes, "expected:\n{}", closes.join("\n"));
}
