//! A call of this backend on its way: deadline, breaker, retry, call (`resilience`), over one connection.
//!
//! What goes to a stream carries an id or only reads, so it may arrive twice: its tries are short, and while the stream
//! chooses its leader they are repeated quickly. A request is sent again only where it surely was not received, or where
//! it carries a key by which the receiver knows a repeat.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::nats::api::Stored;
use crate::nats::connection::Connection;
use crate::nats::stream;
use crate::resilience::retry::Trouble;
use crate::resilience::{Call, Repeats, Target};

/// Tries of one call within its deadline.
pub(crate) struct Tries<'a> {
    connection: &'a Connection,
    destination: &'a str,
    call: Call<'a>,
    target: Target,
    /// How many there were before this one.
    pub(crate) done: u32,
}

/// An error that a later try of a call to a stream may not meet.
pub(crate) fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connection | ErrorKind::NoResponders | ErrorKind::Timeout)
}

impl Connection {
    /// A call to a stream. `CircuitOpen`: the stream is left alone for a while.
    pub(crate) fn to_stream<'a>(&'a self, stream: &'a str, deadline: Duration) -> Result<Tries<'a>, Error> {
        self.tries(stream, Target::Stream, Repeats::Always, deadline)
    }

    /// A call to whoever serves a subject.
    pub(crate) fn to_service<'a>(
        &'a self,
        subject: &'a str,
        repeats: Repeats,
        deadline: Duration,
    ) -> Result<Tries<'a>, Error> {
        self.tries(subject, Target::Service, repeats, deadline)
    }

    fn tries<'a>(
        &'a self,
        destination: &'a str,
        target: Target,
        repeats: Repeats,
        deadline: Duration,
    ) -> Result<Tries<'a>, Error> {
        let call = self.guard.call(destination, target, repeats, deadline)?;
        Ok(Tries { connection: self, destination, call, target, done: 0 })
    }

    /// Stores a message that may arrive twice: it carries an id, or replaces what is there. `what` is told where it is
    /// refused.
    pub(crate) async fn store_surely(
        &self,
        stream: &str,
        subject: &str,
        headers: &HeaderMap,
        payload: &Bytes,
        deadline: Duration,
        what: &str,
    ) -> Result<Stored, Error> {
        let mut tries = self.to_stream(stream, deadline)?;
        loop {
            let sent = self.store(subject.into(), Some(headers.clone()), payload.clone(), tries.wait());
            let error = match sent.await {
                Ok(Stored { error: Some(error), .. }) if error.is_passing() => error.to_error(what),
                Ok(Stored { error: Some(error), .. }) => return tries.ended(Err(error.to_error(what))),
                Ok(stored) => return tries.ended(Ok(stored)),
                Err(error) if is_passing(&error) => error,
                Err(error) => return tries.ended(Err(error)),
            };
            tries.again(error).await?;
        }
    }
}

/// How long one try may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// When it began.
    pub(crate) begun: Instant,
    /// When it is given up.
    pub(crate) until: Instant,
    /// How long the asker waits for an answer, where who answers is told.
    pub(crate) left: Option<Duration>,
}

impl Limit {
    /// So long, from now.
    pub(crate) fn of(wait: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, until: begun + wait, left: None }
    }
}

impl Tries<'_> {
    /// How long this try may take; who serves has until the asker stops waiting for it.
    pub(crate) fn limit(&self) -> Limit {
        let begun = Instant::now();
        let until = Instant::from_std(self.call.until());
        let left = until.saturating_duration_since(begun);
        Limit { begun, until: begun + self.within(left), left: Some(left) }
    }

    /// The same as a time.
    pub(crate) fn wait(&self) -> Duration {
        self.within(self.call.left())
    }

    fn within(&self, left: Duration) -> Duration {
        match self.call.repeats() {
            Repeats::Always => left.min(self.connection.try_wait),
            Repeats::UnlessReceived => left,
        }
    }

    /// What is left of the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.call.left()
    }

    /// The destination answered; what follows with it is another call's affair.
    pub(crate) fn heard(&mut self) {
        self.call.heard();
    }

    /// The outcome, told to the breaker.
    pub(crate) fn ended<T>(self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.call.ended(outcome)
    }

    /// A stream that has no leader for long may be none: who sees to it is told its name.
    async fn why_unheard(&self, error: Error) -> Error {
        let unheard = self.target == Target::Stream && error.kind() == ErrorKind::NoResponders;
        if unheard && stream::is_gone(self.connection, self.destination).await {
            return stream::gone(self.destination).because(error);
        }
        error
    }

    /// Waits before the next try, for a connection too; where there is to be none `error` is the outcome.
    pub(crate) async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.done += 1;
        let trouble = match self.target {
            // Whatever its words: only what may pass is repeated there.
            Target::Stream => Trouble::Settling,
            Target::Service => self.call.trouble(error.kind()),
        };
        let (pause, error) = match self.call.failed(trouble, error) {
            Ok(next) => next,
            Err(error) => return Err(self.why_unheard(error).await),
        };
        tokio::select! {
            () = self.connection.stop.cancelled() => return Err(Error::closed()),
            () = tokio::time::sleep(pause) => {}
        }
        if self.connection.wait_up(Instant::from_std(self.call.until())).await.is_err() {
            self.connection.check_open()?;
            return Err(error);
        }
        match self.call.again(error) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why_unheard(error).await),
        }
    }
}
