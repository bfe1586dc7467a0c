//! What the checkers found wrong, by what it is; and what there was of everything.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Examples kept of each wrong.
const EXAMPLES_MAX: usize = 5;

/// Counted from everywhere.
#[derive(Default)]
pub struct Verdict(Mutex<BTreeMap<&'static str, Wrongs>>);

#[derive(Default)]
struct Wrongs {
    count: u64,
    examples: Vec<String>,
}

impl Verdict {
    /// Something that must not be.
    pub fn wrong(&self, what: &'static str, which: impl Into<String>) {
        let mut all = self.0.lock();
        let wrongs = all.entry(what).or_default();
        wrongs.count += 1;
        if wrongs.examples.len() < EXAMPLES_MAX {
            wrongs.examples.push(which.into());
        }
    }

    /// Notes it where it is so.
    pub fn refuse(&self, is_so: bool, what: &'static str, which: impl FnOnce() -> String) {
        if is_so {
            self.wrong(what, which());
        }
    }

    /// Prints what is wrong; whether nothing is.
    pub fn print(&self) -> bool {
        let all = self.0.lock();
        for (what, Wrongs { count, examples }) in &*all {
            println!("WRONG: {what}: {count}, as {examples:?}");
        }
        all.is_empty()
    }
}
