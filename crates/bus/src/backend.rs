//! What a backend does. Two exist: in the process, and NATS; one conformance suite runs against both.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::log::{Append, Committed, Fence, FollowSet, LogMessage};
use crate::message::{Headers, Subscription};
use crate::subject::{Pattern, Subject};

/// A backend of the bus. `Bus` checks subjects, classes, sizes and schemas before it calls one.
pub trait Backend: Send + Sync + 'static {
    /// At most once, to everyone subscribed now.
    fn publish(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
    ) -> BoxFuture<'_, Result<(), Error>>;
    /// Messages of a pattern; with `group`, each goes to one of the group. `capacity` bounds the queue.
    fn subscribe(
        &self,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, Error>>;
    /// One answer, within the deadline.
    fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, Error>>;
    /// All or nothing, in order, while every fence holds.
    fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> BoxFuture<'_, Result<Committed, Error>>;
    /// Stored messages of the logs after a sequence, merged in the order of the stream, at most `limit`.
    fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogMessage>, Error>>;
    /// The last message of a log.
    fn last(&self, subject: &Subject) -> BoxFuture<'_, Result<Option<LogMessage>, Error>>;
    /// Forgets a log's messages up to and with a sequence.
    fn trim(&self, subject: &Subject, through: u64) -> BoxFuture<'_, Result<(), Error>>;
    /// A follower of several logs.
    fn follow_set(&self) -> FollowSet;
    /// The stream's epoch.
    fn epoch(&self) -> String;
}
