//! Counting what a drain waits for.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Something under way, counted while it is: by a count that outlives it, or that it shares.
pub(crate) struct UnderWay<C: Deref<Target = AtomicUsize>>(C);

impl<C: Deref<Target = AtomicUsize>> UnderWay<C> {
    pub(crate) fn count(count: C) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl<C: Deref<Target = AtomicUsize>> Drop for UnderWay<C> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
