//! The task of a batcher: does what the plan says, and tells it what became of that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::batch::anew::Anew;
use crate::batch::plan::{Group, Todo};
use crate::batch::{Shared, new_id, now};
use crate::error::{Error, ErrorKind};
use crate::subject::Subject;

/// How long a group that found no place on disk waits before it is tried again.
const FULL_AGAIN: Duration = Duration::from_secs(1);

/// A send that ended.
enum Ended {
    Sent(Group, Result<(), (usize, Error)>),
    Recovered(Subject, u64, Result<(), Error>),
}

type Sends<'a> = FuturesUnordered<BoxFuture<'a, Ended>>;

/// Whether sending the same again can help.
fn can_help(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Closed
}

impl Shared {
    pub(super) async fn run(self: Arc<Self>) {
        let mut sends = Sends::new();
        let mut connection = self.bus.connection_states().map(Anew::new);
        let mut beat = tokio::time::interval(self.config.recover_every);
        loop {
            let wake = self.begin(&mut sends).await;
            self.done.send_modify(|count| *count += 1);
            tokio::select! {
                () = self.stop.cancelled() => return,
                Some(ended) = sends.next() => self.end(ended).await,
                () = self.changed.notified() => {}
                () = sleep_until(wake) => {}
                () = made_anew(&mut connection) => self.plan.lock().recover(),
                _ = beat.tick() => self.plan.lock().recover(),
            }
        }
    }

    /// Begins all that can be; when to look again.
    async fn begin<'a>(self: &'a Arc<Self>, sends: &mut Sends<'a>) -> Option<Instant> {
        while sends.len() < self.config.sends {
            let todo = self.plan.lock().next(now(), new_id);
            match todo {
                Todo::Wait(at) => return at.map(Instant::from_std),
                Todo::Send(group) => {
                    self.counts.flushes.increment(1);
                    self.counts.sizes.record(group.messages.len() as f64);
                    sends.push(Box::pin(async move {
                        let sent = self.deliver(&group).await;
                        Ended::Sent(group, sent)
                    }));
                }
                Todo::Park(group) => self.put_on_disk(group).await,
                Todo::Recover(subject, number) => sends.push(Box::pin(async move {
                    let recovered = self.from_disk(&subject, number).await;
                    Ended::Recovered(subject, number, recovered)
                })),
            }
        }
        None
    }

    async fn put_on_disk(self: &Arc<Self>, group: Group) {
        let (shared, subject) = (self.clone(), group.subject.clone());
        let parked = tokio::task::spawn_blocking(move || shared.park(&group)).await;
        let why = match parked {
            Ok(Ok(number)) => {
                self.plan.lock().parked(&subject, number);
                self.show();
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(why, %subject, "a failed batch found no place on disk: it stays in memory");
        self.plan.lock().not_parked(&subject, FULL_AGAIN, now());
    }

    async fn from_disk(self: &Arc<Self>, subject: &Subject, number: u64) -> Result<(), Error> {
        let given_up = |error| Error::new(ErrorKind::Storage, "reading failed batches").because(error);
        let shared = self.clone();
        let read = tokio::task::spawn_blocking(move || shared.on_disk(|failed| failed.read(number))).await;
        let stored = read.map_err(given_up)??;
        let group = Group { subject: subject.clone(), id: stored.id, messages: stored.messages };
        if let Err((done, error)) = self.deliver(&group).await {
            self.keep_rest(number, done).await;
            return Err(error);
        }
        let shared = self.clone();
        // One that cannot be marked comes again after a restart.
        let removed =
            tokio::task::spawn_blocking(move || shared.on_disk(|failed| failed.remove(number))).await;
        if let Err(error) = removed.map_err(given_up).flatten() {
            tracing::error!(%error, number, "a failed batch was sent, and is still on disk");
        }
        Ok(())
    }

    /// What is done of a group on disk is not done again at its next try.
    async fn keep_rest(self: &Arc<Self>, number: u64, done: usize) {
        if done == 0 {
            return;
        }
        let shared = self.clone();
        let keep = move || shared.on_disk(|failed| failed.keep_rest(number, done));
        let why = match tokio::task::spawn_blocking(keep).await {
            Ok(Ok(())) => return self.show(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(why, number, done, "a failed batch was sent in part, and is still whole on disk");
    }

    async fn end(&self, ended: Ended) {
        match ended {
            Ended::Sent(group, Ok(())) => {
                self.plan.lock().sent(&group.subject);
            }
            Ended::Sent(group, Err((done, error))) => {
                self.counts.failures.increment(1);
                tracing::warn!(%error, subject = %group.subject, "a batch could not be sent");
                self.plan.lock().failed(&group.subject, done, can_help(&error), now());
            }
            Ended::Recovered(subject, _, Ok(())) => {
                self.counts.recovered.increment(1);
                self.plan.lock().recovered(&subject);
                self.show();
            }
            Ended::Recovered(subject, number, Err(error)) => {
                tracing::warn!(%error, %subject, number, "a failed batch could not be sent yet: it stays on disk");
                self.plan.lock().not_recovered(&subject);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until the connection is made anew; for ever where there is none.
async fn made_anew(connection: &mut Option<Anew>) {
    if let Some(anew) = connection {
        if anew.next().await.is_some() {
            return;
        }
        *connection = None;
    }
    std::future::pending().await
}
