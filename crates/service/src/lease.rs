//! What a process holds for a time, by its own clock: looked at for each call, without asking anybody. A process that was
//! frozen or cut off for longer knows at its first look that another may have taken over, before it hears so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A lease. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Lease {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    begun: Instant,
    /// Milliseconds after that.
    until_ms: AtomicU64,
    doubted: Notify,
}

impl Lease {
    /// Held from now on until then.
    pub fn until(until: Instant) -> Self {
        let inner = Inner { begun: Instant::now(), until_ms: AtomicU64::new(0), doubted: Notify::new() };
        let lease = Self { inner: Arc::new(inner) };
        lease.extend(until);
        lease
    }

    /// Held until then: reckoned from before it was asked for, since whoever gave it began to count after that.
    pub fn extend(&self, until: Instant) {
        let after = until.saturating_duration_since(self.inner.begun);
        self.inner.until_ms.store(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether it is held at this time.
    pub fn is_held_at(&self, now: Instant) -> bool {
        let until = Duration::from_millis(self.inner.until_ms.load(Ordering::Acquire));
        now.saturating_duration_since(self.inner.begun) < until
    }

    /// Whether it is held now. Where it is not, whoever renews it is told to look at once.
    pub fn is_held(&self) -> bool {
        let held = self.is_held_at(Instant::now());
        if !held {
            self.inner.doubted.notify_one();
        }
        held
    }

    /// Until somebody found that it has lapsed.
    pub async fn doubted(&self) {
        self.inner.doubted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_held_until_its_time_and_doubted_after() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let lease = Lease::until(now + 10 * second);
        assert!(lease.is_held_at(now + 9 * second) && !lease.is_held_at(now + 10 * second));
        lease.extend(now + 20 * second);
        assert!(lease.is_held_at(now + 19 * second) && lease.is_held());
        let doubted = lease.doubted();
        tokio::pin!(doubted);
        assert!(futures_util::poll!(&mut doubted).is_pending());
        lease.extend(now);
        assert!(!lease.is_held());
        doubted.await;
    }
}
