//! How commits reach the writer: a bounded number at a time, each waiting for its place and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use crate::embedded::disk::inbox::{Condition, Inbox, NewRecord, Txn};
use crate::error::{Error, ErrorKind};
use crate::log::Committed;

#[derive(Clone)]
pub(crate) struct LogHandle {
    inbox: Arc<Inbox>,
    places: Arc<Semaphore>,
    places_max: usize,
    patience: Duration,
    stopped: Arc<AtomicBool>,
    full: Counter,
}

impl LogHandle {
    pub(crate) fn new(inbox: Arc<Inbox>, places_max: usize, patience: Duration) -> Self {
        Self {
            inbox,
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            patience,
            stopped: Arc::default(),
            full: metrics::counter!("tidings_bus_commit_queue_full_total"),
        }
    }

    /// Whether commits are taken.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.stopped.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        match self.places.clone().try_acquire_owned() {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(Error::closed()),
            Err(TryAcquireError::NoPermits) => self.full.increment(1),
        }
        match tokio::time::timeout(self.patience, self.places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Error::closed()),
            Err(_) => Err(Error::new(
                ErrorKind::Overloaded,
                format!("{} commits wait for the disk already", self.places_max),
            )),
        }
    }

    /// Stored, or refused with nothing stored.
    pub(crate) async fn commit(
        &self,
        records: Vec<NewRecord>,
        conditions: Vec<Condition>,
    ) -> Result<Committed, Error> {
        self.check_open()?;
        self.finish(records, conditions).await
    }

    /// As `commit`, also while the bus drains: for the end of what was begun.
    pub(crate) async fn finish(
        &self,
        records: Vec<NewRecord>,
        conditions: Vec<Condition>,
    ) -> Result<Committed, Error> {
        let asked = Instant::now();
        let permit = self.place().await?;
        let (answer, answered) = oneshot::channel();
        let txn = Txn { records, conditions, answer: Some(answer), asked, _permit: permit };
        self.inbox.push(txn).map_err(|_| Error::closed())?;
        answered.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Stored soon; nobody waits. Where the queue is full it is left out.
    pub(crate) fn note(&self, record: NewRecord, conditions: Vec<Condition>) {
        let Ok(permit) = self.places.clone().try_acquire_owned() else {
            self.full.increment(1);
            return;
        };
        let txn =
            Txn { records: vec![record], conditions, answer: None, asked: Instant::now(), _permit: permit };
        let _ = self.inbox.push(txn);
    }

    /// Commits under way.
    pub(crate) fn under_way(&self) -> usize {
        self.places_max - self.places.available_permits().min(self.places_max)
    }

    /// Takes no new ones.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// The writer ends once it has done what waits.
    pub(crate) fn close(&self) {
        self.stop();
        self.places.close();
        self.inbox.close();
    }
}
