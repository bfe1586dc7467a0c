//! The handle that everything uses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::backend::Backend;
use crate::error::Error;
use crate::log::{Append, Committed, Fence, FollowSet, LogMessage};
use crate::message::{Headers, Subscription};
use crate::registry::Registry;
use crate::subject::{Pattern, Subject};

/// The bus: cheap to clone, over either backend.
#[derive(Clone)]
pub struct Bus {
    backend: Arc<dyn Backend>,
    registry: Arc<Registry>,
}

impl Bus {
    /// A bus over a backend.
    pub fn new(backend: Arc<dyn Backend>, registry: Arc<Registry>) -> Self {
        Self { backend, registry }
    }

    /// The registry its subjects come from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// At most once, to everyone subscribed now.
    pub async fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Result<(), Error> {
        self.backend.publish(subject, payload, headers).await
    }

    /// Messages of a pattern, at most `capacity` waiting.
    pub async fn subscribe(&self, pattern: &Pattern, capacity: usize) -> Result<Subscription, Error> {
        self.backend.subscribe(pattern, None, capacity).await
    }

    /// As `subscribe`, each message to one of the group.
    pub async fn queue_subscribe(
        &self,
        pattern: &Pattern,
        group: &str,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        self.backend.subscribe(pattern, Some(group), capacity).await
    }

    /// One answer, within the deadline, which travels with the request.
    pub async fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        self.backend.request(subject, payload, headers, deadline).await
    }

    /// Appends to several logs atomically, in order, or not at all.
    pub async fn commit(&self, batch: Vec<Append>, fences: Vec<Fence>) -> Result<Committed, Error> {
        self.backend.commit(batch, fences).await
    }

    /// Stored messages of the logs after a sequence, merged in the order of the stream, at most `limit`.
    pub async fn read(
        &self,
        subjects: &[Subject],
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogMessage>, Error> {
        self.backend.read(subjects, after, limit).await
    }

    /// The last message of a log.
    pub async fn last(&self, subject: &Subject) -> Result<Option<LogMessage>, Error> {
        self.backend.last(subject).await
    }

    /// Forgets a log's messages up to and with a sequence.
    pub async fn trim(&self, subject: &Subject, through: u64) -> Result<(), Error> {
        self.backend.trim(subject, through).await
    }

    /// A follower of several logs.
    pub fn follow_set(&self) -> FollowSet {
        self.backend.follow_set()
    }

    /// The stream's epoch: part of every position.
    pub fn epoch(&self) -> String {
        self.backend.epoch()
    }
}
