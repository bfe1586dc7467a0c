//! The demo world in `worlds/lantern`: it loads without a mistake.

use std::collections::BTreeMap;
use std::path::Path;

use tidings_world::Content;

fn read(folder: &Path, inside: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder.join(inside)).expect("the folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
        if entry.file_type().expect("a type").is_dir() {
            read(folder, &path, files);
        } else {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            files.insert(path, text);
        }
    }
}

fn lantern() -> Content {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../worlds/lantern");
    let mut files = BTreeMap::new();
    read(&folder, "", &mut files);
    let checked = Content::check(&files);
    let mistakes: Vec<String> = checked.mistakes.iter().map(ToString::to_string).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    checked.content.expect("no mistake")
}

#[test]
fn it_loads_without_a_mistake() {
    let content = lantern();
    assert!(!content.rooms.is_empty());
}
