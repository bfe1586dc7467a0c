//! `cargo xtask bench [what]`: measures beside references in one run; `docs/benchmarks.md` keeps the last figures.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use clap::ValueEnum;

use crate::nats;
use crate::run::{cargo, root, run as command, say};

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure; without a name everything but the peers.
    #[arg(value_enum)]
    what: Vec<What>,
    /// One short round: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Of the bus, the edge or the peers: only these scenarios, by name or by how the name begins.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Names the scenarios and ends.
    #[arg(long)]
    list: bool,
    /// Interleaved rounds [three, of starts seven].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Writes the results to this file, a line of JSON each row.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// After so many minutes no further round begins, and what is missing is named.
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// A setting of Tidings, `key=value`.
    #[arg(long, value_name = "SETTING")]
    set: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The bus in the process, and on NATS beside async-nats; fetches the server first.
    Bus,
    /// Fan-out, latency, memory, accepting, coming back, beside bare and limit, and on NATS; fetches the server first.
    Edge,
    /// Start and size of the binary.
    Start,
    /// Fan-out beside socket.io and ws on Node, and socketioxide; fetches them first.
    Peers,
}

impl What {
    const USUAL: [Self; 3] = [Self::Bus, Self::Edge, Self::Start];

    fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Edge => "edge",
            Self::Start => "start",
            Self::Peers => "peers",
        }
    }
}

/// Measures.
pub fn run(args: &Args) -> Result<()> {
    let what = if args.what.is_empty() { What::USUAL.to_vec() } else { args.what.clone() };
    say("building what is measured, optimised");
    command(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "tidings",
        "--package",
        "tidings-bench",
    ]))?;
    if let Some(json) = &args.json {
        // Each program adds its rows.
        std::fs::write(json, "").with_context(|| json.display().to_string())?;
    }
    let mut failed = Vec::new();
    for one in what {
        say(one.name());
        if command(&mut program(one, args)?).is_err() {
            failed.push(one.name());
        }
    }
    if !failed.is_empty() {
        bail!("not everything could be measured: {}", failed.join(", "));
    }
    Ok(())
}

fn program(what: What, args: &Args) -> Result<Command> {
    let folder = target_folder()?;
    let name = if what == What::Peers { "edge" } else { what.name() };
    let mut run = Command::new(folder.join("release").join(name));
    run.current_dir(root());
    if args.quick {
        run.arg("--quick");
    }
    if let Some(rounds) = args.rounds {
        run.args(["--rounds", &rounds.to_string()]);
    }
    if matches!(what, What::Bus | What::Edge) && !args.list {
        nats::servers()?;
    }
    if what == What::Peers {
        let peers = folder.join("peers");
        if !args.list {
            make_peers(&peers)?;
        }
        run.arg("--peers").env("BENCH_PEERS", peers).env("NODE_ENV", "production");
    }
    if !args.only.is_empty() && what != What::Start {
        run.args(["--only", &args.only.join(",")]);
    }
    if args.list {
        run.arg("--list");
    }
    if let Some(minutes) = args.minutes {
        run.args(["--minutes", &minutes.to_string()]);
    }
    if let Some(json) = &args.json {
        run.arg("--json").arg(std::path::absolute(json)?);
    }
    for setting in &args.set {
        run.args(["--set", setting]);
    }
    Ok(run)
}

fn target_folder() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec();
    Ok(metadata.context("cargo metadata")?.target_directory.into_std_path_buf())
}

/// The peers' programs, with the versions that their lock files name, in a folder of the build.
fn make_peers(folder: &Path) -> Result<()> {
    let from = root().join("bench/peers");
    say("fetching and building the peers");
    std::fs::create_dir_all(folder)?;
    for file in ["package.json", "package-lock.json", "socketio.mjs", "ws.mjs"] {
        std::fs::copy(from.join("node").join(file), folder.join(file)).context(file)?;
    }
    command(
        Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder),
    )?;
    let manifest = from.join("socketioxide/Cargo.toml");
    let build = folder.join("build");
    let mut make = cargo();
    make.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest);
    command(make.arg("--target-dir").arg(&build))?;
    std::fs::copy(build.join("release/socketioxide-peer"), folder.join("socketioxide"))
        .context("socketioxide")?;
    Ok(())
}
