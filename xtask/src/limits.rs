//! `cargo xtask limits`: `docs/limits.md`, its tables made from the constants themselves. `cargo xtask tidy` fails
//! where they differ, or where a counter or test that the page names is not there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{output, root, say};

const PAGE: &str = "docs/limits.md";
const MARK: &str = "<!-- From here on made by `cargo xtask limits` from the constants. -->";
/// Endings of the names of constants that are bounds.
const ENDINGS: [&str; 6] = ["_MAX", "_BYTES", "_CHARS", "_DEPTH", "_DEADLINE", "_DEFAULT"];

/// A constant that bounds something.
struct Bound {
    file: String,
    name: String,
    value: String,
    why: String,
}

/// Writes the tables.
pub fn run() -> Result<()> {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| PAGE.to_owned())?;
    fs::write(&path, renewed(&page)?).with_context(|| PAGE.to_owned())?;
    say("wrote docs/limits.md");
    Ok(())
}

/// Names what is out of date on the page.
pub fn check(breaches: &mut Vec<String>) -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE)).with_context(|| PAGE.to_owned())?;
    if renewed(&page)? != page {
        breaches.push(format!("{PAGE}: not as the constants are; run `cargo xtask limits`"));
    }
    for line in page.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |")) {
        breaches.push(format!("{PAGE}: a bound says no reason: {line}"));
    }
    let mut sources = String::new();
    for file in rust_files()? {
        sources += &fs::read_to_string(root().join(&file)).with_context(|| file.clone())?;
    }
    let (written, _) = page.split_once(MARK).unwrap_or((&page, ""));
    for word in written.split('`').skip(1).step_by(2) {
        let named = word.split_once('{').map_or(word, |(name, _)| name);
        let is_name = named.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if is_name && named.contains('_') && !sources.contains(named) {
            breaches.push(format!("{PAGE}: nothing is called `{named}`"));
        }
    }
    Ok(())
}

fn renewed(page: &str) -> Result<String> {
    let Some((written, _)) = page.split_once(MARK) else { bail!("{PAGE}: the mark is missing: {MARK}") };
    Ok(format!("{written}{MARK}\n{}", tables()?))
}

fn rust_files() -> Result<Vec<String>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "crates/*.rs"];
    let list = output(Command::new("git").args(list).current_dir(root()))?;
    let mut files: Vec<String> = list.lines().map(str::to_owned).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

fn tables() -> Result<String> {
    let mut crates: BTreeMap<String, Vec<Bound>> = BTreeMap::new();
    for file in rust_files()? {
        let Some((name, within)) = file.strip_prefix("crates/").and_then(|rest| rest.split_once("/src/"))
        else {
            continue;
        };
        if within.contains("tests") || name == "test-support" {
            continue;
        }
        let text = fs::read_to_string(root().join(&file)).with_context(|| file.clone())?;
        crates.entry(name.to_owned()).or_default().extend(bounds(within, &text));
    }
    let mut out = String::new();
    for (name, bounds) in crates.iter().filter(|(_, bounds)| !bounds.is_empty()) {
        let _ = write!(out, "\n## {name}\n\n| constant | value | what and why |\n|---|---|---|\n");
        for Bound { file, name, value, why } in bounds {
            let _ = writeln!(out, "| `{name}`<br>{file} | {value} | {why} |");
        }
    }
    Ok(out)
}

/// The bounds of one file: a name with one of the endings, its value, and the comment above it.
fn bounds(file: &str, text: &str) -> Vec<Bound> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with("mod tests {")) {
        if let Some(words) = line.strip_prefix("///").or_else(|| line.strip_prefix("//")) {
            comment.push(words.trim());
            continue;
        }
        if let Some((name, value)) = constant(line)
            && ENDINGS.iter().any(|ending| name.ends_with(ending))
            && value != name
        {
            let why = comment.join(" ").replace('|', "\\|");
            found.push(Bound { file: file.to_owned(), name: name.to_owned(), value: shown(value), why });
        }
        comment.clear();
    }
    found
}

/// `const NAME: TYPE = VALUE;`, public or not.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (before, rest) = line.split_once("const ")?;
    let plain = before.is_empty() || before.starts_with("pub");
    let (name, rest) = rest.split_once(':')?;
    let (kind, value) = rest.split_once('=')?;
    let bounds = ["usize", "i32", "u16", "u32", "u64", "i64", "Duration"].contains(&kind.trim());
    (plain && bounds).then_some((name.trim(), value.trim().trim_end_matches(';')))
}

/// A value as people write it.
fn shown(value: &str) -> String {
    let inside = |start: &str| value.strip_prefix(start).and_then(|rest| rest.strip_suffix(')'));
    if let Some(seconds) = inside("Duration::from_secs(") {
        return format!("{seconds} s");
    }
    if let Some(millis) = inside("Duration::from_millis(") {
        return format!("{millis} ms");
    }
    let value =
        value.replace('_', if value.bytes().all(|b| b.is_ascii_digit() || b == b'_') { "," } else { "_" });
    match value.as_str() {
        "1024 * 1024" => "1 MiB".to_owned(),
        "2 * 1024 * 1024 * 1024" => "2 GiB".to_owned(),
        other => match (other.strip_suffix(" * 1024 * 1024"), other.strip_suffix(" * 1024")) {
            (Some(number), _) => format!("{number} MiB"),
            (None, Some(number)) => format!("{number} KiB"),
            (None, None) => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_found_with_their_reasons() {
        let text = "/// Largest body: a form\n/// is small.\npub const BODY_BYTES_MAX: usize = 16 * 1024;\n\
            const WAIT: Duration = Duration::from_secs(1);\n\
            // Quiet.\nconst HEADER_DEADLINE: Duration = Duration::from_secs(10);\n\
            const NAME_MAX: &str = \"x\";\npub(crate) const KEYS_MAX: usize = 10_000;\n\
            const SAME_MAX: usize = SAME_MAX;\nmod tests {\nconst OF_A_TEST_MAX: usize = 1;\n}\n";
        let found: Vec<_> = bounds("a.rs", text).into_iter().map(|b| (b.name, b.value, b.why)).collect();
        let row = |name: &str, value: &str, why: &str| (name.to_owned(), value.to_owned(), why.to_owned());
        let expected = [
            row("BODY_BYTES_MAX", "16 KiB", "Largest body: a form is small."),
            row("HEADER_DEADLINE", "10 s", "Quiet."),
            row("KEYS_MAX", "10,000", ""),
        ];
        assert_eq!(found, expected);
    }
}
