//! Requests that a group in this process serves, where it said that it is to be asked directly: a try of them goes past the
//! servers, as on the embedded bus. Where there is no room, or whoever had it goes without looking at it, the next way is
//! the long one, where another member may be.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::message::{Answer, Asked, Headers, Message, Reply};
use crate::nats::Nats;
use crate::nats::tries::Limit;
use crate::resilience::retry::DEADLINE_MAX;
use crate::router::answer_within;
use crate::subject::Subject;

/// A request of an asker who is told, kept until somebody has answered it.
struct Kept {
    nats: Weak<Nats>,
    runtime: Handle,
    subject: Subject,
    payload: Bytes,
    headers: Headers,
    until: Instant,
    asked: Asked,
}

impl Kept {
    /// The way of its answer; and itself, for as long as there is none.
    fn offered(self) -> (Arc<Mutex<Option<Self>>>, Answer) {
        let kept = Arc::new(Mutex::new(Some(self)));
        let answered = Arc::clone(&kept);
        let answer = move |answer| {
            let kept = answered.lock().take();
            if let Some(kept) = kept {
                kept.answered(answer);
            }
        };
        (kept, Answer::Away(Box::new(answer)))
    }

    /// Nobody here has looked at it: others are asked.
    fn answered(self, answer: Result<Bytes, Error>) {
        match answer {
            Err(error) if error.kind() == ErrorKind::NoResponders => self.go_far(Some(error)),
            answer => self.asked.tell(answer),
        }
    }

    /// In a task of its own, which ends with the deadline; after what a first try has met.
    fn go_far(self, met: Option<Error>) {
        let Some(nats) = self.nats.upgrade() else { return self.asked.tell(Err(Error::closed())) };
        let Self { runtime, subject, payload, headers, until, asked, .. } = self;
        runtime.spawn(async move {
            let left = until.saturating_duration_since(Instant::now());
            asked.tell(nats.request_counted(&subject, &payload, &headers, left, met).await);
        });
    }
}

impl Nats {
    /// Offers a request to whoever serves it here; given back where there is no room.
    fn offer(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Instant,
        answer: Answer,
        checked: u64,
    ) -> Result<(), Message> {
        let (subject, reply, deadline) = (subject.clone(), Some(Reply::new(answer)), Some(deadline));
        self.subscriptions.near.offer(Message { subject, payload, headers, reply, deadline, checked })
    }

    /// One try here; `None`: nobody here takes it.
    pub(super) async fn try_near(
        &self,
        subject: &Subject,
        payload: &Bytes,
        headers: &Headers,
        limit: Limit,
    ) -> Option<Result<Bytes, Error>> {
        if !self.subscriptions.near.serves(subject) {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let deadline = (limit.begun + limit.left.unwrap_or_default()).into_std();
        self.offer(subject, payload.clone(), headers.clone(), deadline, Answer::Here(answer), 0).ok()?;
        let wait = limit.until.saturating_duration_since(limit.begun);
        tokio::select! {
            () = self.connection.stop.cancelled() => Some(Err(Error::closed())),
            answer = answer_within(subject, answered, wait) => Some(answer),
        }
    }

    /// As the trait's: here without a task, where somebody here takes it.
    pub(super) fn ask_now(
        self: Arc<Self>,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
        asked: Asked,
    ) {
        if let Err(error) = self.connection.check_open() {
            return asked.tell(Err(error));
        }
        let (until, checked) = (Instant::now() + deadline.min(DEADLINE_MAX), asked.checked);
        let kept = Kept {
            nats: Arc::downgrade(&self),
            runtime: Handle::current(),
            subject: subject.clone(),
            payload: payload.clone(),
            headers: headers.clone(),
            until,
            asked: asked.counted(&self.asking),
        };
        if !self.subscriptions.near.serves(subject) {
            return kept.go_far(None);
        }
        let (nobody_has_it, answer) = kept.offered();
        if self.offer(subject, payload, headers, until, answer, checked).is_err()
            && let Some(kept) = nobody_has_it.lock().take()
        {
            kept.go_far(None);
        }
    }
}
