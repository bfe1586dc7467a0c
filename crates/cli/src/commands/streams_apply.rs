//! `tidings streams apply`: brings streams and buckets to the form that is declared, and waits until their copies are whole.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tidings_bus::Nats;
use tidings_bus::nats::apply::{AppliedStream, Change};
use tidings_bus::nats::inspect::Inspection;

use super::streams::{declared, inspect};
use crate::args::bus::BusArgs;
use crate::config::Config;
use crate::{Outcome, output, wrong_use};

/// How long new copies are waited for: a stream of some gigabytes takes minutes, and goes on by itself.
const COPIES_WAIT: Duration = Duration::from_secs(120);
/// The pause before they are looked at again.
const COPIES_AGAIN: Duration = Duration::from_secs(1);

/// Ends with 1 where something is not as declared now, or would not be.
pub fn run(args: &BusArgs, dry_run: bool) -> Result<Outcome> {
    let config = match Config::read(&args.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    if !config.uses_nats() {
        output::complain(
            "messaging is in the process: its log has one form (--nats, or 'nats.servers', names a cluster)",
        );
        return Ok(Outcome::Failed);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (nats, registry) = declared(&config)?;
        let applied = Nats::apply(nats, registry, dry_run).await?;
        if !args.json {
            applied.streams.iter().for_each(|one| print(one, dry_run));
            applied.refused.iter().for_each(|one| output::complain(&format!("not seen: {one}")));
        }
        let touched = |one: &AppliedStream| matches!(one.change, Change::Make | Change::Change);
        let waits = !dry_run && applied.streams.iter().any(touched);
        let behind = if waits { until_whole(&config).await? } else { Vec::new() };
        if args.json {
            output::json(&json!({ "streams": applied.streams, "refused": applied.refused, "dry_run": dry_run, "behind": behind }));
        }
        let refused = applied.streams.iter().any(|one| one.change == Change::Refused);
        Ok(if refused || !applied.refused.is_empty() || !behind.is_empty() { Outcome::Failed } else { Outcome::Done })
    })
}

/// Waits until every copy is there and has everything; those that are not in time.
async fn until_whole(config: &Config) -> Result<Vec<String>> {
    let (begun, mut told) = (Instant::now(), 0);
    loop {
        let behind = behind(&inspect(config, None).await?);
        if behind.is_empty() {
            return Ok(behind);
        }
        if begun.elapsed() >= COPIES_WAIT {
            let which = behind.join(", ");
            output::complain(&format!(
                "not whole yet: {which}; the servers go on ('tidings streams' shows how far)"
            ));
            return Ok(behind);
        }
        if told != behind.len() {
            told = behind.len();
            output::complain(&format!("waiting for the copies of {told} streams: {}", behind.join(", ")));
        }
        tokio::time::sleep(COPIES_AGAIN).await;
    }
}

/// Declared streams of which a copy is missing or behind.
fn behind(found: &Inspection) -> Vec<String> {
    let streams = found.streams.iter().filter(|one| one.what != "not declared");
    let partly = streams.filter(|one| one.found.as_ref().is_some_and(|found| !found.is_whole()));
    partly.map(|one| one.name.clone()).collect()
}

fn print(one: &AppliedStream, dry_run: bool) {
    let done = match (one.change, dry_run) {
        (Change::None, _) => "as declared",
        (Change::Make, true) => "would be made",
        (Change::Make, false) => "made",
        (Change::Change, true) => "would be changed",
        (Change::Change, false) => "changed",
        (Change::Refused, _) => "left as it is",
    };
    output::say(&format!("{:<32}  {:<12}  {done}", one.name, one.what));
    for difference in &one.differences {
        output::say(&format!("    {difference}"));
    }
    if let Some(error) = &one.error {
        output::complain(&format!("'{}': {error}", one.name));
    }
}
