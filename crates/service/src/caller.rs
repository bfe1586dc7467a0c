//! The calling side: a typed request, an answer or a [`CallError`], within a deadline.

use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use prost::Message;
use tidings_bus::{Asker, Bus, Subject};
use tidings_protocol::command::read_in_log;
use tidings_protocol::proto::world::v1::{CommandDone, ZoneReply, ZoneRequest, zone_reply};
use tidings_protocol::{ErrorCode, ZoneId};

use crate::error::CallError;
use crate::subjects::Subjects;
use crate::wire;

/// Subjects kept ready: far more than a house has methods and zones; beyond it the cache starts anew.
const SUBJECTS_MAX: usize = 4096;

/// Calls services and zones. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    inner: Arc<Inner>,
}

struct Inner {
    bus: Bus,
    methods: Cache<(String, String)>,
    zones: Cache<ZoneId>,
}

impl Caller {
    /// Calls over this bus.
    pub fn new(bus: Bus) -> Self {
        Self { inner: Arc::new(Inner { bus, methods: Cache::new(), zones: Cache::new() }) }
    }

    /// The bus it calls over.
    pub fn bus(&self) -> &Bus {
        &self.inner.bus
    }

    /// Calls a method of a service, for example `account`, `sign-in`.
    pub async fn call<Req: Message, Rep: Message + Default>(
        &self,
        service: &str,
        method: &str,
        request: &Req,
        deadline: Duration,
    ) -> Result<Rep, CallError> {
        let Inner { bus, methods, .. } = &*self.inner;
        let key = (service.to_owned(), method.to_owned());
        let subject = methods.get(key, |_| Subjects(bus.registry()).service(service, method))?;
        let payload = Bytes::from(request.encode_to_vec());
        let answer = bus.request(&subject, payload, Vec::new(), deadline).await?;
        wire::decode(&answer)
    }

    /// Asks the owner of a zone. A refusal of the call itself is an error; a refusal by the rules is an answer.
    pub async fn zone(
        &self,
        zone: &ZoneId,
        request: &ZoneRequest,
        deadline: Duration,
    ) -> Result<zone_reply::Answer, CallError> {
        let payload = Bytes::from(request.encode_to_vec());
        let subject = self.zone_subject(zone)?;
        zone_answer(self.inner.bus.request(&subject, payload, Vec::new(), deadline).await)
    }

    /// As [`zone`](Self::zone) with an encoded [`ZoneRequest`], for an asker who is told ([`Bus::ask`]): [`zone_answer`]
    /// reads what it is told.
    pub fn ask_zone(
        &self,
        zone: &ZoneId,
        request: Bytes,
        deadline: Duration,
        asker: Arc<dyn Asker>,
        number: u64,
    ) -> Result<(), CallError> {
        let subject = self.zone_subject(zone)?;
        self.inner.bus.ask(&subject, request, Vec::new(), deadline, asker, number);
        Ok(())
    }

    fn zone_subject(&self, zone: &ZoneId) -> Result<Subject, CallError> {
        let Inner { bus, zones, .. } = &*self.inner;
        zones.get(zone.clone(), |zone| Subjects(bus.registry()).zone_commands(zone))
    }
}

/// The answer of a zone's owner, or why there is none.
pub fn zone_answer(answer: Result<Bytes, tidings_bus::Error>) -> Result<zone_reply::Answer, CallError> {
    let answer = answer?;
    if let Some(seq) = read_in_log(&answer) {
        let done = CommandDone { ok: true, reply: None, seq, in_log: true };
        return Ok(zone_reply::Answer::Command(done));
    }
    let malformed = || CallError::new(ErrorCode::Internal, "The zone's answer cannot be read.");
    match ZoneReply::decode(answer).map_err(|_| malformed())?.answer {
        Some(zone_reply::Answer::Refusal(refusal)) => Err(refusal.into()),
        Some(answer) => Ok(answer),
        None => Err(malformed()),
    }
}

/// Subjects by what they are built from.
struct Cache<K>(RwLock<HashMap<K, Subject>>);

impl<K: Eq + Hash> Cache<K> {
    fn new() -> Self {
        Self(RwLock::new(HashMap::new()))
    }

    fn get(
        &self,
        key: K,
        build: impl FnOnce(&K) -> Result<Subject, tidings_bus::Error>,
    ) -> Result<Subject, CallError> {
        if let Some(subject) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(subject.clone());
        }
        let subject = build(&key)?;
        let mut subjects = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if subjects.len() >= SUBJECTS_MAX {
            subjects.clear();
        }
        subjects.insert(key, subject.clone());
        Ok(subject)
    }
}
