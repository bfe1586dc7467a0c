//! The service `presence`: who is in the world, from the bucket that zone hosts write after each commit.
//!
//! It watches the bucket and answers from memory, so that `who` costs the same whatever backend is below. Until the
//! first picture is whole it reads the bucket itself.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use tidings_bus::{Bus, Kv, KvEvent};
use tidings_protocol::proto::services::v1::{Present, WhoReply, WhoRequest};
use tidings_service::{CallError, Server};
use tidings_storage::names::name_key;
use tokio_util::sync::CancellationToken;

/// The bucket of who is where: volatile, by character.
pub const BUCKET: &str = "presence";
/// Most people of one answer: more than a screen holds, and a fraction of a message.
pub const WHO_MAX: usize = 1_000;
/// Longest filter that is looked at, in bytes.
const FILTER_BYTES_MAX: usize = 200;

/// The service: cheap to clone.
#[derive(Clone)]
pub struct PresenceService {
    bus: Bus,
    bucket: Kv,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    present: HashMap<String, Present>,
    whole: bool,
}

impl PresenceService {
    /// Over a bus.
    pub fn new(bus: Bus) -> Result<Self, CallError> {
        Ok(Self { bucket: bus.kv(BUCKET)?, bus, seen: Arc::default() })
    }

    /// Its methods on the bus.
    pub fn server(&self) -> Server {
        let service = self.clone();
        Server::new(self.bus.clone(), "presence").method("who", move |_call, request| {
            let service = service.clone();
            async move { service.who(request).await }
        })
    }

    /// Who is in the world, by name; with a filter, those whose name begins with it, without regard to case.
    pub async fn who(self, request: WhoRequest) -> Result<WhoReply, CallError> {
        if request.filter.len() > FILTER_BYTES_MAX {
            return Ok(WhoReply::default());
        }
        let filter = name_key(&request.filter);
        let mut online: Vec<Present> = match self.watched() {
            Some(all) => all,
            None => self.read().await?,
        };
        online.retain(|one| filter.is_empty() || name_key(&one.name).starts_with(&filter));
        online.sort_by_cached_key(|one| (one.name.to_lowercase(), one.id.clone()));
        online.truncate(WHO_MAX);
        Ok(WhoReply { online })
    }

    fn watched(&self) -> Option<Vec<Present>> {
        let seen = self.seen.lock();
        seen.whole.then(|| seen.present.values().cloned().collect())
    }

    async fn read(&self) -> Result<Vec<Present>, CallError> {
        let mut all = Vec::new();
        for key in self.bucket.keys().await?.into_iter().take(WHO_MAX) {
            let entry = self.bucket.get(&key).await?;
            all.extend(entry.and_then(|entry| Present::decode(entry.value).ok()));
        }
        Ok(all)
    }

    /// Watches the bucket until it is told to stop.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        let mut watch = self.bucket.watch();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => break,
                event = watch.next() => event,
            };
            match event {
                Ok(event) => self.heard(event),
                Err(error) if error.kind() == tidings_bus::ErrorKind::Closed => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.seen.lock().whole = false;
        Ok(())
    }

    fn heard(&self, event: KvEvent) {
        let mut seen = self.seen.lock();
        match event {
            KvEvent::Put(entry) => match Present::decode(entry.value) {
                Ok(present) => drop(seen.present.insert(entry.key, present)),
                Err(_) => drop(seen.present.remove(&entry.key)),
            },
            KvEvent::Delete { key, .. } => drop(seen.present.remove(&key)),
            KvEvent::Current => seen.whole = true,
            KvEvent::Resync => *seen = Seen::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    async fn put(service: &PresenceService, id: &str, name: &str) {
        let present = Present { id: id.into(), name: name.into(), ..Present::default() };
        service.bucket.put(id, present.encode_to_vec().into(), None).await.expect("written");
    }

    async fn names(service: &PresenceService, filter: &str) -> Vec<String> {
        let reply = service.clone().who(WhoRequest { filter: filter.into() }).await.expect("an answer");
        reply.online.into_iter().map(|one| one.name).collect()
    }

    #[tokio::test]
    async fn who_is_told_by_name_whether_watched_or_read() {
        let service = PresenceService::new(testing::bus()).expect("a service");
        for (id, name) in [("1", "Cleo"), ("2", "ann"), ("3", "Ben"), ("4", "Anna")] {
            put(&service, id, name).await;
        }
        for watched in [false, true] {
            let stop = CancellationToken::new();
            let task = watched.then(|| tokio::spawn(service.clone().maintain(stop.clone())));
            while watched && service.watched().is_none() {
                tokio::task::yield_now().await;
            }
            assert_eq!(names(&service, "").await, ["ann", "Anna", "Ben", "Cleo"]);
            assert_eq!(names(&service, "AN").await, ["ann", "Anna"]);
            assert!(names(&service, "nobody").await.is_empty());
            assert!(names(&service, &"x".repeat(999)).await.is_empty());
            stop.cancel();
            if let Some(task) = task {
                task.await.expect("no panic").expect("it ends well");
            }
        }
    }
}
