//! The examples of `docs/worlds.md`: what is printed there loads, and what it calls wrong is answered as it says.

use std::collections::BTreeMap;

use tidings_world::Content;

/// A fenced block: what follows the fence, and the lines in it.
struct Block {
    head: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/worlds.md");
    let doc = std::fs::read_to_string(path).expect("docs/worlds.md");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in doc.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(head), None) => open = Some(Block { head: head.to_owned(), text: String::new() }),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The files that the doc's examples make up, in the order they are printed.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::<String, String>::new();
    for block in blocks() {
        if let Some(file) = block.head.strip_prefix("toml ").filter(|file| !file.starts_with("wrong ")) {
            files.entry(file.to_owned()).or_default().push_str(&block.text);
        }
    }
    files
}

#[test]
fn the_examples_are_a_world() {
    let checked = Content::check(&files());
    assert_eq!(checked.mistakes, []);
    let content = checked.content.expect("no mistake");
    assert_eq!((content.zones.len(), content.rooms.len(), content.npcs.len()), (2, 5, 1));
}

#[test]
fn mistakes_are_answered_as_the_doc_says() {
    let blocks = blocks();
    let mut seen = 0;
    for pair in blocks.windows(2) {
        let Some(file) = pair[0].head.strip_prefix("toml wrong ") else { continue };
        let mut files = files();
        files.entry(file.to_owned()).or_default().push_str(&pair[0].text);
        let found: Vec<String> = Content::check(&files).mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("\n"), pair[1].text.trim_end());
        seen += 1;
    }
    assert_eq!(seen, 1);
}
