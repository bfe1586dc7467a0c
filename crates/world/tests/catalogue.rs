//! Every key that the rules use is in the catalogue, and every message of the catalogue is used.

use std::path::Path;

use tidings_protocol::Catalogue;

fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the crate's sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            all.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// Keys that are put together from parts.
fn is_made(key: &str) -> bool {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    matches!(first, "direction" | "to" | "from")
        || ["local", "global", "party", "staff"].iter().any(|channel| {
            rest == *channel || rest == format!("{channel}.self") || rest == format!("{channel}_what")
        })
}

#[test]
fn keys_and_messages_are_the_same() {
    let mut all = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let catalogue = Catalogue::builtin();
    let mut used = 0;
    for call in ["t(\"", "t1(\"", "t1(\n        \"", "Text::new(\""] {
        for (at, _) in all.match_indices(call) {
            let before = all[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let key = all[at + call.len()..].split('"').next().expect("a literal");
            used += 1;
            assert!(catalogue.has(key), "'{key}' is in no catalogue");
        }
    }
    assert!(used > 150, "the keys are found: {used}");
    for key in catalogue.keys("en").keys() {
        assert!(is_made(key) || all.contains(&format!("\"{key}\"")), "'{key}' is never said");
    }
}
