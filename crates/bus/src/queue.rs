//! A subscriber's bounded queue: many publishers, one reader that takes all that waits at each wake.
//!
//! A lock and a deque instead of a channel, because a slow-reader policy that drops the oldest needs both ends,
//! and because taking everything in one swap costs a reader one lock a wake instead of one a message.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use metrics::Counter;
use parking_lot::Mutex;

use crate::message::Message;
use crate::registry::SlowReader;

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It waits for the reader.
    Taken,
    /// It was taken and the oldest one dropped.
    DroppedOldest,
    /// It was dropped: the queue is full.
    Full(Message),
    /// It was dropped: the reader is gone.
    Closed(Message),
}

/// Counts what slow readers did not get, by what became of it.
pub(crate) struct Losses {
    dropped_newest: Counter,
    dropped_oldest: Counter,
    refused: Counter,
}

impl Losses {
    pub(crate) fn new() -> Self {
        let outcome =
            |outcome: &'static str| metrics::counter!("tidings_bus_slow_reader_total", "outcome" => outcome);
        Self {
            dropped_newest: outcome("dropped_newest"),
            dropped_oldest: outcome("dropped_oldest"),
            refused: outcome("refused"),
        }
    }

    pub(crate) fn count(&self, pushed: &Pushed, slow: SlowReader) {
        match pushed {
            Pushed::DroppedOldest => self.dropped_oldest.increment(1),
            Pushed::Full(_) if slow == SlowReader::Refuse => self.refused.increment(1),
            Pushed::Full(_) => self.dropped_newest.increment(1),
            Pushed::Taken | Pushed::Closed(_) => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// What the reader has taken out and not yet handed on: counts against the capacity.
    held: AtomicUsize,
    capacity: usize,
}

#[derive(Debug)]
struct Waiting {
    messages: VecDeque<Message>,
    waker: Option<Waker>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        let waiting = Waiting { messages: VecDeque::new(), waker: None, closed: false };
        Self { waiting: Mutex::new(waiting), held: AtomicUsize::new(0), capacity: capacity.max(1) }
    }

    /// Never waits. `Refuse` and `DropNewest` both hand the message back: what follows is the caller's affair.
    pub(crate) fn push(&self, message: Message, slow: SlowReader) -> Pushed {
        let mut waiting = self.waiting.lock();
        let pushed = self.put(&mut waiting, message, slow);
        Self::wake(waiting);
        pushed
    }

    /// As `push`, of many with one lock and one wake; who is not simply taken is told afterwards.
    pub(crate) fn push_all(
        &self,
        messages: impl Iterator<Item = Message>,
        mut told: impl FnMut(Pushed, SlowReader),
    ) {
        let mut odd = Vec::new();
        let mut waiting = self.waiting.lock();
        for message in messages {
            let slow = message.subject.slow();
            match self.put(&mut waiting, message, slow) {
                Pushed::Taken => {}
                pushed => odd.push((pushed, slow)),
            }
        }
        Self::wake(waiting);
        odd.into_iter().for_each(|(pushed, slow)| told(pushed, slow));
    }

    fn put(&self, waiting: &mut Waiting, message: Message, slow: SlowReader) -> Pushed {
        if waiting.closed {
            return Pushed::Closed(message);
        }
        let mut oldest = None;
        if waiting.messages.len() + self.held.load(Ordering::Relaxed) >= self.capacity {
            if slow != SlowReader::DropOldest {
                return Pushed::Full(message);
            }
            oldest = waiting.messages.pop_front();
            if oldest.is_none() {
                return Pushed::Full(message);
            }
        }
        waiting.messages.push_back(message);
        oldest.map_or(Pushed::Taken, drop_oldest)
    }

    fn wake(mut waiting: parking_lot::MutexGuard<'_, Waiting>) {
        let waker = if waiting.messages.is_empty() { None } else { waiting.waker.take() };
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves all that waits into `taken`; `false` once the queue is closed and empty.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>, taken: &mut VecDeque<Message>) -> Poll<bool> {
        let mut waiting = self.waiting.lock();
        if !waiting.messages.is_empty() {
            std::mem::swap(&mut waiting.messages, taken);
            self.held.store(taken.len(), Ordering::Relaxed);
            return Poll::Ready(true);
        }
        if waiting.closed {
            return Poll::Ready(false);
        }
        if !waiting.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            waiting.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// As `poll_take`, without waiting.
    pub(crate) fn take_into(&self, taken: &mut VecDeque<Message>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.messages, taken);
        self.held.store(taken.len(), Ordering::Relaxed);
    }

    /// The reader handed one on.
    pub(crate) fn taken_one(&self) {
        self.held.store(self.held.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// How many messages the reader has not seen.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().messages.len() + self.held.load(Ordering::Relaxed)
    }

    /// No more is taken; what waits is still read.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// The reader is gone: who waits for an answer is told that nobody serves it.
    pub(crate) fn close_and_refuse(&self, taken: &mut VecDeque<Message>) {
        let rest = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.messages)
        };
        for message in taken.drain(..).chain(rest) {
            if let Some(reply) = message.reply {
                reply.nobody(&message.subject);
            }
        }
        self.held.store(0, Ordering::Relaxed);
    }
}

fn drop_oldest(message: Message) -> Pushed {
    if let Some(reply) = message.reply {
        reply.nobody(&message.subject);
    }
    Pushed::DroppedOldest
}
