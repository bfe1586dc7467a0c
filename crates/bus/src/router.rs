//! Who hears what in the process, now: subscriptions by subject and by pattern, queue groups, requests.
//!
//! A subject's receivers are worked out once and kept until a subscription comes or goes, so that a publish is
//! one look-up whatever the number of patterns.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::Counter;
use parking_lot::RwLock;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::message::{Answer, Asked, Headers, Message, Reply, Subscription, Unsubscribe, no_responders};
use crate::queue::{Losses, Pushed, Queue};
use crate::registry::SlowReader;
use crate::subject::{KeyMap, Pattern, Subject};
use crate::under_way::UnderWay;

/// Most subjects whose receivers are kept worked out; beyond it they are worked out anew.
const ROUTES_MAX: usize = 65_536;

pub(crate) struct Router {
    table: RwLock<Table>,
    routes: RwLock<KeyMap<Subject, Route>>,
    closed: AtomicBool,
    asking: Arc<AtomicUsize>,
    losses: Losses,
    unheard: Counter,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    exact: HashMap<String, Vec<Entry>>,
    wild: Vec<(Pattern, Entry)>,
}

#[derive(Clone)]
struct Entry {
    id: u64,
    group: Option<Arc<str>>,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Route {
    everyone: Vec<Arc<Queue>>,
    groups: Vec<Group>,
}

struct Group {
    name: Arc<str>,
    members: Vec<Arc<Queue>>,
    turn: AtomicUsize,
}

/// What became of a message over all its receivers.
#[derive(Default)]
struct Outcome {
    taken: usize,
    full: usize,
}

impl Router {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            table: RwLock::default(),
            routes: RwLock::default(),
            closed: AtomicBool::new(false),
            asking: Arc::default(),
            losses: Losses::new(),
            unheard: metrics::counter!("tidings_bus_unheard_total"),
        })
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        pattern: &Pattern,
        group: Option<&str>,
        capacity: usize,
    ) -> Result<Subscription, Error> {
        let queue = Arc::new(Queue::new(capacity));
        let unsubscribe = self.join(pattern, group, &queue)?;
        Ok(Subscription::new(queue, unsubscribe))
    }

    /// A queue that somebody reads hears what is of the pattern, until it is told to no more.
    pub(crate) fn join(
        self: &Arc<Self>,
        pattern: &Pattern,
        group: Option<&str>,
        queue: &Arc<Queue>,
    ) -> Result<Unsubscribe, Error> {
        let mut table = self.table.write();
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        table.next_id += 1;
        let id = table.next_id;
        let entry = Entry { id, group: group.map(Arc::from), queue: queue.clone() };
        if pattern.is_wild() {
            table.wild.push((pattern.clone(), entry));
        } else {
            table.exact.entry(pattern.as_str().to_owned()).or_default().push(entry);
        }
        self.routes.write().clear();
        drop(table);
        let (router, pattern) = (self.clone(), pattern.clone());
        Ok(Box::new(move || router.unsubscribe(&pattern, id)))
    }

    fn unsubscribe(&self, pattern: &Pattern, id: u64) {
        let mut table = self.table.write();
        if pattern.is_wild() {
            table.wild.retain(|(_, entry)| entry.id != id);
        } else if let Some(entries) = table.exact.get_mut(pattern.as_str()) {
            entries.retain(|entry| entry.id != id);
            if entries.is_empty() {
                table.exact.remove(pattern.as_str());
            }
        }
        self.routes.write().clear();
    }

    /// Runs `deliver` over the subject's receivers.
    fn with_route<T>(&self, subject: &Subject, deliver: impl FnOnce(&Route) -> T) -> T {
        if let Some(route) = self.routes.read().get(subject) {
            return deliver(route);
        }
        let table = self.table.read();
        let route = table.route(subject);
        let outcome = deliver(&route);
        let mut routes = self.routes.write();
        if routes.len() >= ROUTES_MAX {
            routes.clear();
        }
        routes.insert(subject.clone(), route);
        outcome
    }

    pub(crate) fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        let (reply, deadline, checked) = (None, None, 0);
        let message = Message { subject: subject.clone(), payload, headers, reply, deadline, checked };
        let outcome = self.with_route(subject, |route| self.deliver(route, message));
        if outcome.full > 0 && subject.slow() == SlowReader::Refuse {
            return Err(overloaded(subject));
        }
        Ok(())
    }

    pub(crate) async fn request(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        let (answer, answered) = oneshot::channel();
        self.send(subject, payload, headers, deadline, Reply::new(Answer::Here(answer)), 0)?;
        let _asking = UnderWay::count(self.asking.as_ref());
        answer_within(subject, answered, deadline).await
    }

    /// Whether one group serves a subject, and nobody else of those that joined hears it.
    pub(crate) fn serves(&self, subject: &Subject) -> bool {
        !self.closed.load(Ordering::Acquire) && self.with_route(subject, |route| route.only_group().is_some())
    }

    /// A request to the group that serves it, where one does that has room; given back otherwise.
    pub(crate) fn offer(&self, message: Message) -> Result<(), Message> {
        if self.closed.load(Ordering::Acquire) {
            return Err(message);
        }
        let subject = message.subject.clone();
        self.with_route(&subject, |route| {
            let Some(group) = route.only_group() else { return Err(message) };
            match group.push(message, SlowReader::Refuse) {
                Pushed::Taken | Pushed::DroppedOldest => Ok(()),
                Pushed::Full(message) | Pushed::Closed(message) => Err(message),
            }
        })
    }

    /// As `request`, for an asker who is told.
    pub(crate) fn ask(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        asked: Asked,
    ) {
        if self.closed.load(Ordering::Acquire) {
            return asked.tell(Err(Error::closed()));
        }
        let checked = asked.checked;
        let reply = Reply::new(Answer::Told(asked.counted(&self.asking)));
        if let Err(error) = self.send(subject, payload, headers, deadline, reply.clone(), checked) {
            reply.send(Err(error));
        }
    }

    /// A request to whom it concerns.
    fn send(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        reply: Reply,
        checked: u64,
    ) -> Result<(), Error> {
        let deadline = Some(Instant::now() + deadline);
        let reply = Some(reply);
        let message = Message { subject: subject.clone(), payload, headers, reply, deadline, checked };
        let outcome = self.with_route(subject, |route| self.deliver(route, message));
        match outcome {
            Outcome { taken: 0, full: 0 } => Err(no_responders(subject)),
            Outcome { taken: 0, .. } => Err(overloaded(subject)),
            _ => Ok(()),
        }
    }

    fn deliver(&self, route: &Route, message: Message) -> Outcome {
        let mut outcome = Outcome::default();
        let slow = message.subject.slow();
        let receivers = route.everyone.len() + route.groups.len();
        let mut message = Some(message);
        for place in 0..receivers {
            let one = if place + 1 == receivers { message.take() } else { message.as_ref().map(copy) };
            let Some(one) = one else { break };
            let pushed = match route.everyone.get(place) {
                Some(queue) => queue.push(one, slow),
                None => route.groups[place - route.everyone.len()].push(one, slow),
            };
            self.losses.count(&pushed, slow);
            match pushed {
                Pushed::Taken | Pushed::DroppedOldest => outcome.taken += 1,
                Pushed::Full(_) => outcome.full += 1,
                Pushed::Closed(_) => {}
            }
        }
        if receivers == 0 {
            self.unheard.increment(1);
        }
        outcome
    }

    /// Requests under way, and messages that wait in subscriptions.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let table = self.table.read();
        let queues = table.exact.values().flatten().chain(table.wild.iter().map(|(_, entry)| entry));
        (self.asking.load(Ordering::Acquire), queues.map(|entry| entry.queue.len()).sum())
    }

    /// Takes nothing new; what waits can still be read.
    pub(crate) fn stop(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Ends every subscription once it is read.
    pub(crate) fn close(&self) {
        self.stop();
        let table = self.table.write();
        for entry in table.exact.values().flatten().chain(table.wild.iter().map(|(_, entry)| entry)) {
            entry.queue.close();
        }
        self.routes.write().clear();
    }
}

/// The answer that somebody in the process gives.
pub(crate) async fn answer_within(
    subject: &Subject,
    answered: oneshot::Receiver<Result<Bytes, Error>>,
    deadline: Duration,
) -> Result<Bytes, Error> {
    let timeout = |what: String| Err(Error::new(ErrorKind::Timeout, what));
    match tokio::time::timeout(deadline, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => timeout(format!("'{subject}' was taken and let go without an answer")),
        Err(_) => timeout(format!("no answer from '{subject}' within {deadline:?}")),
    }
}

fn overloaded(subject: &Subject) -> Error {
    Error::new(ErrorKind::Overloaded, format!("a subscriber of '{subject}' is full"))
}

fn copy(message: &Message) -> Message {
    Message {
        subject: message.subject.clone(),
        payload: message.payload.clone(),
        headers: message.headers.clone(),
        reply: message.reply.clone(),
        deadline: message.deadline,
        checked: message.checked,
    }
}

impl Table {
    fn route(&self, subject: &Subject) -> Route {
        let exact = self.exact.get(subject.as_str()).into_iter().flatten();
        let wild = self.wild.iter().filter(|(pattern, _)| pattern.matches(subject)).map(|(_, entry)| entry);
        let mut route = Route::default();
        for entry in exact.chain(wild) {
            match &entry.group {
                None => route.everyone.push(entry.queue.clone()),
                Some(name) => route.join(name, entry.queue.clone()),
            }
        }
        route
    }
}

impl Route {
    /// The group, where it is all there is.
    fn only_group(&self) -> Option<&Group> {
        match (&self.everyone[..], &self.groups[..]) {
            ([], [group]) => Some(group),
            _ => None,
        }
    }

    fn join(&mut self, name: &Arc<str>, queue: Arc<Queue>) {
        match self.groups.iter_mut().find(|group| group.name == *name) {
            Some(group) => group.members.push(queue),
            None => self.groups.push(Group {
                name: name.clone(),
                members: vec![queue],
                turn: AtomicUsize::new(0),
            }),
        }
    }
}

impl Group {
    /// To the member whose turn it is, or the next one that has room.
    fn push(&self, message: Message, slow: SlowReader) -> Pushed {
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut message = message;
        let mut full = false;
        for step in 0..self.members.len() {
            // Only the last member tried may drop an older message of its own to make room.
            let last = step + 1 == self.members.len();
            let policy = if last { slow } else { SlowReader::Refuse };
            match self.members[(start + step) % self.members.len()].push(message, policy) {
                Pushed::Full(back) => {
                    full = true;
                    message = back;
                }
                Pushed::Closed(back) => message = back,
                pushed => return pushed,
            }
        }
        if full { Pushed::Full(message) } else { Pushed::Closed(message) }
    }
}
