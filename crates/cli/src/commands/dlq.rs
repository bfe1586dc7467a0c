//! `tidings dlq`: what work queues could not do, for whoever looks after it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tidings_bus::dead_letters::LETTER_LINE_BYTES_MAX;
use tidings_service::dead_letters::{Ask, Which};

use super::bus_way::Way;
use super::when;
use crate::args::bus::{BusArgs, ChosenArgs, DlqVerb, FilterArgs};
use crate::config::Config;
use crate::{Outcome, output, wrong_use};

/// Letters of one answer while all of them are asked for.
const EXPORT_PAGE: usize = 50;
/// Longest part of a reason that a list shows, in characters: the rest of a screen's line.
const REASON_CHARS: usize = 60;

/// Does it.
pub fn run(verb: DlqVerb) -> Result<Outcome> {
    match verb {
        DlqVerb::List { queue: None, bus, .. } => with(&bus, |way| queues(way, &bus)),
        DlqVerb::List { queue: Some(queue), filter, after, limit, bus } => with(&bus, |way| {
            let which = Which { after, limit, ..which(&filter)? };
            list(way, &bus, queue, which)
        }),
        DlqVerb::Show { queue, id, bus } => with(&bus, |way| {
            let letter = way.dead_letters(Ask::Show { queue, id })?;
            if bus.json {
                output::json(&letter)
            } else {
                show(&letter)
            }
            Ok(Outcome::Done)
        }),
        DlqVerb::Replay { chosen, per_second } => with(&chosen.bus, |way| replay(way, &chosen, per_second)),
        DlqVerb::Export { queue, filter, bus } => with(&bus, |way| export(way, &queue, &filter)),
        DlqVerb::Import { queue, file, bus } => with(&bus, |way| import(way, &bus, &queue, &file)),
        DlqVerb::Purge { chosen } => with(&chosen.bus, |way| purge(way, &chosen)),
    }
}

fn with(bus: &BusArgs, run: impl FnOnce(&mut Way) -> Result<Outcome>) -> Result<Outcome> {
    let config = match Config::read(&bus.sources()) {
        Ok(config) => config,
        Err(mistakes) => return Ok(wrong_use(&mistakes)),
    };
    let mut way = Way::open(&config)?;
    let outcome = run(&mut way);
    way.close();
    outcome
}

fn which(filter: &FilterArgs) -> Result<Which> {
    let time = |text: &Option<String>| text.as_deref().map(when::parse).transpose();
    Ok(Which {
        reason: filter.reason.clone(),
        from_ms: time(&filter.since)?,
        until_ms: time(&filter.until)?,
        ..Which::default()
    })
}

fn queues(way: &mut Way, bus: &BusArgs) -> Result<Outcome> {
    let found = way.dead_letters(Ask::Queues {})?;
    if bus.json {
        output::json(&found);
        return Ok(Outcome::Done);
    }
    match found["queues"].as_array() {
        Some(list) if !list.is_empty() => list.iter().for_each(|one| {
            let (queue, letters) = (one["queue"].as_str().unwrap_or_default(), &one["letters"]);
            output::say(&format!("{queue:<30}  {letters:>7}  since {}", when::shown(&one["oldest_ms"])));
        }),
        _ => output::say("There are no dead letters."),
    }
    Ok(Outcome::Done)
}

fn list(way: &mut Way, bus: &BusArgs, queue: String, which: Which) -> Result<Outcome> {
    let page = way.dead_letters(Ask::List { queue: queue.clone(), which })?;
    if bus.json {
        output::json(&page);
        return Ok(Outcome::Done);
    }
    let letters = page["letters"].as_array().map_or(&[][..], Vec::as_slice);
    letters.iter().for_each(|letter| output::say(&line(letter)));
    match page["next"].as_u64() {
        Some(next) => output::say(&format!("There are more: tidings dlq list {queue} --after {next}")),
        None if letters.is_empty() => output::say(&format!("'{queue}' has no such dead letters.")),
        None => {}
    }
    Ok(Outcome::Done)
}

fn line(letter: &Value) -> String {
    let attempts = letter["attempts"].as_array().map_or(0, Vec::len);
    let reason = plain(letter["reason"].as_str().unwrap_or_default());
    let reason: String = reason.chars().take(REASON_CHARS).collect();
    format!("{:>10}  {}  {attempts:>3} x  {reason}", letter["id"], when::shown(&letter["dead_ms"]))
}

/// What others wrote moves no cursor.
fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

fn show(letter: &Value) {
    let text = |name: &str| plain(letter[name].as_str().unwrap_or_default());
    let (id, queue, stream, sequence) = (&letter["id"], text("queue"), text("stream"), &letter["sequence"]);
    output::say(&format!("letter    {id} of {queue}"));
    output::say(&format!("dead      {}: {}", when::shown(&letter["dead_ms"]), text("reason")));
    let list = |name: &str| letter[name].as_array().cloned().unwrap_or_default();
    for error in list("errors") {
        output::say(&format!("because   {}", plain(error.as_str().unwrap_or_default())));
    }
    output::say(&format!(
        "message   {sequence} in stream {stream}, stored {}",
        when::shown(&letter["stored_ms"])
    ));
    if letter["trace_id"].is_string() {
        output::say(&format!("trace     {}", text("trace_id")));
    }
    for attempt in list("attempts") {
        let end = plain(attempt["end"].as_str().unwrap_or_default());
        output::say(&format!("attempt   {}  {end}", when::shown(&attempt["time_ms"])));
    }
    for header in list("headers") {
        let part = |at: usize| plain(header[at].as_str().unwrap_or_default());
        output::say(&format!("header    {}: {}", part(0), part(1)));
    }
    let kind = if letter["text"].is_string() { "text" } else { "base64" };
    output::say(&format!("payload   ({kind}) {}", text(kind)));
}

fn replay(way: &mut Way, chosen: &ChosenArgs, per_second: u32) -> Result<Outcome> {
    let (mut replayed, mut refused, mut refusals) = (0, 0, Vec::new());
    if chosen.ids.is_empty() {
        let mut which = which(&chosen.filter)?;
        loop {
            let ask = Ask::ReplayMany {
                queue: chosen.queue.clone(),
                which: which.clone(),
                per_second: Some(per_second),
            };
            let done = way.dead_letters(ask)?;
            replayed += done["replayed"].as_u64().unwrap_or(0);
            refused += done["refused"].as_u64().unwrap_or(0);
            refusals.extend(done["refusals"].as_array().cloned().unwrap_or_default());
            let Some(next) = done["next"].as_u64() else { break };
            which = Which { after: next, through: done["through"].as_u64(), ..which };
        }
    }
    for id in &chosen.ids {
        way.dead_letters(Ask::Replay { queue: chosen.queue.clone(), id: *id })?;
        replayed += 1;
    }
    let sum = json!({ "replayed": replayed, "refused": refused, "refusals": refusals });
    if chosen.bus.json {
        output::json(&sum);
    } else {
        output::say(&format!("{replayed} replayed, {refused} refused."));
        for one in &refusals {
            let why = plain(one["why"].as_str().unwrap_or_default());
            output::complain(&format!("letter {} stays: {why}", one["id"]));
        }
    }
    Ok(if refused == 0 { Outcome::Done } else { Outcome::Failed })
}

fn purge(way: &mut Way, chosen: &ChosenArgs) -> Result<Outcome> {
    let mut purged = 0;
    if chosen.ids.is_empty() {
        let mut which = which(&chosen.filter)?;
        loop {
            let done =
                way.dead_letters(Ask::PurgeMany { queue: chosen.queue.clone(), which: which.clone() })?;
            purged += done["purged"].as_u64().unwrap_or(0);
            let Some(next) = done["next"].as_u64() else { break };
            which = Which { after: next, through: done["through"].as_u64(), ..which };
        }
    }
    for id in &chosen.ids {
        way.dead_letters(Ask::Purge { queue: chosen.queue.clone(), id: *id })?;
        purged += 1;
    }
    if chosen.bus.json {
        output::json(&json!({ "purged": purged }));
    } else {
        output::say(&format!("{purged} taken out."));
    }
    Ok(Outcome::Done)
}

fn export(way: &mut Way, queue: &str, filter: &FilterArgs) -> Result<Outcome> {
    let mut which = Which { limit: Some(EXPORT_PAGE), ..which(filter)? };
    loop {
        let page = way.dead_letters(Ask::List { queue: queue.to_owned(), which: which.clone() })?;
        let letters = page["letters"].as_array().map_or(&[][..], Vec::as_slice);
        letters.iter().for_each(|letter| output::say(&letter.to_string()));
        match page["next"].as_u64() {
            Some(next) => which.after = next,
            None => return Ok(Outcome::Done),
        }
    }
}

fn import(way: &mut Way, bus: &BusArgs, queue: &str, file: &Path) -> Result<Outcome> {
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let open = std::fs::File::open(file).with_context(|| file.display().to_string())?;
        Box::new(BufReader::new(open))
    };
    let (mut imported, mut known) = (0, 0);
    for number in 1_u64.. {
        let mut line = String::new();
        let mut bounded = (&mut input).take(LETTER_LINE_BYTES_MAX as u64 + 1);
        if bounded.read_line(&mut line).with_context(|| format!("line {number}"))? == 0 {
            break;
        }
        if line.len() > LETTER_LINE_BYTES_MAX {
            bail!("line {number} is longer than {LETTER_LINE_BYTES_MAX} bytes");
        }
        if line.trim().is_empty() {
            continue;
        }
        let ask = Ask::Import { queue: queue.to_owned(), line: line.trim().to_owned() };
        let done = way.dead_letters(ask).with_context(|| {
            format!("line {number} ({imported} before it are stored; a second import leaves them out)")
        })?;
        imported += done["imported"].as_u64().unwrap_or(0);
        known += done["known"].as_u64().unwrap_or(0);
    }
    if bus.json {
        output::json(&json!({ "imported": imported, "known": known }));
    } else {
        output::say(&format!("{imported} stored, {known} were there already."));
    }
    Ok(Outcome::Done)
}
