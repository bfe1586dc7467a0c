//! Commits: one event is one fenced publish, more are a fenced atomic batch; both are safe to repeat.
//!
//! The commit's id is the message id of its first message. The server stores an id once within its window, in
//! batches too, so a repeat after a lost answer is stored once whatever became of the first try, also when that one
//! arrives late. Where it is refused because a fence moved, the id says whether it was the commit itself that moved it:
//! stored with the id on a log that nobody reads, the server answers with the sequence of the first. A first try is asked
//! about as well where there are replicas: for a moment after a partition two servers take themselves for the leader, and
//! the one that is none answers from what it knew, while the other stores. It cannot answer what has to be stored.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Subject as Wire};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{Either, join_all, ready};
use metrics::Histogram;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::log::{Append, Committed, Fence};
use crate::nats::api::{ApiError, BATCH_DUPLICATE, BATCH_INCOMPLETE, Stored, parse};
use crate::nats::config::NatsConfig;
use crate::nats::connection::{Connection, RECONNECT_SOON, random_name};
use crate::nats::digits::push_letters;
use crate::nats::headers;
use crate::nats::hub::Hub;
use crate::nats::names::Names;
use crate::nats::read::Reader;
use crate::nats::tries::{Limit, Tries, is_passing};
use crate::registry::Registry;
use crate::under_way::UnderWay;

/// How long what is stored on the log that nobody reads stays there: longer than a message id is remembered.
const FILL_SECONDS: u64 = 300;

pub(crate) struct Committer {
    pub(crate) connection: Arc<Connection>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) names: Names,
    pub(crate) registry: Arc<Registry>,
    pub(crate) config: NatsConfig,
    pub(crate) open_batches: Semaphore,
    pub(crate) under_way: AtomicUsize,
    pub(crate) ids: Ids,
    pub(crate) took: Histogram,
}

/// Names that nobody else gives: what a process draws once, and a count. With a mark of each that nobody can tell from
/// those before, though they stand in what is stored: who may write anything to the stream could take the next id, and the
/// server would hold the commit for stored.
pub(crate) struct Ids {
    own: String,
    next: AtomicU64,
    secret: RandomState,
}

impl Ids {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { own: random_name()?, next: AtomicU64::new(0), secret: RandomState::new() })
    }

    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(self.own.len() + ID_MORE);
        id.push_str(&self.own);
        push_letters(&mut id, number);
        id.push('.');
        push_letters(&mut id, self.secret.hash_one(number));
        id
    }
}

/// What an id has behind the process's own name: two numbers of eleven letters at most, and a dot.
const ID_MORE: usize = 23;

/// One message of a commit.
#[derive(Debug)]
struct Entry {
    subject: Wire,
    /// Seconds it is kept.
    ttl: Option<u64>,
    /// Whether it takes the place of all before it in its log.
    rollup: bool,
    fence: Option<Fence>,
    payload: Bytes,
}

impl Entry {
    /// Its headers, made for each try: nearly always there is one.
    fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        if let Some(seconds) = self.ttl {
            headers::put_ttl(&mut map, seconds);
        }
        if self.rollup {
            headers::put(&mut map, headers::ROLLUP, "sub");
        }
        if let Some(fence) = &self.fence {
            headers::put(&mut map, headers::EXPECTED, fence.seq);
            headers::put(&mut map, headers::EXPECTED_SUBJECT, fence.subject.as_str());
        }
        map
    }
}

/// A commit as it is sent: `fillers` messages that only carry fences, then those of the caller.
struct Plan {
    entries: Vec<Entry>,
    fillers: usize,
}

impl Plan {
    /// Messages of the caller.
    fn count(&self) -> u64 {
        (self.entries.len() - self.fillers) as u64
    }

    /// Stored, the last message at this sequence.
    fn stored(&self, seq: u64) -> Committed {
        Committed { first: (seq + 1).saturating_sub(self.count()), last: seq }
    }
}

/// The id of a commit.
struct Id {
    text: String,
    /// Whether the server was asked about it: then it may be stored as the question's, and not as the commit's.
    asked: bool,
}

impl Id {
    fn of(text: String) -> Self {
        Self { text, asked: false }
    }
}

/// What one try came to.
enum Outcome {
    Stored(Committed),
    /// The same commit, perhaps under a new id, after a while; for this reason.
    Again(Error),
    Failed(Error),
}

/// Which message carries which fence: one a message, and none after a write to the fence's own log, which the
/// server would take for the fence having moved. What finds no place goes to a filler in front.
fn place_fences(batch: &[Append], fences: Vec<Fence>) -> (Vec<Option<Fence>>, Vec<Fence>) {
    if fences.is_empty() {
        return (Vec::new(), fences);
    }
    let mut places: Vec<Option<Fence>> = batch.iter().map(|_| None).collect();
    let mut homeless = Vec::new();
    for fence in fences {
        let last = batch.iter().position(|append| append.subject == fence.subject).unwrap_or(batch.len() - 1);
        match places[..=last].iter().position(Option::is_none) {
            Some(place) => places[place] = Some(fence),
            None => homeless.push(fence),
        }
    }
    (places, homeless)
}

impl Committer {
    /// Stored, or refused with nothing stored; `Timeout`: not known.
    pub(crate) fn commit(
        &self,
        batch: Vec<Append>,
        fences: Vec<Fence>,
    ) -> impl Future<Output = Result<Committed, Error>> {
        match self.connection.check_open() {
            Ok(()) => Either::Left(self.finish(batch, fences)),
            Err(closed) => Either::Right(ready(Err(closed))),
        }
    }

    /// One message is a publish, and several are too where there is one replica; else they are a batch.
    pub(crate) fn is_cheaper_apart(&self, messages: usize) -> bool {
        messages == 1 || self.reader.copies.count() == 1
    }

    /// Each by itself, all on their way at once. Servers with replicas refuse a second write under the same fence while
    /// the first is under way: there, and only there, one atomic batch is staged in memory, so that it is the cheaper way.
    /// A stream that failed is tried by one call at a time: until it is known to work they are one.
    pub(crate) async fn commit_each(
        &self,
        batch: Vec<Append>,
        fences: Vec<Fence>,
    ) -> Result<Vec<u64>, Error> {
        let probes = || !self.connection.guard.breakers().is_closed(&self.names.events());
        if self.reader.copies.count() > 1 || batch.len() == 1 || probes() {
            return Ok(self.commit(batch, fences).await?.seqs().collect());
        }
        self.connection.check_open()?;
        let each = batch.into_iter().map(|append| self.finish(vec![append], fences.clone()));
        // They are polled in this order, and none is put off for the others' sake: so they are sent in it.
        unconstrained(join_all(each)).await.into_iter().map(|committed| Ok(committed?.last)).collect()
    }

    /// As `commit`, also while the bus drains: for the end of what was begun.
    pub(crate) fn finish(
        &self,
        batch: Vec<Append>,
        fences: Vec<Fence>,
    ) -> impl Future<Output = Result<Committed, Error>> {
        self.finish_as(self.ids.next(), batch, fences)
    }

    /// As `finish`, under an id by which the server knows a repeat.
    pub(crate) fn finish_as(
        &self,
        id: String,
        batch: Vec<Append>,
        fences: Vec<Fence>,
    ) -> impl Future<Output = Result<Committed, Error>> {
        self.carry_out(id, self.plan(batch, fences.clone()), fences)
    }

    /// What is rare waits in boxes of its own: hundreds of commits are under way at once, and each is as large as what it
    /// may come to.
    async fn carry_out(&self, id: String, plan: Plan, fences: Vec<Fence>) -> Result<Committed, Error> {
        let _counted = UnderWay::count(&self.under_way);
        let begun = Instant::now();
        let stream = self.names.events();
        let mut tries = self.connection.to_stream(&stream, self.config.bus.deadline)?;
        let (mut id, mut unsure) = (Id::of(id), false);
        loop {
            let answer = self.try_once(&plan, &id.text, &tries).await;
            unsure |= answer.as_ref().is_err_and(may_be_stored);
            let outcome = match answer {
                Ok(Stored { error: None, duplicate: false, seq }) => Outcome::Stored(plan.stored(seq)),
                answer => Box::pin(self.judge(answer, &plan, &mut id, &fences, unsure, &mut tries)).await,
            };
            match outcome {
                Outcome::Stored(committed) => {
                    self.hub.learn(committed.last);
                    self.took.record(begun.elapsed());
                    return tries.ended(Ok(committed));
                }
                Outcome::Failed(error) => return tries.ended(Err(error)),
                Outcome::Again(error) => {
                    let again = Box::pin(tries.again(error)).await;
                    again.map_err(|error| if unsure { not_known(error) } else { error })?;
                }
            }
        }
    }

    /// One try, without fences. The id stores the batch once, however often it is tried while the server remembers.
    pub(crate) async fn commit_once(&self, id: &str, batch: Vec<Append>) -> Result<(), Error> {
        self.connection.check_open()?;
        let _counted = UnderWay::count(&self.under_way);
        let (plan, begun, stream) = (self.plan(batch, Vec::new()), Instant::now(), self.names.events());
        let tries = self.connection.to_stream(&stream, self.config.bus.try_wait)?;
        let outcome = match self.try_once(&plan, id, &tries).await {
            Ok(Stored { error: None, seq, .. }) => {
                self.hub.learn(seq);
                self.took.record(begun.elapsed());
                Ok(())
            }
            // An earlier try was stored, though nobody heard of it.
            Ok(Stored { error: Some(error), .. }) if error.err_code == BATCH_DUPLICATE => Ok(()),
            Ok(Stored { error: Some(error), .. }) => Err(error.to_error("a batch was not taken")),
            Err(error) => Err(error),
        };
        tries.ended(outcome)
    }

    fn plan(&self, batch: Vec<Append>, fences: Vec<Fence>) -> Plan {
        let (places, homeless) = place_fences(&batch, fences);
        let fillers = homeless.len();
        let mut entries = Vec::with_capacity(fillers + batch.len());
        for fence in homeless {
            let (ttl, fence) = (Some(FILL_SECONDS), Some(fence));
            let subject = self.names.fill().into();
            entries.push(Entry { subject, ttl, rollup: false, fence, payload: Bytes::new() });
        }
        let fences = places.into_iter().chain(std::iter::repeat_with(|| None));
        for (append, fence) in batch.into_iter().zip(fences) {
            let retention = self.config.retention_of(&self.registry, append.subject.as_str());
            entries.push(Entry {
                subject: append.subject.wire(),
                ttl: retention.age.map(whole_seconds),
                rollup: retention.messages == Some(1),
                fence,
                payload: append.payload,
            });
        }
        Plan { entries, fillers }
    }

    fn try_once<'a>(
        &'a self,
        plan: &'a Plan,
        id: &'a str,
        tries: &'a Tries<'_>,
    ) -> impl Future<Output = Result<Stored, Error>> + use<'a> {
        let [only] = plan.entries.as_slice() else {
            return Either::Right(self.try_batch(plan, id, tries).boxed());
        };
        let mut map = only.headers();
        headers::put(&mut map, headers::MESSAGE_ID, id);
        let (subject, payload) = (only.subject.clone(), only.payload.clone());
        Either::Left(self.connection.store(subject, Some(map), payload, tries.wait()))
    }

    async fn try_batch(&self, plan: &Plan, id: &str, tries: &Tries<'_>) -> Result<Stored, Error> {
        self.connection.check_up()?;
        let begun = Instant::now();
        let open = tokio::time::timeout(tries.wait(), self.open_batches.acquire()).await.map_err(|_| {
            Error::new(ErrorKind::Overloaded, "as many batches are open as may be").after(RECONNECT_SOON)
        })?;
        let _open = open.map_err(|_| Error::closed())?;
        let limit = Limit::of(tries.wait());
        let batch = format!("{id}-{}", tries.done);
        let last = plan.entries.len() - 1;
        // All of it by one connection: the server takes a batch in its order.
        let member = self.connection.any(&plan.entries[last].subject)?;
        let (place, answered) = member.place();
        for (index, entry) in plan.entries.iter().enumerate() {
            let mut map = entry.headers();
            headers::put(&mut map, headers::BATCH_ID, &batch);
            headers::put(&mut map, headers::BATCH_SEQUENCE, index + 1);
            if index == plan.fillers {
                headers::put(&mut map, headers::MESSAGE_ID, id);
            }
            if index == last {
                headers::put(&mut map, headers::BATCH_COMMIT, 1);
            }
            let reply = (index == last).then(|| place.reply());
            let (subject, payload) = (entry.subject.clone(), entry.payload.clone());
            let message = OutboundMessage { subject, reply, payload, headers: Some(map) };
            member.send_by(limit.until, message).await?;
        }
        let subject = &plan.entries[last].subject;
        let answer = member.answer(subject, answered, limit).await?;
        let stored: Stored = parse(subject, &answer.payload)?;
        // A part that this user may not send is missing, however often it is tried.
        if stored.error.as_ref().is_some_and(|error| error.err_code == BATCH_INCOMPLETE)
            && let Some(refused) =
                plan.entries.iter().find_map(|entry| self.connection.refused(&entry.subject, begun))
        {
            return Err(refused);
        }
        Ok(stored)
    }

    async fn judge(
        &self,
        answer: Result<Stored, Error>,
        plan: &Plan,
        id: &mut Id,
        fences: &[Fence],
        unsure: bool,
        tries: &mut Tries<'_>,
    ) -> Outcome {
        let count = plan.count();
        let error = match answer {
            Err(error) if is_passing(&error) => return Outcome::Again(error),
            Err(error) => return Outcome::Failed(error),
            // There already: the commit, or the question whether it is.
            Ok(Stored { error: None, duplicate: true, .. }) if id.asked => None,
            Ok(Stored { error: None, seq, .. }) => return Outcome::Stored(plan.stored(seq)),
            Ok(Stored { error: Some(error), .. }) => Some(error),
        };
        let there = error.as_ref().is_none_or(|error| error.err_code == BATCH_DUPLICATE);
        let moved = error.as_ref().is_some_and(ApiError::is_wrong_sequence);
        if there || (moved && (unsure || self.reader.may_lag())) {
            match self.find(id, tries).await {
                Ok(Some(first)) => {
                    return Outcome::Stored(Committed { first, last: first + count - 1 });
                }
                // Asking took the id: under it nothing can be stored any more.
                Ok(None) => *id = Id::of(self.ids.next()),
                Err(error) if is_passing(&error) => return Outcome::Again(error),
                Err(error) => return Outcome::Failed(error),
            }
        }
        if moved {
            // The stream answered; who holds the fence is asked in a call of its own.
            tries.heard();
            return match self.moved_fence(fences).await {
                Ok(Some(why)) => Outcome::Failed(Error::new(ErrorKind::Fenced, why)),
                // Two writes under one fence were in flight at once: neither moved it.
                Ok(None) => Outcome::Again(Error::new(
                    ErrorKind::Overloaded,
                    "other commits under the same fence are under way",
                )),
                Err(error) if is_passing(&error) => Outcome::Again(error),
                Err(error) => Outcome::Failed(error),
            };
        }
        match error {
            Some(error) if !there && !error.is_passing() => {
                Outcome::Failed(error.to_error("a commit was not taken"))
            }
            Some(error) => Outcome::Again(error.to_error("a commit was not taken")),
            None => Outcome::Again(Error::new(ErrorKind::NoResponders, "a commit has to have another id")),
        }
    }

    /// The sequence under which a message with this id is stored.
    async fn find(&self, id: &mut Id, tries: &Tries<'_>) -> Result<Option<u64>, Error> {
        let mut map = HeaderMap::new();
        headers::put(&mut map, headers::MESSAGE_ID, &id.text);
        let asked_before = std::mem::replace(&mut id.asked, true);
        headers::put_ttl(&mut map, FILL_SECONDS);
        let stored =
            self.connection.store(self.names.fill().into(), Some(map), Bytes::new(), tries.wait()).await?;
        match stored.error {
            Some(error) => {
                let kind = if error.is_passing() { ErrorKind::NoResponders } else { ErrorKind::Publish };
                Err(Error::new(kind, format!("whether a commit is stored: {}", error.description)))
            }
            None if !stored.duplicate => Ok(None),
            // It may be the question itself, asked when its answer was lost.
            None if asked_before => self.unless_question(stored.seq).await,
            None => Ok(Some(stored.seq)),
        }
    }

    /// A sequence, unless it is that of a question.
    async fn unless_question(&self, seq: u64) -> Result<Option<u64>, Error> {
        let found = self.reader.leader_has(&self.names.events(), &json!({"seq": seq})).await?;
        // What is gone was no question: those stay for longer than a commit takes.
        let question = found.is_some_and(|raw| raw.subject == self.names.fill());
        Ok((!question).then_some(seq))
    }

    /// Says which fence moved.
    async fn moved_fence(&self, fences: &[Fence]) -> Result<Option<String>, Error> {
        for fence in fences {
            let found = self.reader.last_raw(&fence.subject).await?.map_or(0, |raw| raw.seq);
            if found != fence.seq {
                let Fence { subject, seq } = fence;
                return Ok(Some(format!("the fence '{subject}' is at {found}, the commit expected {seq}")));
            }
        }
        Ok(None)
    }
}

/// A time limit as the server takes it: whole seconds, one at least.
pub(crate) fn whole_seconds(time: std::time::Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Whether what a try met leaves open if it was stored: where nobody hears the subject, nobody stored it.
fn may_be_stored(error: &Error) -> bool {
    is_passing(error) && error.kind() != ErrorKind::NoResponders
}

fn not_known(error: Error) -> Error {
    Error::new(ErrorKind::Timeout, "whether the commit was stored is not known").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Class;
    use crate::subject::Subject;

    fn subject(text: &str) -> Subject {
        Subject::internal(text.to_owned(), Class::Durable)
    }

    #[test]
    fn a_fence_comes_before_a_write_to_its_own_log() {
        for (batch, fences, expected, homeless) in [
            (&["z", "a", "b"][..], &["o"][..], "o--", ""),
            (&["o"], &["o"], "o", ""),
            (&["a"], &["o", "p"], "o", "p"),
            (&["a", "b"], &["o", "p"], "op", ""),
            (&["p", "b"], &["o", "p"], "o-", "p"),
            (&["a", "p", "b"], &["o", "p", "q"], "opq", ""),
        ] {
            let batch: Vec<_> =
                batch.iter().map(|name| Append { subject: subject(name), payload: Bytes::new() }).collect();
            let given = fences.iter().map(|name| Fence { subject: subject(name), seq: 1 }).collect();
            let (places, left) = place_fences(&batch, given);
            let shown: String = places
                .iter()
                .map(|place| place.as_ref().map_or("-", |fence| fence.subject.as_str()))
                .collect();
            let left: String = left.iter().map(|fence| fence.subject.as_str()).collect();
            assert_eq!((shown.as_str(), left.as_str()), (expected, homeless), "{fences:?}");
        }
    }
}
