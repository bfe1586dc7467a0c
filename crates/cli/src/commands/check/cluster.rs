//! What is looked at on the cluster: each server, the streams, and what "stored" means there.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tidings_bus::nats::inspect::Inspection;

use super::{Finding, certificates};
use crate::commands::streams::inspect;
use crate::config::Config;

/// Clocks further apart than this make times of letters and expiries odd.
const CLOCK_MS: i64 = 1_000;
/// A round trip longer than this is felt in every commit.
const ROUND_TRIP_LONG_US: u64 = 50_000;
/// How long a monitoring page may take.
const MONITOR_WAIT: Duration = Duration::from_secs(3);
/// Bytes of it that are read.
const MONITOR_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Looks at each server, and at the streams through the first that answers.
pub async fn findings(config: &Config, monitors: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut through: Option<Inspection> = None;
    let servers = config.nats("check").map(|nats| nats.servers).unwrap_or_default();
    for server in &servers {
        let shown = server.rsplit_once('@').map_or(server.as_str(), |(_, address)| address);
        match inspect(config, Some(server)).await {
            Ok(inspection) => {
                findings.push(reached(shown, &inspection));
                findings.extend(certificates::of_server(shown, &inspection.server.certificates));
                if let Some(why) = &inspection.server.too_small {
                    findings.push(Finding::fail(
                        "max_payload",
                        why.clone(),
                        "no process starts over this server",
                    ));
                }
                through = through.or(Some(inspection));
            }
            Err(error) => {
                let advice = "start it, or name others with --nats; versions before 2.12 are too old";
                findings.push(Finding::fail("nats server", format!("{shown}: {error:#}"), advice));
            }
        }
    }
    if let Some(inspection) = &through {
        findings.extend(jetstream(inspection));
        findings.extend(copies(config, inspection));
        findings.extend(clock(inspection));
    }
    findings.push(stored(config, monitors));
    findings
}

fn reached(shown: &str, inspection: &Inspection) -> Finding {
    let server = &inspection.server;
    let trip = server.round_trip_us;
    let found = format!(
        "{shown}: {} {}, {:.1} ms there and back",
        server.name,
        server.version,
        trip as f64 / 1_000.0
    );
    if trip > ROUND_TRIP_LONG_US {
        return Finding::warn("nats server", found, "every commit waits for it: run nearer to the servers");
    }
    Finding::ok("nats server", found)
}

fn jetstream(inspection: &Inspection) -> Vec<Finding> {
    if let Some(error) = &inspection.server.jetstream_error {
        let advice = "turn JetStream on in every server; and let these credentials publish to $JS.API.> and hear _INBOX.>";
        return vec![Finding::fail("jetstream", error.clone(), advice)];
    }
    let mut findings = Vec::new();
    let missing = inspection.streams.iter().filter(|one| one.found.is_none() && one.error.is_none()).count();
    let found = format!(
        "{} streams stand, {missing} are made at the first start",
        inspection.streams.len() - missing
    );
    findings.push(Finding::ok("jetstream", found));
    for one in &inspection.refused {
        let advice = "what it is for was not looked at; 'tidings subjects --permissions' prints a user, 'operator', who may";
        findings.push(Finding::warn("rights", one.clone(), advice));
    }
    for one in &inspection.streams {
        if let Some(error) = &one.error {
            findings.push(Finding::fail(
                "stream",
                format!("{}: {error}", one.name),
                "see the permissions of this user",
            ));
        }
        if !one.differences.is_empty() {
            let advice = "it is another world's (subject_prefix), or was made with other settings (nats.replicas): \
                          the servers will not start over it";
            findings.push(Finding::fail(
                "stream",
                format!("{}: {}", one.name, one.differences.join("; ")),
                advice,
            ));
        }
        if let Some(behind) =
            one.found.as_ref().map(|found| found.behind.join(", ")).filter(|text| !text.is_empty())
        {
            findings.push(Finding::warn(
                "stream",
                format!("{}: behind or away: {behind}", one.name),
                "start those servers",
            ));
        }
    }
    findings
}

fn copies(config: &Config, inspection: &Inspection) -> Option<Finding> {
    let wanted = config.nats("check")?.replicas;
    let leader = inspection.streams.iter().find_map(|one| one.found.as_ref()?.leader.clone());
    // A server names the addresses of all of its cluster, itself among them.
    let servers = inspection.server.others.len().max(1);
    let found = format!("{wanted} of everything, {servers} servers");
    Some(if wanted > servers && leader.is_none() {
        let advice = "start as many servers as one cluster, or set nats.replicas lower";
        Finding::fail("copies", found, advice)
    } else if wanted == 1 {
        Finding::warn(
            "copies",
            found,
            "what that server loses is lost: nats.replicas = 3 on three servers or more",
        )
    } else {
        Finding::ok("copies", found)
    })
}

fn clock(inspection: &Inspection) -> Option<Finding> {
    let ahead = inspection.server.clock_ahead_ms?;
    let found = format!("the server's is {ahead} ms before this one");
    Some(if ahead.abs() > CLOCK_MS {
        Finding::warn(
            "clock",
            found,
            "set both by NTP: what is kept by its age is kept by the servers' clock",
        )
    } else {
        Finding::ok("clock", found)
    })
}

/// What "stored" means, by how often the servers sync.
fn stored(config: &Config, monitors: &[String]) -> Finding {
    let replicas = config.nats("check").map_or(1, |nats| nats.replicas);
    let majority = format!("acknowledged by {} of {replicas}", replicas / 2 + 1);
    let risk = "sets 'jetstream { sync_interval: always }' on every server where a loss of power to a majority at once must \
                lose nothing; it costs some milliseconds a commit on slow disks";
    if monitors.is_empty() {
        let found = format!("{majority}; how often the servers sync is not known");
        let advice = format!("--monitor http://HOST:8222 asks their monitoring port; who {risk}");
        return Finding::warn("stored", found, advice);
    }
    let mut seldom = Vec::new();
    for monitor in monitors {
        match sync_interval(monitor) {
            Ok(None) => {}
            Ok(Some(interval)) => seldom.push(format!("{monitor} syncs every {} s", interval.as_secs())),
            Err(error) => seldom.push(format!("{monitor}: {error:#}")),
        }
    }
    if seldom.is_empty() {
        return Finding::ok("stored", format!("{majority}, and on their disks: sync_interval is always"));
    }
    let advice = format!("memory alone has what is younger; an operator {risk}");
    Finding::warn("stored", format!("{majority}; {}", seldom.join("; ")), advice)
}

/// How often a server syncs; `None`: always.
fn sync_interval(monitor: &str) -> Result<Option<Duration>> {
    let address =
        monitor.strip_prefix("http://").context("a monitoring port is named as in http://127.0.0.1:8222")?;
    let address = address.trim_end_matches('/');
    let to = address.to_socket_addrs()?.next().context("no such host")?;
    let mut stream = TcpStream::connect_timeout(&to, MONITOR_WAIT)?;
    stream.set_read_timeout(Some(MONITOR_WAIT))?;
    stream.set_write_timeout(Some(MONITOR_WAIT))?;
    write!(stream, "GET /jsz HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MONITOR_BYTES_MAX).read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let state: Value = serde_json::from_str(body).context("no monitoring page of JetStream")?;
    if state["config"].is_null() {
        bail!("JetStream is off there");
    }
    if state["config"]["sync_always"] == true {
        return Ok(None);
    }
    Ok(Some(Duration::from_nanos(state["config"]["sync_interval"].as_u64().unwrap_or(0))))
}
