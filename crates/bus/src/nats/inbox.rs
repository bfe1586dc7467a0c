//! The process's own inbox: one subscription takes the answers to every call.
//!
//! The client's own `request` keeps an entry for each call that is never answered; here an entry goes with its
//! caller. A call may also have many answers: reads of many messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::nats::digits::{push_decimal, take_decimal};
use crate::subject::KeyMap;

/// Who waits for an answer.
enum Waiting {
    One(oneshot::Sender<async_nats::Message>),
    Many(mpsc::Sender<async_nats::Message>),
}

/// Between the number of a place and the milliseconds that are left of its deadline.
const LEFT: char = '-';

/// How long who is answered there still waits, where it says so: `<inbox>.<number>-<milliseconds>`.
pub(crate) fn time_left(reply: &str) -> Option<Duration> {
    let (number, left) = reply.rsplit('.').next()?.split_once(LEFT)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(number) || !is_number(left) {
        return None;
    }
    left.parse::<u32>().ok().map(|left| Duration::from_millis(left.into()))
}

/// Bytes made ready for a place in a subject, with what is left of a deadline: a dot, two numbers, and what is between.
const PLACE_BYTES: usize = 32;

/// The mark of who waits for what no refusal ends.
const UNMARKED: u64 = 0;

/// The table of who waits.
pub(crate) struct Inbox {
    prefix: String,
    /// By number, each with the mark of what it asked.
    waiting: Mutex<KeyMap<u64, (u64, Waiting)>>,
    next: AtomicU64,
}

/// A place in the table, given up when it is dropped.
pub(crate) struct Place {
    inbox: Arc<Inbox>,
    id: u64,
}

impl Place {
    /// The subject to answer to.
    pub(crate) fn reply(&self) -> async_nats::Subject {
        self.subject().into()
    }

    /// The same, saying how long the asker waits: clocks need not agree, and a header would cost both sides more than all
    /// the rest of a request.
    pub(crate) fn reply_within(&self, left: Duration) -> async_nats::Subject {
        let left = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let mut subject = self.subject();
        subject.push(LEFT);
        push_decimal(&mut subject, left.into());
        subject.into()
    }

    fn subject(&self) -> String {
        let prefix = &self.inbox.prefix;
        let mut subject = String::with_capacity(prefix.len() + PLACE_BYTES);
        subject.push_str(prefix);
        subject.push('.');
        push_decimal(&mut subject, self.id);
        subject
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inbox.waiting.lock().remove(&self.id);
    }
}

impl Inbox {
    /// An inbox under this subject.
    pub(crate) fn new(prefix: String) -> Arc<Self> {
        Arc::new(Self { prefix, waiting: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// What it subscribes to.
    pub(crate) fn pattern(&self) -> String {
        format!("{}.*", self.prefix)
    }

    fn place(self: &Arc<Self>, mark: u64, waiting: Waiting) -> Place {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(id, (mark, waiting));
        Place { inbox: self.clone(), id }
    }

    /// A place for one answer.
    pub(crate) fn one(self: &Arc<Self>) -> (Place, oneshot::Receiver<async_nats::Message>) {
        self.one_of(UNMARKED)
    }

    /// The same, for what `end` ends by its mark.
    pub(crate) fn one_of(self: &Arc<Self>, mark: u64) -> (Place, oneshot::Receiver<async_nats::Message>) {
        let (answer, answered) = oneshot::channel();
        (self.place(mark, Waiting::One(answer)), answered)
    }

    /// A place for many answers, with its mark; those beyond `capacity` that wait are dropped.
    pub(crate) fn many_of(
        self: &Arc<Self>,
        mark: u64,
        capacity: usize,
    ) -> (Place, mpsc::Receiver<async_nats::Message>) {
        let (answer, answers) = mpsc::channel(capacity);
        (self.place(mark, Waiting::Many(answer)), answers)
    }

    /// Nobody who waits with this mark waits any more: there will be no answer.
    pub(crate) fn end(&self, mark: u64) {
        self.waiting.lock().retain(|_, (known, _)| *known != mark);
    }

    /// Nobody is answered any more: who waits is told so.
    pub(crate) fn close(&self) {
        self.waiting.lock().clear();
    }

    /// Hands answers on until it is stopped, or the client ends.
    pub(crate) async fn run(self: Arc<Self>, mut answers: async_nats::Subscriber, stop: CancellationToken) {
        let handing_on = async {
            while let Some(answer) = answers.next().await {
                self.hand_on(answer);
            }
        };
        stop.run_until_cancelled(handing_on).await;
    }

    fn hand_on(&self, answer: async_nats::Message) {
        let place = answer.subject.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('.'));
        let Some((id, _)) = place.and_then(take_decimal) else { return };
        let mut waiting = self.waiting.lock();
        match waiting.get(&id) {
            Some((_, Waiting::One(_))) => {
                if let Some((_, Waiting::One(one))) = waiting.remove(&id) {
                    drop(waiting);
                    let _ = one.send(answer);
                }
            }
            Some((_, Waiting::Many(many))) => {
                let _ = many.try_send(answer);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_how_long_it_waits() {
        let inbox = Inbox::new("_INBOX.x".to_owned());
        let (place, _answered) = inbox.one();
        assert_eq!(
            time_left(&place.reply_within(Duration::from_millis(1_500))),
            Some(Duration::from_millis(1_500))
        );
        let uuid = "_INBOX.x.12345678-0000-4000-8000-000000000000";
        for other in [
            &*place.reply(),
            uuid,
            "_INBOX.x.-5",
            "_INBOX.x.5-",
            "_INBOX.x.5-x",
            "_INBOX.x.+5-5",
            "_INBOX.x.-",
            "",
            "_INBOX.x.1-+5",
        ] {
            assert_eq!(time_left(other), None, "{other}");
        }
        assert_eq!(time_left("_INBOX.x.1-99999999999999999999"), None, "no clock could add it");
    }

    /// The client's own requests keep an entry for each answer that never comes, for as long as it lives.
    #[tokio::test]
    async fn nothing_is_kept_for_an_answer_that_never_comes() {
        let inbox = Inbox::new("_INBOX.x".to_owned());
        for _ in 0..1_000 {
            let (place, answered) = inbox.one();
            let (many, answers) = inbox.many_of(UNMARKED, 4);
            // Who asks gives up, in whatever order.
            drop((answered, place, answers, many));
        }
        assert!(inbox.waiting.lock().is_empty());
        let (place, answered) = inbox.one();
        assert_eq!(inbox.waiting.lock().len(), 1);
        drop(answered);
        drop(place);
        assert!(inbox.waiting.lock().is_empty());
    }
}
