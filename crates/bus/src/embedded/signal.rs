//! Wakes a follower: raised by the writer when something it follows became visible.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

#[derive(Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// Wakes the follower unless it is about to look anyway.
    pub(crate) fn raise(&self) {
        if self.mark() {
            self.wake();
        }
    }

    /// As `raise`, in two steps: whether the follower is to be woken, once it can see what it is woken for.
    pub(crate) fn mark(&self) -> bool {
        !self.raised.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Called before looking: what becomes visible from now on raises it again.
    pub(crate) fn lower(&self) {
        self.raised.store(false, Ordering::Release);
    }

    /// Until it is raised.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|context| {
            if self.raised.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            self.waker.register(context.waker());
            if self.raised.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
