//! Every metric of the crate is in the README's table, and no other.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

fn names(text: &str, open: char) -> BTreeSet<String> {
    let start = format!("{open}tidings_bus_");
    text.match_indices(&start).map(|(at, _)| text[at + 1..].split(open).next().unwrap().to_owned()).collect()
}

fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.append(&mut names(&std::fs::read_to_string(path).unwrap(), '"'));
        }
    }
}

#[test]
fn the_table_holds_every_metric() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    sources(&folder.join("src"), &mut used);
    let documented = names(&std::fs::read_to_string(folder.join("README.md")).unwrap(), '`');
    assert!(used.len() > 10);
    assert_eq!(used, documented);
}
