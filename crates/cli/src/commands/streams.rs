//! `tidings streams`: the streams, buckets and consumers that are declared, beside what stands. Nothing is changed.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use tidings_bus::nats::inspect::{Inspection, StreamView};
use tidings_bus::{Bus, Class, Nats, NatsConfig, Registry};
use tidings_service::subjects::{BUCKETS, registry};

use super::bus_way::Way;
use crate::args::bus::BusArgs;
use crate::config::Config;
use crate::{Outcome, output, process, wrong_use};

/// Looks; ends with 1 where something is not as declared.
pub fn run(args: &BusArgs) -> Result<Outcome> {
    let config = match Config::read(&args.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    if !config.uses_nats() {
        let mut way = Way::open(&config)?;
        let found = way.logs();
        way.close();
        let found = found?;
        if args.json {
            output::json(&found)
        } else {
            print_logs(&found)
        }
        return Ok(Outcome::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let inspection = runtime.block_on(inspect(&config, None))?;
    if args.json {
        output::json(&serde_json::to_value(&inspection)?);
    } else {
        inspection.streams.iter().for_each(print);
        if let Some(error) = &inspection.server.jetstream_error {
            output::complain(&format!("JetStream does not answer: {error}"));
        }
        inspection.refused.iter().for_each(|one| output::complain(&format!("not seen: {one}")));
    }
    let wrong = |one: &StreamView| !one.differences.is_empty() || one.error.is_some();
    let partly = inspection.server.jetstream_error.is_some() || !inspection.refused.is_empty();
    let failed = partly || inspection.streams.iter().any(wrong);
    Ok(if failed { Outcome::Failed } else { Outcome::Done })
}

/// What stands at the cluster that is configured, or at one server of it.
pub async fn inspect(config: &Config, server: Option<&str>) -> Result<Inspection> {
    let (mut nats, registry) = declared(config)?;
    if let Some(server) = server {
        nats.servers = vec![server.to_owned()];
    }
    Ok(Nats::inspect(nats, registry).await?)
}

/// What is configured and declared.
pub fn declared(config: &Config) -> Result<(NatsConfig, Arc<Registry>)> {
    let registry = Arc::new(registry(config.subject_prefix())?);
    let name = process::name(config.instance())?;
    let Some(nats) = config.nats(&name) else { anyhow::bail!("'nats.servers' names no server") };
    Ok((nats, registry))
}

/// The logs of messaging in the process, by what they are declared as.
pub async fn logs(bus: &Bus) -> Result<Value, tidings_bus::Error> {
    let registry = bus.registry();
    let mut logs = Vec::new();
    for def in registry.templates().iter().filter(|def| def.class == Class::Durable) {
        let count = bus.logs(&registry.pattern_of(def.name)?).await?.len();
        logs.push(
            json!({ "name": def.name, "template": def.template, "message": def.message, "logs": count }),
        );
    }
    let buckets = BUCKETS.map(|(name, durable)| json!({ "name": name, "durable": durable }));
    Ok(json!({ "messaging": "in the process", "epoch": bus.epoch(), "logs": logs, "buckets": buckets }))
}

fn print_logs(found: &Value) {
    output::say("Messaging is in the process: one log in the data folder holds everything.");
    for one in found["logs"].as_array().into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        output::say(&format!(
            "{:<28}  {:>7} logs  {}",
            text("template"),
            one["logs"].to_string(),
            text("message")
        ));
    }
    for one in found["buckets"].as_array().into_iter().flatten() {
        let kept = if one["durable"] == true { "on disk" } else { "in memory" };
        output::say(&format!("{:<28}  bucket, {kept}", one["name"].as_str().unwrap_or_default()));
    }
}

fn print(stream: &StreamView) {
    let StreamView { name, what, found, differences, error } = stream;
    let Some(found) = found else {
        let why = error.as_deref().unwrap_or("not there: the first server that starts makes it");
        return output::say(&format!("{name:<32}  {what:<12}  {why}"));
    };
    let leader = found.leader.as_deref().map(|leader| format!(", led by {leader}")).unwrap_or_default();
    output::say(&format!(
        "{name:<32}  {what:<12}  {} messages, {} bytes, up to {}; {} copies{leader}",
        found.messages, found.bytes, found.last_seq, found.replicas
    ));
    if !found.behind.is_empty() {
        output::say(&format!("    behind or away: {}", found.behind.join(", ")));
    }
    for one in &found.consumers {
        output::say(&format!(
            "    consumer {}: {} to deliver, {} out, {} delivered again",
            one.name, one.pending, one.unacknowledged, one.redelivered
        ));
    }
    for difference in differences {
        output::say(&format!("    other than declared: {difference}"));
    }
}
