//! Rules about files: each opens by saying what it is, and is one thing of a size to be read.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{output, root};

/// Longest source file, in lines; tests may be longer.
const LINES_MAX: usize = 500;

fn tracked(pattern: &str) -> Result<Vec<String>> {
    let list = output(Command::new("git").args(["ls-files", "--", pattern]).current_dir(root()))?;
    Ok(list.lines().map(str::to_owned).filter(|file| root().join(file).is_file()).collect())
}

/// Asks each source file to open with a comment that says what it is.
pub fn headers(breaches: &mut Vec<String>) -> Result<()> {
    for (pattern, marks) in
        [("*.rs", ["//!", "//!"]), ("*.js", ["//", "/*"]), ("*.mjs", ["//", "/*"]), ("*.css", ["/*", "/*"])]
    {
        for file in tracked(pattern)? {
            let text = fs::read_to_string(root().join(&file)).with_context(|| file.clone())?;
            if !marks.iter().any(|mark| text.starts_with(mark)) {
                breaches.push(format!("{file}:1: says not what it is"));
            }
        }
    }
    Ok(())
}

/// Refuses files that have grown to more than one thing.
pub fn lengths(breaches: &mut Vec<String>) -> Result<()> {
    for file in tracked("*.rs")?.into_iter().filter(|file| !file.contains("/tests/")) {
        let lines = fs::read_to_string(root().join(&file)).with_context(|| file.clone())?.lines().count();
        if lines > LINES_MAX {
            breaches.push(format!("{file}: {lines} lines, at most {LINES_MAX}"));
        }
    }
    Ok(())
}
