//! How much is measured: what a command was asked for, how long it may take, and where it stands.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What every measuring program takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One short round: shows that it works, not how fast it is.
    #[arg(long)]
    pub quick: bool,
    /// Only these scenarios, by name or by how the name begins.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,
    /// Names the scenarios and ends.
    #[arg(long)]
    pub list: bool,
    /// Interleaved rounds; medians of three say something.
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// Adds each row to this file, a line of JSON each.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// After so many minutes no further round begins, and what is missing is named.
    #[arg(long, value_name = "N", default_value_t = 45)]
    pub minutes: u64,
    /// Settings for Tidings, `key=value`.
    #[arg(long = "set", value_name = "SETTING")]
    pub settings: Vec<String>,
}

/// What one scenario's round needs to know.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Interleaved rounds.
    pub rounds: usize,
    /// Before measuring.
    pub warm_up: Duration,
    /// How long one load is measured.
    pub measured: Duration,
    /// For Tidings.
    pub settings: Vec<String>,
    /// Whether figures matter.
    pub quick: bool,
    only: Vec<String>,
    ends: Instant,
}

impl Plan {
    /// As asked for.
    pub fn new(args: &Args) -> Self {
        let seconds = |long, short| Duration::from_millis(if args.quick { short } else { long });
        Self {
            rounds: args.rounds.unwrap_or(if args.quick { 1 } else { 3 }).max(1),
            warm_up: seconds(1000, 300),
            measured: seconds(4000, 700),
            settings: args.settings.clone(),
            quick: args.quick,
            only: args.only.clone(),
            ends: Instant::now() + Duration::from_secs(args.minutes * 60),
        }
    }

    /// Those of these scenarios that are asked for, by name or else by how it begins; none at all is a mistake.
    pub fn choose<T>(&self, all: Vec<(&'static str, T)>) -> Result<Vec<(&'static str, T)>> {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        let means = |only: &str, name: &str| {
            if names.contains(&only) { name == only } else { name.starts_with(only) }
        };
        if let Some(none) = self.only.iter().find(|only| !names.iter().any(|name| means(only, name))) {
            bail!("no scenario is called '{none}'; there are {}", names.join(", "));
        }
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| means(only, name));
        Ok(all.into_iter().filter(|(name, _)| wanted(name)).collect())
    }

    /// Begins a step of a round; an error when the time is over.
    pub fn step(&self, scenario: &str, round: usize, what: &str) -> Result<()> {
        let left = self.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("the time was over before round {} of {} ({what})", round + 1, self.rounds);
        }
        eprintln!(
            "  [{scenario}] round {} of {}: {what} (at most {} min left)",
            round + 1,
            self.rounds,
            left.as_secs() / 60
        );
        Ok(())
    }
}
