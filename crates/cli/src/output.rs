//! Printing: data to standard output, complaints to standard error. A closed pipe is nobody's fault.

use std::io::Write;

/// Prints lines for whoever asked.
pub fn say(text: &str) {
    // A reader that went away, as `head` does, wanted no more.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints data as JSON.
pub fn json(value: &serde_json::Value) {
    say(&format!("{value:#}"));
}

/// Prints what went wrong.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
