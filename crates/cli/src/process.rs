//! What a server asks of its process: a name, file descriptors, and metrics that do not grow while nobody reads them.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::task::AbortOnDropHandle;

/// Descriptors below which a busy evening ends in refused connections: each player takes one.
pub const DESCRIPTORS_WANTED: u64 = 4096;
/// Descriptors the system keeps places for from the start: 128 KB of its memory.
const DESCRIPTORS_READY: u64 = 16_384;
/// How often the samples of histograms are taken together; until then each is kept.
const UPKEEP: Duration = Duration::from_secs(5);

/// Longest part of a name that is its machine's.
const MACHINE_CHARS_MAX: usize = 24;

/// What this process is called among the others: as it was told, or as its machine, and a random part. With it no
/// other process has the name, the one that was started in its place least of all: sessions and leases of before are
/// told from those of now by it.
pub fn name(told: Option<&str>) -> Result<String, getrandom::Error> {
    let machine = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let machine = machine.split('.').next().unwrap_or_default();
    let machine: String = machine.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let machine = machine.get(..MACHINE_CHARS_MAX).unwrap_or(&machine);
    let machine = if machine.is_empty() { "tidings" } else { machine };
    Ok(format!("{}-{:08x}", told.unwrap_or(machine), getrandom::u32()?))
}

/// Raises the process's soft limit of file descriptors to the hard one, and has places made for many of them. To be
/// called before there are other threads: the table grows at once then, where with them each doubling of it holds up
/// whoever accepts a connection, and all of its shard, for some 15 ms.
pub fn raise_descriptors() {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of file descriptors cannot be raised");
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if current < DESCRIPTORS_WANTED {
        tracing::warn!(current, "few file descriptors: each connection takes one (ulimit -n)");
    }
    let highest = i32::try_from(current.min(DESCRIPTORS_READY)).unwrap_or(1) - 1;
    if let Err(error) = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), highest) {
        tracing::debug!(%error, "the table of file descriptors grows as connections come");
    }
}

/// Bounds of histograms of times, in seconds: a fast call to a deadline that has passed.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Bounds of histograms of sizes, in bytes: a line to the largest message.
const BYTES: [f64; 8] = [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];
/// Bounds of histograms of numbers of things.
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0];

/// Installs the process's metrics. Histograms have fixed bounds: they can be added up over instances, and cost a
/// few hundred bytes each where a summary's sketch grows to hundreds of kilobytes.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
        .install_recorder()
}

/// Takes the samples of histograms together, whether or not `/metrics` is read.
pub fn keep_up(metrics: PrometheusHandle) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut beat = tokio::time::interval(UPKEEP);
        loop {
            beat.tick().await;
            metrics.run_upkeep();
        }
    }))
}
