//! `tidings violations`: who went over a limit of the running server, for whoever looks after it.

use anyhow::Context;
use serde_json::Value;

use super::when;
use crate::args::FolderArgs;
use crate::config::Config;
use crate::control::{Access, Request};
use crate::{Outcome, output, wrong_use};

/// Asks the server that runs on the data folder: nobody else has seen any.
pub fn run(folder: &FolderArgs) -> anyhow::Result<Outcome> {
    let config = match Config::read(&folder.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    let data = config.data();
    let server = Access::server(&data)?;
    let mut server =
        server.with_context(|| format!("no server runs on the data folder {}", data.display()))?;
    let report = server.ask(Request::Violations {})?;
    if folder.json {
        output::json(&report);
        return Ok(Outcome::Done);
    }
    match report["violations"].as_array() {
        Some(list) if !list.is_empty() => list.iter().for_each(|one| output::say(&line(one))),
        _ => output::say("Nobody has gone over a limit since the server started."),
    }
    for edge in report["silent"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output::complain(&format!("tidings: the edge {edge} does not answer: what it saw is not listed"));
    }
    Ok(Outcome::Done)
}

fn line(one: &Value) -> String {
    let text = |key: &str| one[key].as_str().unwrap_or_default();
    let at = when::shown(&one["at_ms"]);
    let who = one["username"].as_str().unwrap_or_else(|| text("who"));
    let count = &one["count"];
    format!("{at}  {:<9}  {:<8}  {count:>6} x  {who}", text("limit"), text("outcome"))
}
