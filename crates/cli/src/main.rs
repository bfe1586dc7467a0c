//! The binary `tidings`: command line, configuration, roles. The only place that picks backends.
//!
//! Start reading at [`run`]; then `config/mod.rs` for settings, `serve.rs` for the server, `control/mod.rs` for how a
//! command reaches a running one.

mod args;
mod backend;
mod commands;
mod config;
mod control;
mod data;
mod edges;
mod keeper;
mod output;
mod process;
mod roles;
mod serve;
mod server;
mod sole;

use std::process::ExitCode;

use clap::Parser;
use tidings_bus::nats::apply::ApplyConfig;

use crate::args::bus::StreamsVerb;
use crate::args::{Cli, Verb};
use crate::config::{Config, Mistake, Sources};

/// Events are made in one thread and freed in another, thousands a second: the C library's allocator takes turns at
/// its arenas for that, and gives less of it back to the system.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What became of a command, as its exit code says it.
pub enum Outcome {
    /// 0.
    Done,
    /// 1: what was wrong has been told.
    Failed,
    /// 2: what was typed or configured cannot be.
    WrongUse,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::WrongUse) => ExitCode::from(2),
        Err(error) => {
            output::complain(&format!("tidings: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.verb.unwrap_or(Verb::Serve(cli.serve)) {
        Verb::Serve(args) => match configured(&args.sources()) {
            Ok(config) => serve::run(config).map(|()| Outcome::Done),
            Err(wrong) => Ok(wrong),
        },
        Verb::User(verb) => commands::user::run(verb),
        Verb::World(verb) => commands::world::run(&verb),
        Verb::Config(args) => commands::config::run(&args),
        Verb::Dlq(verb) => commands::dlq::run(verb),
        Verb::Streams { bus, verb: None } => commands::streams::run(&bus),
        Verb::Streams { verb: Some(StreamsVerb::Apply { dry_run, fewer_copies, bus }), .. } => {
            commands::streams_apply::run(&bus, ApplyConfig { dry_run, fewer_copies })
        }
        Verb::Check(args) => commands::check::run(&args),
        Verb::Cluster(verb) => commands::cluster::run(&verb),
        Verb::Violations(folder) => commands::violations::run(&folder),
        Verb::Certs(args) => commands::certs::run(&args),
        Verb::Subjects(args) => commands::subjects::run(&args),
    }
}

/// The configuration for a server, or every mistake told.
fn configured(sources: &Sources) -> Result<Config, Outcome> {
    Config::load(sources).map_err(|mistakes| wrong_use(&mistakes))
}

/// Tells mistakes of the configuration.
fn wrong_use(mistakes: &[Mistake]) -> Outcome {
    for mistake in mistakes {
        output::complain(&format!("tidings: {mistake}"));
    }
    Outcome::WrongUse
}
