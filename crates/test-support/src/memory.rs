//! What a process holds in memory, as Linux tells it.

/// What this process holds in memory, in bytes; `None` where the system does not say.
pub fn own() -> Option<u64> {
    of("self")
}

pub(crate) fn of(process: &str) -> Option<u64> {
    let told = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
