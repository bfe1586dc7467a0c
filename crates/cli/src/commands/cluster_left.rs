//! Servers of a cluster that an earlier `tidings cluster up` left running, since it was killed: nobody else would end them,
//! and they hold the ports and the streams.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::output;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Ends those that still run with one of these configurations; each wrote its number beside it.
pub fn end(configurations: &[PathBuf], wait: Duration) -> Result<()> {
    let left = || configurations.iter().filter_map(|path| running(path)).collect::<Vec<_>>();
    if left().is_empty() {
        return Ok(());
    }
    output::complain(&format!("Ending {} servers that an earlier run left here.", left().len()));
    for signal in [Signal::TERM, Signal::KILL] {
        for pid in left() {
            // One that has ended meanwhile was told enough.
            let _ = kill_process(pid, signal);
        }
        let begun = Instant::now();
        while begun.elapsed() < wait {
            if left().is_empty() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    bail!("servers of an earlier run do not end: {:?}", left())
}

/// The process that has this configuration by its command line: a number alone may be somebody else's by now, and one that
/// has ended has no command line, though its number may still be there.
fn running(configuration: &Path) -> Option<Pid> {
    let number = std::fs::read_to_string(configuration.with_extension("pid")).ok()?;
    let pid = Pid::from_raw(number.trim().parse().ok()?)?;
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let wanted = configuration.as_os_str().as_encoded_bytes();
    line.split(|byte| *byte == 0).any(|argument| argument == wanted).then_some(pid)
}
