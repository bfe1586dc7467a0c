//! What the browser tests need: Chromium from Debian, the test runner's packages from npm by their lock file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{can_install, find_program, install_from_debian, root, run, say};

/// Where the browser tests are.
pub fn folder() -> PathBuf {
    root().join("tests/browser")
}

/// Makes sure that a Chromium is installed and gives its path.
pub fn chromium() -> Result<PathBuf> {
    if let Some(found) = find_program(&["chromium", "chromium-browser", "google-chrome"]) {
        return Ok(found);
    }
    if !can_install() {
        bail!("the browser tests need Chromium: install it (on Debian: `sudo apt-get install chromium`)");
    }
    say("installing Chromium from Debian (once)");
    install_from_debian("chromium")?;
    find_program(&["chromium"]).context("Chromium was installed but is not on the PATH")
}

/// Installs the packages that the lock file names, once for each state of it.
pub fn packages() -> Result<()> {
    let folder = folder();
    if find_program(&["npm"]).is_none() {
        bail!("the browser tests need Node.js 20 or later with npm");
    }
    let lock = fs::read(folder.join("package-lock.json")).context("tests/browser/package-lock.json")?;
    let stamp = folder.join("node_modules/.tidings-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    say("installing the browser tests' packages from npm (once a lock file)");
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&folder))?;
    fs::write(stamp, lock).context("marking the packages as installed")
}

/// Runs the browser tests against this binary.
pub fn test(binary: &Path, chromium: &Path) -> Result<()> {
    run(Command::new("npm")
        .args(["test", "--silent"])
        .env("TIDINGS_BIN", binary)
        .env("CHROMIUM_BIN", chromium)
        .current_dir(folder()))
}
