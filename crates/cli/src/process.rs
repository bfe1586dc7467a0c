//! What a server asks of its process: file descriptors, and metrics that do not grow while nobody reads them.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::task::AbortOnDropHandle;

/// Descriptors below which a busy evening ends in refused connections: each player takes one.
const DESCRIPTORS_WANTED: u64 = 4096;
/// How often the samples of histograms are taken together; until then each is kept.
const UPKEEP: Duration = Duration::from_secs(5);

/// Raises the process's soft limit of file descriptors to the hard one.
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
