//! Messages that no repeat can help: they have not their subject's form or size, or no subject any more. They are set
//! aside, one by one, in a queue of their own on disk, and what is behind them goes on.
//!
//! Holding them in front of their subject would hold everything behind them for ever, for an order that is worth nothing
//! without its first; dropping them would lose what was taken. What fails for another reason (no right, no stream, a form
//! of the stream) can be mended, and is held. Where this queue is full, they are held, too: nothing is lost in silence.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::batch::failed::{FailedQueue, FailedView, StoredGroup};
use crate::batch::plan::Group;
use crate::batch::{Batcher, Shared};
use crate::error::{Error, ErrorKind};

/// Whether the message itself is the reason.
fn is_of_message(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Schema | ErrorKind::Subject)
}

fn given_up(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Storage, "the queues of batches on disk").because(error)
}

impl Shared {
    /// Sends a group, and sets aside what of it can never be sent. Of one that failed, how many messages went before.
    pub(super) async fn deliver(self: &Arc<Self>, group: &Group) -> Result<(), (usize, Error)> {
        let checked = group.messages.iter().try_for_each(|one| self.bus.check_batched(&group.subject, one));
        let sent = match checked {
            Ok(()) => self.send(group).await,
            // From disk: the registry is another than it was.
            Err(error) => Err((0, error)),
        };
        let (done, error) = match sent {
            Ok(()) => (group.messages.len(), None),
            Err((done, error)) => (done, Some(error)),
        };
        self.sent.fetch_add(done as u64, Ordering::AcqRel);
        match error {
            None => Ok(()),
            Some(error) if is_of_message(&error) => self.one_by_one(group, done, error).await,
            Some(error) => Err((done, error)),
        }
    }

    /// A group of which one message at least is refused for good: a group has one outcome, so each goes by itself.
    async fn one_by_one(
        self: &Arc<Self>,
        group: &Group,
        done: usize,
        error: Error,
    ) -> Result<(), (usize, Error)> {
        let mut known = (group.messages.len() - done == 1).then_some(error);
        for (place, message) in group.messages.iter().enumerate().skip(done) {
            // Counted from the end: the same at every try, though those before it are gone by then. So a repeat of each is
            // known, and none is taken for another.
            let id = format!("{}-{}", group.id, group.messages.len() - place);
            let one = Group { subject: group.subject.clone(), id, messages: vec![message.clone()] };
            let sent = match known.take() {
                Some(error) => Err(error),
                None => match self.bus.check_batched(&one.subject, message) {
                    Ok(()) => self.send(&one).await.map_err(|(_, error)| error),
                    refused => refused,
                },
            };
            match sent {
                Ok(()) => _ = self.sent.fetch_add(1, Ordering::AcqRel),
                Err(error) if is_of_message(&error) => {
                    self.set_aside(one, error).await.map_err(|error| (place, error))?;
                }
                Err(error) => return Err((place, error)),
            }
        }
        Ok(())
    }

    async fn set_aside(self: &Arc<Self>, one: Group, error: Error) -> Result<(), Error> {
        let stored =
            StoredGroup { subject: one.subject.as_str().to_owned(), id: one.id, messages: one.messages };
        let shared = self.clone();
        let put = move || shared.on_refused(|refused| refused.append(&stored));
        let number = match tokio::task::spawn_blocking(put).await.map_err(given_up).flatten() {
            Ok(number) => number,
            Err(why) => {
                tracing::error!(%why, "a message that is refused for good finds no place, and holds its subject");
                return Err(error);
            }
        };
        metrics::counter!("tidings_bus_batch_set_aside_total", "kind" => error.kind().as_str()).increment(1);
        tracing::error!(%error, number, subject = %one.subject, "a message is refused for good, and set aside");
        self.show();
        Ok(())
    }

    fn on_refused<T>(&self, what: impl FnOnce(&mut FailedQueue) -> Result<T, Error>) -> Result<T, Error> {
        self.refused.lock().as_mut().map_or_else(|| Err(Error::closed()), what)
    }
}

impl Batcher {
    /// Takes a group on disk (`failed`) out and gives it back; what is behind it in its subject goes on. `why` is a word or
    /// two for the counter `tidings_bus_batch_taken_out_total`. `Overloaded`: it is being sent just now.
    pub async fn take_out(&self, number: u64, why: &'static str) -> Result<StoredGroup, Error> {
        let shared = self.shared.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let group = shared.on_disk(|failed| failed.read(number))?;
            if let Ok((subject, _)) = shared.bus.registry().parse(&group.subject)
                && !shared.plan.lock().take_out(&subject, number)
            {
                let what = format!("the failed batch {number} is being sent just now");
                return Err(Error::new(ErrorKind::Overloaded, what).after(shared.config.wait));
            }
            shared.on_disk(|failed| failed.remove(number))?;
            Ok(group)
        });
        let group = taken.await.map_err(given_up).flatten()?;
        metrics::counter!("tidings_bus_batch_taken_out_total", "why" => why).increment(1);
        tracing::warn!(
            number,
            why,
            subject = group.subject,
            messages = group.messages.len(),
            "a failed batch is taken out"
        );
        self.shared.show();
        self.shared.plan.lock().recover();
        self.shared.changed.notify_one();
        Ok(group)
    }

    /// Messages that were refused for good, each a group of one, oldest first.
    pub fn refused(&self) -> Vec<FailedView> {
        self.shared.refused.lock().as_ref().map(FailedQueue::list).unwrap_or_default()
    }

    /// Takes one of `refused` out, and gives it back: to be mended and pushed again, or to be let go.
    pub async fn take_refused(&self, number: u64) -> Result<StoredGroup, Error> {
        let shared = self.shared.clone();
        let taken = tokio::task::spawn_blocking(move || {
            shared.on_refused(|refused| {
                let group = refused.read(number)?;
                refused.remove(number)?;
                Ok(group)
            })
        });
        let group = taken.await.map_err(given_up).flatten()?;
        self.shared.show();
        Ok(group)
    }
}
