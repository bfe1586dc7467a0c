//! Every example runs to its end and says what its page promises.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each example and lines that it prints.
const EXAMPLES: [(&str, &[&str]); 5] = [
    ("batches", &["stored: 250 of north"]),
    ("durable_log", &["refused: ", "4 (after 2): A boat comes in."]),
    ("publish_subscribe", &["It turns at six.", "printer 0 heard 1", "printer 1 heard 1", "refused: "]),
    ("request", &["is left alone for", "AHOY", "phase: Closed"]),
    ("work_queue", &["dead"]),
];

/// Where cargo puts the examples that it builds along with the tests.
fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples")
}

#[test]
fn every_example_runs() {
    for (name, lines) in EXAMPLES {
        let ran = Command::new(folder().join(name)).output();
        let ran = ran.unwrap_or_else(|error| panic!("{name}: {error}; `cargo build --examples` makes it"));
        let (out, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{name}: {}\n{out}\n{errors}", ran.status);
        for line in lines {
            assert!(out.contains(line), "{name} does not say '{line}':\n{out}");
        }
    }
}

#[test]
fn none_is_left_out() {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let files: BTreeSet<_> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    // It wants a server: `moving_example` gives it one.
    let here = EXAMPLES.iter().map(|(name, _)| *name).chain(["moving_from_async_nats"]);
    assert_eq!(files, here.map(str::to_owned).collect());
}
