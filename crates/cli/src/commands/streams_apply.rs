//! `tidings streams apply`: brings streams and buckets to the form that is declared, and waits until their copies are whole.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tidings_bus::Nats;
use tidings_bus::nats::apply::{Applied, AppliedStream, ApplyConfig, Change};
use tidings_bus::nats::inspect::{Inspection, StreamFound};

use super::streams::{declared, inspect};
use crate::args::bus::BusArgs;
use crate::config::Config;
use crate::{Outcome, output, wrong_use};

/// How long new copies are waited for: a stream of some gigabytes takes minutes, and goes on by itself.
const COPIES_WAIT: Duration = Duration::from_secs(120);
/// The pause before they are looked at again.
const COPIES_AGAIN: Duration = Duration::from_secs(1);

/// Ends with 1 where something is not as declared now, or would not be.
pub fn run(args: &BusArgs, how: ApplyConfig) -> Result<Outcome> {
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
        let applied = Nats::apply(nats, registry, how).await?;
        if !args.json {
            applied.streams.iter().for_each(|one| print(one, how.dry_run));
            applied.refused.iter().for_each(|one| output::complain(&format!("not seen: {one}")));
        }
        let touched = |one: &AppliedStream| !matches!(one.change, Change::None | Change::Refused);
        let waits = !how.dry_run && applied.streams.iter().any(touched);
        let left = |one: &&AppliedStream| one.change == Change::Refused;
        let left: Vec<_> = applied.streams.iter().filter(left).map(|one| one.name.as_str()).collect();
        let behind = if waits { until_whole(&config, &left).await } else { Vec::new() };
        if args.json {
            let Applied { streams, refused } = &applied;
            output::json(
                &json!({ "streams": streams, "refused": refused, "dry_run": how.dry_run, "behind": behind }),
            );
        }
        let failed = |one: &AppliedStream| matches!(one.change, Change::Refused | Change::Unknown);
        let partly = applied.streams.iter().any(failed) || !applied.refused.is_empty() || !behind.is_empty();
        Ok(if partly { Outcome::Failed } else { Outcome::Done })
    })
}

/// Waits until every copy is there and has everything, but of those streams that were left as they are; what is not known
/// to be so in time.
async fn until_whole(config: &Config, left: &[&str]) -> Vec<String> {
    let (begun, mut told) = (Instant::now(), Vec::new());
    loop {
        // While servers make copies they may answer late, or not.
        let behind = match inspect(config, None).await {
            Ok(found) => behind(&found, left),
            Err(error) => vec![error.to_string()],
        };
        if behind.is_empty() {
            return behind;
        }
        if begun.elapsed() >= COPIES_WAIT {
            let which = behind.join(", ");
            output::complain(&format!(
                "not whole yet: {which}; the servers go on ('tidings streams' shows how far)"
            ));
            return behind;
        }
        if told != behind {
            output::complain(&format!("waiting for the copies of: {}", behind.join(", ")));
            told = behind;
        }
        tokio::time::sleep(COPIES_AGAIN).await;
    }
}

/// Declared streams of which a copy is missing or behind, or of which it is not known.
fn behind(found: &Inspection, left: &[&str]) -> Vec<String> {
    let streams =
        found.streams.iter().filter(|one| one.what != "not declared" && !left.contains(&one.name.as_str()));
    let partly = streams.filter(|one| !one.found.as_ref().is_some_and(StreamFound::is_whole));
    let unseen = found.server.jetstream_error.iter().map(|error| format!("all ({error})"));
    partly.map(|one| one.name.clone()).chain(unseen).collect()
}

fn print(one: &AppliedStream, dry_run: bool) {
    let done = match (one.change, dry_run) {
        (Change::None, _) => "as declared",
        (Change::Make, true) => "would be made",
        (Change::Make, false) => "made",
        (Change::Change, true) => "would be changed",
        (Change::Change, false) => "changed",
        (Change::Refused, _) => "left as it is",
        (Change::Unknown, _) => "not known",
    };
    output::say(&format!("{:<32}  {:<12}  {done}", one.name, one.what));
    for difference in &one.differences {
        output::say(&format!("    {difference}"));
    }
    if let Some(error) = &one.error {
        output::complain(&format!("'{}': {error}", one.name));
    }
}
