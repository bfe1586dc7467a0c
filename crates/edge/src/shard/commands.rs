//! Commands on their way to the zone: asked without a task each, and the answers taken together.
//!
//! An answer comes with the number its command was asked with, which holds the connection's place: one that is late, or
//! of a connection that is no more, meets no command of that number.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tidings_bus::Asker;
use tidings_protocol::proto::world::v1::zone_reply;
use tidings_protocol::{ErrorCode, ZoneId};
use tidings_service::{CallError, zone_answer};
use tokio::sync::Notify;

use super::conn::At;
use super::table::Inflight;
use super::{Inner, Shard, TICK, Todo, ticks};
use crate::session::pause;

/// How long one attempt may take: an owner that died does not answer, and its heir is asked next.
const ATTEMPT: Duration = Duration::from_secs(3);

/// An answer with its command's number.
type Answer = (u64, Result<Bytes, tidings_bus::Error>);

/// The answers that wait for the shard: each of its sessions has one command in flight, asked a few times at most.
#[derive(Default)]
pub(crate) struct Answers {
    waiting: Mutex<Vec<Answer>>,
    filled: Notify,
}

impl Asker for Answers {
    fn answered(&self, number: u64, answer: Result<Bytes, tidings_bus::Error>) {
        let mut waiting = self.waiting.lock();
        waiting.push((number, answer));
        if waiting.len() == 1 {
            drop(waiting);
            self.filled.notify_one();
        }
    }
}

impl Answers {
    /// Until there are some.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

impl Shard {
    /// Asks the zone that the character is in to do the command in flight.
    pub(super) fn ask_zone(self: &Rc<Self>, at: At) {
        let Some((zone, request, number, left)) = self.inner.borrow_mut().next_attempt(at) else { return };
        let answers = Arc::clone(&self.answers);
        if let Err(error) = self.shared.caller.ask_zone(&zone, request, left, answers, number) {
            self.inner.borrow_mut().not_answered(at, &error);
        }
    }

    /// Takes the answers that came.
    pub(super) fn take_answers(self: &Rc<Self>) {
        let answers = self.answers.take();
        let mut inner = self.inner.borrow_mut();
        for (number, answer) in answers {
            inner.answered(number, zone_answer(answer));
        }
        drop(inner);
        self.settle();
    }
}

impl Inner {
    fn next_attempt(&mut self, at: At) -> Option<(ZoneId, Bytes, u64, Duration)> {
        let (number, tick) = (self.fresh_number(at), self.tick);
        let conn = self.conns.get_mut(at.key as usize).filter(|conn| conn.id == at.id)?;
        let session = conn.session()?;
        let inflight = session.inflight.as_mut()?;
        let ticks_left = if is_before(tick, inflight.until) { inflight.until.wrapping_sub(tick) } else { 0 };
        let left = TICK.saturating_mul(ticks_left).min(ATTEMPT);
        inflight.asked = number;
        // One more: the first of them is under way.
        inflight.late = Some(tick.wrapping_add(ticks(left) + 1));
        let request = self.pen.command(session.id, &inflight.id, session.character, &inflight.text);
        Some((session.zone.clone(), request, number, left))
    }

    /// A number that no command had, of this connection's place.
    pub(super) fn fresh_number(&mut self, at: At) -> u64 {
        self.next_number = self.next_number.wrapping_add(1).max(1);
        u64::from(self.next_number) << 32 | u64::from(at.key)
    }

    fn answered(&mut self, number: u64, answer: Result<zone_reply::Answer, CallError>) {
        let Some(at) = self.at(number as u32).filter(|at| self.asked(*at) == Some(number)) else { return };
        match answer {
            Ok(zone_reply::Answer::Command(done)) => self.command_done(at, done),
            Ok(_) => self.command_failed(at, &CallError::internal("The zone answers with something else.")),
            Err(error) => self.not_answered(at, &error),
        }
    }

    /// The number that the command in flight was last asked with.
    pub(super) fn asked(&mut self, at: At) -> Option<u64> {
        self.session(at)?.inflight.as_ref().map(|inflight| inflight.asked)
    }

    /// The command is asked again after a pause, where that can help and there is time.
    fn not_answered(&mut self, at: At, error: &CallError) {
        let tick = self.tick;
        if !error.is_retryable() {
            return self.command_failed(at, error);
        }
        let Some(inflight) = self.session(at).and_then(|session| session.inflight.as_mut()) else { return };
        let wait = pause(inflight.tries, error);
        inflight.tries = inflight.tries.saturating_add(1);
        inflight.late = None;
        if !is_before(tick.wrapping_add(ticks(wait)), inflight.until) {
            return self.command_failed(at, error);
        }
        let number = inflight.asked;
        self.todo.push(Todo::Again(at, number, wait));
    }

    /// Attempts that took too long.
    pub(super) fn sweep_commands(&mut self) {
        let tick = self.tick;
        let is_late = |inflight: &Inflight| inflight.late.is_some_and(|late| !is_before(tick, late));
        let late = self.conns.iter().filter_map(|(key, conn)| {
            let inflight = conn.session_ref()?.inflight.as_ref()?;
            is_late(inflight).then_some(At { key: key as u32, id: conn.id })
        });
        for at in late.collect::<Vec<_>>() {
            let message = "There was no answer in time.";
            self.not_answered(at, &CallError::new(ErrorCode::DeadlineExceeded, message));
        }
    }
}

/// Whether a tick comes before another.
fn is_before(tick: u32, other: u32) -> bool {
    tick.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
pub(super) mod tests;
