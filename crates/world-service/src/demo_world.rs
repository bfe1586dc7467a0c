//! The demo world, in the binary: the text files of `worlds/lantern`. A debug build reads them from the source tree.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../worlds/lantern"]
struct Files;

/// Its files by path inside its folder, as `tidings_world::Content::load` takes them.
pub fn files() -> BTreeMap<String, String> {
    let read = |path: std::borrow::Cow<'static, str>| {
        let file = Files::get(&path)?;
        Some((path.replace('\\', "/"), String::from_utf8_lossy(&file.data).into_owned()))
    };
    Files::iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_demo_world_is_in_the_binary_and_loads() {
        let files = super::files();
        assert!(files.contains_key("zones/harbour.toml"), "{:?}", files.keys());
        let checked = tidings_world::Content::check(&files);
        assert_eq!(checked.mistakes, []);
        assert!(checked.content.is_some());
    }
}
