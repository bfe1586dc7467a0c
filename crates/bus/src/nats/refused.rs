//! What the servers did not let this process send or hear: told beside the connection, without saying to which call it
//! belongs. Here it finds its call, so that whoever waits for an answer is told which right is missing, and at once.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::nats::inbox::Inbox;

/// Refusals that are remembered, the newest: a call asks for its own within milliseconds, and a process without rights
/// is refused a dozen subjects at its start.
const REMEMBERED_MAX: usize = 64;
/// How much earlier than its call a refusal may have come: who waits begins to, after it has sent, when it is its turn.
const BEFORE: Duration = Duration::from_secs(1);
/// How the server begins to say it.
const VIOLATION: &str = "Permissions Violation for ";

/// What a process may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Send,
    Hear,
}

/// The newest refusals of a connection.
pub(crate) struct Refusals {
    known: Mutex<VecDeque<(Instant, Right, String)>>,
    /// When the connection was made last: what may not be heard is said anew after that.
    joined: Mutex<Option<Instant>>,
    inbox: OnceLock<Arc<Inbox>>,
    hash: RandomState,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::default(),
            joined: Mutex::default(),
            inbox: OnceLock::new(),
            hash: RandomState::new(),
        }
    }

    /// Calls that wait for an answer in this inbox end when they are refused.
    pub(crate) fn end_calls_of(&self, inbox: Arc<Inbox>) {
        let _ = self.inbox.set(inbox);
    }

    /// There is a connection: what was refused over the one before may be a right by now.
    pub(crate) fn joined(&self) {
        *self.joined.lock() = Some(Instant::now());
    }

    /// How the inbox knows what a call is about, without keeping its subject.
    pub(crate) fn mark(&self, subject: &str) -> u64 {
        self.hash.hash_one(subject)
    }

    /// The server said something; whether it was a refusal.
    pub(crate) fn note(&self, said: &str) -> bool {
        let Some((right, subject)) = read(said) else { return false };
        {
            let mut known = self.known.lock();
            if known.len() == REMEMBERED_MAX {
                known.pop_front();
            }
            known.push_back((Instant::now(), right, subject.to_owned()));
        }
        // Remembered first: a call that is ended finds why.
        if let (Right::Send, Some(inbox)) = (right, self.inbox.get()) {
            inbox.end(self.mark(subject));
        }
        true
    }

    /// Why a call that began then had no answer, where a right was missing: to ask, or to hear answers.
    pub(crate) fn why(&self, subject: &str, since: Instant) -> Option<Error> {
        let known = self.known.lock();
        let mut newest = known.iter().rev();
        let sending =
            newest.find(|(at, right, of)| *right == Right::Send && of == subject && *at + BEFORE >= since);
        let mut newest = known.iter().rev();
        let inbox = self.inbox.get().map(|inbox| inbox.pattern());
        let joined = *self.joined.lock();
        let hearing = newest.find(|(at, right, of)| {
            let now = joined.is_none_or(|joined| *at + BEFORE >= joined);
            *right == Right::Hear && now && Some(of.as_str()) == inbox.as_deref()
        });
        let (what, of) = match (sending, hearing) {
            (Some((.., of)), _) => ("publish to", of),
            (None, Some((.., of))) => ("subscribe to", of),
            (None, None) => return None,
        };
        let what = format!("this user may not {what} '{of}' (a permissions violation, says the NATS server)");
        Some(Error::new(ErrorKind::Permission, what))
    }
}

/// The right and the subject of a refusal: `Permissions Violation for Publish to "a.b"`.
fn read(said: &str) -> Option<(Right, &str)> {
    let (_, rest) = said.split_once(VIOLATION)?;
    let right = if rest.starts_with("Publish") {
        Right::Send
    } else if rest.starts_with("Subscription") {
        Right::Hear
    } else {
        return None;
    };
    let (_, subject) = rest.split_once('"')?;
    Some((right, subject.split('"').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_ended_and_told_why() {
        let refusals = Refusals::new();
        let inbox = Inbox::new("_INBOX.x".to_owned());
        refusals.end_calls_of(inbox.clone());
        let since = Instant::now();
        let (_place, answered) = inbox.one_of(refusals.mark("a.b"));
        let (_other, mut other) = inbox.one_of(refusals.mark("a.c"));
        assert!(refusals.note("server error: nats: Permissions Violation for Publish to \"a.b\""));
        assert!(answered.await.is_err(), "it waits no more");
        assert!(
            other.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Empty)
        );
        let why = refusals.why("a.b", since).expect("it was refused");
        assert_eq!(why.kind(), ErrorKind::Permission);
        assert!(why.to_string().contains("'a.b'"), "{why}");
        assert!(refusals.why("a.c", since).is_none());
        assert!(refusals.why("a.b", Instant::now() + 3 * BEFORE).is_none(), "another call's");
        assert!(refusals.note("Permissions Violation for Subscription to \"_INBOX.x.*\""));
        assert!(
            refusals
                .why("a.c", since)
                .is_some_and(|why| why.to_string().contains("subscribe to '_INBOX.x.*'"))
        );
        for other in ["nats: Stale Connection", "Permissions Violation for x \"y\"", VIOLATION] {
            assert!(!refusals.note(other), "{other}");
        }
        (0..1_000).for_each(|n| assert!(refusals.note(&format!("{VIOLATION}Publish to \"s.{n}\""))));
        assert_eq!(refusals.known.lock().len(), REMEMBERED_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_heard_is_of_this_connection() {
        let refusals = Refusals::new();
        let inbox = Inbox::new("_INBOX.x".to_owned());
        refusals.end_calls_of(inbox);
        refusals.joined();
        refusals.note("Permissions Violation for Subscription to \"_INBOX.x.*\"");
        tokio::time::advance(60 * BEFORE).await;
        assert!(refusals.why("a", Instant::now()).is_some(), "however long ago it was said");
        refusals.joined();
        assert!(refusals.why("a", Instant::now()).is_none(), "the right may have been given since");
    }
}
