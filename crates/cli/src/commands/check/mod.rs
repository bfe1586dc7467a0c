//! `tidings check`: whether this configuration can run here, a line each for what is looked at, with what to do.

mod certificates;
mod cluster;
mod here;

use anyhow::Result;
use serde::Serialize;

use crate::args::bus::CheckArgs;
use crate::config::Config;
use crate::{Outcome, output, wrong_use};

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It runs, and may not be what is meant.
    Warn,
    /// It does not run.
    Fail,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    pub advice: String,
}

impl Finding {
    fn new(
        what: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { what, verdict, found: found.into(), advice: advice.into() }
    }

    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Ok, found, "")
    }

    fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(what, Verdict::Warn, found, advice)
    }

    fn fail(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(what, Verdict::Fail, found, advice)
    }
}

/// Looks at everything; ends with 1 where something fails.
pub fn run(args: &CheckArgs) -> Result<Outcome> {
    let config = match Config::load(&args.config.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    let mut findings = vec![Finding::ok("configuration", "it can be read, and the profile takes it")];
    findings.extend(config.warnings().into_iter().map(|warning| Finding::warn("configuration", warning, "")));
    findings.extend(here::findings(&config)?);
    findings.extend(certificates::findings(&config));
    if config.uses_nats() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        findings.extend(runtime.block_on(cluster::findings(&config, &args.monitor)));
    } else {
        findings.push(Finding::ok("stored", "on this disk: synced before anybody is told"));
    }
    if args.json {
        output::json(&serde_json::json!({ "findings": findings }));
    } else {
        findings.iter().for_each(print);
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Outcome::Failed } else { Outcome::Done })
}

fn print(finding: &Finding) {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let advice = if finding.advice.is_empty() { String::new() } else { format!(" -> {}", finding.advice) };
    output::say(&format!("{verdict}  {:<14}  {}{advice}", finding.what, finding.found));
}
