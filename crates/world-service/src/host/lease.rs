//! The lease of a zone: who may try to own it. It keeps hosts from fighting; that only one speaks is the fence's
//! doing, not the lease's.

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Error, ErrorKind, Kv};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A lease that is held: renewed until it is dropped or lost.
pub struct Lease {
    kv: Kv,
    zone: String,
    lost: CancellationToken,
    enough: CancellationToken,
    keeper: AbortOnDropHandle<u64>,
}

impl Lease {
    /// Waits until the lease of `zone` is free and takes it for `host`; `None` once `stop` is cancelled. A lease
    /// that was asked for is always either held or known not to be had: it stops between two attempts only.
    pub async fn take(
        kv: &Kv,
        zone: &str,
        host: &str,
        ttl: Duration,
        stop: &CancellationToken,
    ) -> Option<Self> {
        let pause = (ttl / 8).clamp(Duration::from_millis(5), Duration::from_millis(250));
        while !stop.is_cancelled() {
            match kv.create(zone, Bytes::copy_from_slice(host.as_bytes()), Some(ttl)).await {
                Ok(revision) => return Some(Self::held(kv.clone(), zone, host, ttl, revision)),
                Err(error) if error.kind() == ErrorKind::WrongRevision => {}
                Err(error) => tracing::warn!(zone, %error, "the lease cannot be asked for"),
            }
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        None
    }

    fn held(kv: Kv, zone: &str, host: &str, ttl: Duration, revision: u64) -> Self {
        let (lost, enough) = (CancellationToken::new(), CancellationToken::new());
        let keeper = Keeper { kv: kv.clone(), zone: zone.into(), host: host.into(), ttl, revision };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.run(lost.clone(), enough.clone())));
        Self { kv, zone: zone.into(), lost, enough, keeper }
    }

    /// Cancelled when the lease is lost.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the lease back, so that another host need not wait for it to lapse.
    pub async fn release(self) {
        self.enough.cancel();
        // The keeper finishes a renewal that is under way: cut off in the middle, it would not know the revision.
        let Ok(revision) = self.keeper.await else { return };
        if let Err(error) = self.kv.delete_revision(&self.zone, revision).await {
            tracing::debug!(zone = self.zone, %error, "the lease was not given back; it will lapse");
        }
    }
}

struct Keeper {
    kv: Kv,
    zone: String,
    host: String,
    ttl: Duration,
    revision: u64,
}

impl Keeper {
    /// Renews at a third of the time until `enough`; gives up when another has it, or when the time has passed
    /// without one renewal that was answered. The last revision known.
    async fn run(mut self, lost: CancellationToken, enough: CancellationToken) -> u64 {
        let mut renewed = Instant::now();
        loop {
            if enough.run_until_cancelled(tokio::time::sleep(self.ttl / 3)).await.is_none() {
                return self.revision;
            }
            let asked = Instant::now();
            match tokio::time::timeout(self.ttl / 3, self.renew()).await {
                Ok(Ok(revision)) => {
                    renewed = asked;
                    self.revision = revision;
                }
                Ok(Err(error)) if error.kind() == ErrorKind::WrongRevision => break,
                outcome => {
                    tracing::warn!(zone = self.zone, ?outcome, "the lease could not be renewed");
                    if renewed.elapsed() >= self.ttl {
                        break;
                    }
                }
            }
        }
        metrics::counter!("tidings_zone_leases_lost_total").increment(1);
        lost.cancel();
        self.revision
    }

    async fn renew(&self) -> Result<u64, Error> {
        let host = Bytes::copy_from_slice(self.host.as_bytes());
        self.kv.update(&self.zone, host, self.revision, Some(self.ttl)).await
    }
}
