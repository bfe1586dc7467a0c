//! `cargo xtask tidy`: rules that the compiler does not know. Every breach is named; all of them at once.

mod files;
mod packages;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::run::{root, say};

/// The platform whose packages are judged: what the servers run on.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Checks everything.
pub fn run() -> Result<()> {
    say("tidy: layers, headers, licences, duplicates, the map of the house, the limits");
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--locked".into(), "--filter-platform".into(), PLATFORM.into()])
        .exec()
        .context("cargo metadata")?;
    let mut breaches = Vec::new();
    packages::layers(&metadata, &mut breaches);
    packages::licences(&metadata, &mut breaches);
    packages::duplicates(&metadata, &mut breaches);
    packages::documented(&metadata, &mut breaches)?;
    files::headers(&mut breaches)?;
    files::lengths(&mut breaches)?;
    crate::limits::check(&mut breaches)?;
    if breaches.is_empty() {
        println!("    nothing to mend");
        return Ok(());
    }
    for breach in &breaches {
        println!("    {breach}");
    }
    bail!("{} to mend", breaches.len());
}
