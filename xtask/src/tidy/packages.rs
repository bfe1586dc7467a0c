//! Rules about packages: which way dependencies point, under which licences, in how many versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, Package};

use crate::run::root;

/// What each of our packages may use of ours, outside its tests. `docs/ARCHITECTURE.md` says why.
const LAYERS: &[(&str, &[&str])] = &[
    ("tidings-bus", &[]),
    ("tidings-protocol", &[]),
    ("tidings-world", &["tidings-protocol"]),
    ("tidings-service", &["tidings-bus", "tidings-protocol"]),
    ("tidings-storage", &["tidings-protocol"]),
    ("tidings-edge", &["tidings-bus", "tidings-protocol", "tidings-service"]),
    (
        "tidings-world-service",
        &["tidings-bus", "tidings-protocol", "tidings-service", "tidings-storage", "tidings-world"],
    ),
    ("tidings-client", &["tidings-protocol"]),
    ("tidings-test-support", &["tidings-client", "tidings-protocol"]),
    (
        "tidings",
        &[
            "tidings-bus",
            "tidings-client",
            "tidings-edge",
            "tidings-protocol",
            "tidings-service",
            "tidings-storage",
            "tidings-world",
            "tidings-world-service",
        ],
    ),
    (
        "tidings-bench",
        &["tidings-bus", "tidings-client", "tidings-protocol", "tidings-service", "tidings-test-support"],
    ),
    ("xtask", &[]),
];

/// Licences that go with ours; an expression passes when one of its alternatives holds only these.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that come in more than one version because others ask for it, with who does.
const DUPLICATES_ALLOWED: &[(&str, &str)] = &[
    ("block-buffer", "jsonwebtoken's RustCrypto signatures are a generation behind argon2 and sha2"),
    ("const-oid", "as block-buffer"),
    ("cpufeatures", "as block-buffer"),
    ("crypto-common", "as block-buffer"),
    ("digest", "as block-buffer"),
    ("hkdf", "as block-buffer"),
    ("hmac", "as block-buffer"),
    ("sha2", "as block-buffer"),
    ("rand", "jsonwebtoken takes 0.8, metrics-util 0.9"),
    ("rand_chacha", "as rand"),
    ("rand_core", "as rand"),
    ("getrandom", "as rand"),
    ("bit-vec", "of rcgen's own reader of certificates, which is locked and never built"),
    ("synstructure", "as bit-vec"),
    ("foldhash", "petgraph in prost-build's own build"),
    ("hashbrown", "petgraph, hashlink and indexmap each keep to another"),
    ("syn", "proc macros are between 2 and 3"),
];

fn ours(metadata: &Metadata) -> Vec<&Package> {
    metadata.workspace_packages()
}

/// Refuses an arrow that the map does not have.
pub fn layers(metadata: &Metadata, breaches: &mut Vec<String>) {
    let names: BTreeSet<String> = ours(metadata).iter().map(|p| p.name.to_string()).collect();
    for package in ours(metadata) {
        let name = package.name.to_string();
        let Some((_, may)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            breaches.push(format!("{name}: is in no layer (xtask/src/tidy/packages.rs)"));
            continue;
        };
        for dependency in &package.dependencies {
            let tests_only = dependency.kind == DependencyKind::Development;
            if !tests_only && names.contains(&dependency.name) && !may.contains(&dependency.name.as_str()) {
                breaches.push(format!("{name}: must not depend on {}", dependency.name));
            }
        }
    }
}

/// Refuses a licence that does not go with ours.
pub fn licences(metadata: &Metadata, breaches: &mut Vec<String>) {
    for package in &metadata.packages {
        let text = package.license.clone().unwrap_or_default().replace('/', " OR ");
        let fits = text.split(" OR ").any(|alternative| {
            alternative
                .split(" AND ")
                .map(|one| one.trim().trim_matches(['(', ')']).trim())
                .all(|one| LICENCES.contains(&one))
        });
        if !fits {
            breaches.push(format!("{} {}: licence '{text}'", package.name, package.version));
        }
    }
}

/// Refuses two versions of one package, unless it is known why.
pub fn duplicates(metadata: &Metadata, breaches: &mut Vec<String>) {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in used(metadata) {
        versions.entry(package.name.to_string()).or_default().insert(package.version.to_string());
    }
    for (name, versions) in &versions {
        let allowed = DUPLICATES_ALLOWED.iter().any(|(known, _)| known == name);
        if versions.len() > 1 && !allowed {
            let list = versions.iter().cloned().collect::<Vec<_>>().join(", ");
            breaches.push(format!("{name}: in {} versions: {list}", versions.len()));
        }
        if versions.len() == 1 && allowed {
            breaches.push(format!("{name}: no longer in two versions (DUPLICATES_ALLOWED)"));
        }
    }
}

/// The packages that this platform builds.
fn used(metadata: &Metadata) -> Vec<&Package> {
    let resolve = metadata.resolve.as_ref().map(|resolve| &resolve.nodes);
    let ids: BTreeSet<_> = resolve.into_iter().flatten().map(|node| &node.id).collect();
    metadata.packages.iter().filter(|package| ids.contains(&package.id)).collect()
}

/// Asks for a line in `docs/dependencies.md` for each direct dependency, and in the map for each crate.
pub fn documented(metadata: &Metadata, breaches: &mut Vec<String>) -> Result<()> {
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).context("docs/dependencies.md")?;
    let named: BTreeSet<&str> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .collect();
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).context("docs/ARCHITECTURE.md")?;
    let ours_names: BTreeSet<String> = ours(metadata).iter().map(|p| p.name.to_string()).collect();
    let mut missing = BTreeSet::new();
    for package in ours(metadata) {
        missing.extend(
            package
                .dependencies
                .iter()
                .map(|dependency| dependency.name.clone())
                .filter(|name| !ours_names.contains(name) && !named.contains(name.as_str())),
        );
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
        if !map.contains(&format!("`{folder}`")) && !map.contains(&format!("`{folder}/`")) {
            breaches.push(format!("docs/ARCHITECTURE.md: `{folder}` is missing"));
        }
    }
    breaches.extend(missing.into_iter().map(|name| format!("docs/dependencies.md: {name} has no line")));
    Ok(())
}
