//! The follower where the stream makes no copies to follow by: it refuses.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::log::{FollowSetBackend, Followed, From};
use crate::nats::hub::Hub;
use crate::subject::Subject;

/// Refuses each log it is asked for, once.
pub(crate) struct Unfollowed {
    hub: Arc<Hub>,
    woken: watch::Receiver<u64>,
    refused: usize,
}

impl Unfollowed {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { woken: hub.waker(), hub, refused: 0 }
    }

    async fn refuse(&mut self) -> Result<Followed, Error> {
        loop {
            if let Some(refused) = self.try_next() {
                return refused;
            }
            if self.hub.is_closed() {
                return Err(Error::closed());
            }
            drop(self.woken.changed().await);
        }
    }
}

impl FollowSetBackend for Unfollowed {
    fn add(&mut self, _: Subject, _: From) {
        self.refused += 1;
    }

    fn remove(&mut self, _: &Subject) {}

    fn next(&mut self) -> BoxFuture<'_, Result<Followed, Error>> {
        Box::pin(self.refuse())
    }

    fn try_next(&mut self) -> Option<Result<Followed, Error>> {
        self.refused = self.refused.checked_sub(1)?;
        let what = "logs are not followed here: the stream is made without copies ('follow' is off)";
        Some(Err(Error::new(ErrorKind::Config, what)))
    }

    fn position(&self) -> (u64, Vec<(Subject, u64)>) {
        (0, Vec::new())
    }
}
