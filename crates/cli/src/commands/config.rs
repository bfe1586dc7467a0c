//! `tidings config`: what is in force and where each value came from.

use serde_json::Value;

use crate::args::ShowArgs;
use crate::config::keys::KEYS;
use crate::config::{Config, HIDDEN};
use crate::control::{Access, Request};
use crate::{Outcome, output, wrong_use};

/// Of the server that runs on the data folder, or of a new start.
pub fn run(args: &ShowArgs) -> anyhow::Result<Outcome> {
    let sources = args.config.sources();
    let running = match Config::read(&sources) {
        Ok(config) if !args.local => Access::server(&config.data())?,
        _ => None,
    };
    let (report, running) = match running {
        Some(mut server) => (server.ask(Request::Config {})?, true),
        None => match Config::load(&sources) {
            Ok(config) => (config.report(), false),
            Err(mistakes) => return Ok(wrong_use(&mistakes)),
        },
    };
    if args.json {
        output::json(&report);
    } else {
        print(&report, running);
    }
    Ok(Outcome::Done)
}

fn print(report: &Value, running: bool) {
    output::say(if running { "# In force in the running server." } else { "# What a start would use." });
    for key in KEYS {
        let (Some(value), Some(from)) = (report[key.name].get("value"), report[key.name]["from"].as_str())
        else {
            continue;
        };
        // What is hidden is no value for whoever uses this as a file.
        let hidden = if key.secret && value == HIDDEN { "# " } else { "" };
        output::say(&format!("\n# {}\n{hidden}{} = {value}    # {from}", key.help, key.name));
    }
}
