//! Messages from where nothing can wait: answers, refusals, acknowledgements. They are sent at once. Where the client's
//! queue is full, which is when a server takes nothing, they wait for room as tasks of the connection, within a bound.

use std::sync::Arc;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use metrics::Counter;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Outcome;
use crate::error::Error;
use crate::nats::connection::Connection;

/// Bytes that wait for room in the queues of clients; a message counts as its payload and 1 KiB beside it. That
/// is some dozens of the largest answers, or 32,768 acknowledgements. What comes beyond it is dropped and counted: work is
/// given out again, and who waits for an answer waits for the deadline.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a message that waits takes beside its payload, about, with its task; also the unit that is counted in.
const MESSAGE_BYTES: usize = 1024;

/// What waits for room, as far as it may.
pub(crate) struct Soon {
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Nothing waits any longer.
    end: CancellationToken,
    /// Who lets a request go may be on any thread.
    runtime: Handle,
    waited: Counter,
    dropped: Counter,
    failed: Counter,
}

impl Soon {
    /// Nothing waits yet. Its tasks are these, and run there.
    pub(crate) fn new(tasks: TaskTracker, runtime: Handle) -> Self {
        Self {
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX / MESSAGE_BYTES)),
            tasks,
            end: CancellationToken::new(),
            runtime,
            waited: metrics::counter!("tidings_bus_soon_waited_total"),
            dropped: metrics::counter!("tidings_bus_soon_dropped_total"),
            failed: metrics::counter!("tidings_bus_soon_failed_total"),
        }
    }

    /// Sends later, where there is room for so many bytes to wait.
    fn later(&self, bytes: usize, sending: impl Future<Output = Result<(), Error>> + Send + 'static) {
        let Some(room) = self.take(bytes) else {
            self.dropped.increment(1);
            tracing::debug!(bytes, "a message to NATS is dropped: too much waits for room");
            return;
        };
        self.waited.increment(1);
        let (end, failed, dropped) = (self.end.clone(), self.failed.clone(), self.dropped.clone());
        let waiting = async move {
            match end.run_until_cancelled(sending).await {
                Some(outcome) => told(outcome, &failed),
                None => dropped.increment(1),
            }
            drop(room);
        };
        self.tasks.spawn_on(waiting, &self.runtime);
    }

    /// What waits, in the unit that is counted in: no less than there are messages.
    pub(crate) fn waiting(&self) -> usize {
        WAITING_BYTES_MAX / MESSAGE_BYTES - self.room.available_permits()
    }

    /// What still waits is dropped.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(MESSAGE_BYTES) + 1).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(units).ok()
    }
}

/// Nobody waits for what comes of it.
fn told(outcome: Result<(), Error>, failed: &Counter) {
    if let Err(error) = outcome {
        failed.increment(1);
        tracing::debug!(%error, "a message to NATS was not sent");
    }
}

impl Connection {
    /// Sends a message from where nothing can wait, on any thread. One that cannot be sent is counted.
    pub(crate) fn send_soon(&self, subject: Subject, headers: Option<HeaderMap>, payload: Bytes) {
        let bytes = payload.len();
        self.finish_soon(bytes, self.send(subject, headers, payload));
    }

    /// Sees a message of so many bytes sent that is being sent already.
    pub(crate) fn finish_soon(&self, bytes: usize, sending: Outcome<'static, ()>) {
        match sending {
            Outcome::Ready(outcome) => told(outcome, &self.soon.failed),
            Outcome::Later(later) => self.soon.later(bytes, later),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// A message that waits until it is told to go on, and fails.
    fn late(go_on: &CancellationToken) -> impl Future<Output = Result<(), Error>> + use<> {
        let go_on = go_on.clone();
        async move {
            go_on.cancelled().await;
            Err(Error::new(ErrorKind::Publish, "it was refused"))
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_number_and_size() {
        for (bytes, most) in [(0, 32 * 1024), (512 * 1024, 63)] {
            let (soon, go_on) = (Soon::new(TaskTracker::new(), Handle::current()), CancellationToken::new());
            for _ in 0..most + 10 {
                soon.later(bytes, late(&go_on));
            }
            assert_eq!(soon.tasks.len(), most, "messages of {bytes} bytes");
            go_on.cancel();
            soon.tasks.close();
            soon.tasks.wait().await;
            assert_eq!(
                soon.room.available_permits() * MESSAGE_BYTES,
                WAITING_BYTES_MAX,
                "whatever came of them"
            );
        }
    }

    #[tokio::test]
    async fn nothing_waits_beyond_the_end() {
        let (soon, never) = (Soon::new(TaskTracker::new(), Handle::current()), CancellationToken::new());
        soon.later(1, late(&never));
        assert!(soon.waiting() > 0);
        soon.end();
        soon.tasks.close();
        soon.tasks.wait().await;
        assert_eq!(soon.waiting(), 0);
    }

    #[tokio::test]
    async fn it_may_be_called_from_any_thread() {
        let (soon, go_on) =
            (Arc::new(Soon::new(TaskTracker::new(), Handle::current())), CancellationToken::new());
        let (elsewhere, late) = (soon.clone(), late(&go_on));
        std::thread::spawn(move || elsewhere.later(1, late)).join().expect("no panic without a runtime");
        go_on.cancel();
        soon.tasks.close();
        soon.tasks.wait().await;
    }
}
