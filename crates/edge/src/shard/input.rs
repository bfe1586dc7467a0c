//! What a client sends, from messages to what is done about them. Limits come before parsing where they can.

use std::ops::ControlFlow;
use std::rc::Rc;

use tidings_protocol::frames::ClientFrame;
use tidings_protocol::read::client_text;
use tidings_protocol::{CloseCode, ErrorCode};

use super::conn::{At, Phase};
use super::end::{Bye, End};
use super::table::{Inflight, Queued};
use super::{Inner, TICK, Todo, ticks};
use crate::config::COMMAND_BYTES;
use crate::limits::Verdict;
use crate::session::{Hello, StateAsk, frames};
use crate::ws::{self, Bounds, Message, Violation};

/// Fragments of one message: nobody who types needs more than a few.
const FRAGMENTS_MAX: u32 = 64;
/// Refused frames within a minute before the connection ends: a client with a fault sends more, and one that is being written sees each refusal.
const REFUSED_MAX: u8 = 32;
/// Within this time.
const REFUSED_TICKS: u32 = (60_000 / TICK.as_millis()) as u32;
/// Frames of any kind between two ticks: a client that pings as fast as it can costs no more than this.
const FRAMES_A_TICK_MAX: u32 = 1_000;
/// Views asked for and not come: a client asks for pages one after the other.
const VIEWS_MAX: u8 = 4;

impl Inner {
    /// Takes what was read of a connection; `Break` when it is over.
    pub(crate) fn input(&mut self, at: At, input: &mut [u8]) -> ControlFlow<()> {
        let tick = self.tick;
        let Some(conn) = self.conn(at) else { return ControlFlow::Break(()) };
        conn.heard = tick;
        if matches!(conn.phase, Phase::Closing(..)) {
            return ControlFlow::Continue(());
        }
        let mut parser = std::mem::take(&mut conn.parser);
        let frame_bytes = self.shared.config.limits.frame_bytes;
        let bounds = Bounds {
            message_bytes: if frame_bytes == 0 { usize::MAX } else { frame_bytes },
            fragments: FRAGMENTS_MAX,
        };
        let fed = parser.feed(input, &bounds, |message| self.message(at, message));
        if let Err(violation) = fed {
            self.violation(at, violation);
        }
        match self.conn(at) {
            Some(conn) => {
                conn.parser = parser;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn violation(&mut self, at: At, violation: Violation) {
        metrics::counter!("tidings_edge_refused_frames_total", "kind" => violation.kind()).increment(1);
        self.close_plainly(at, violation.close_code(), &violation.to_string());
    }

    /// Ends a connection that broke WebSocket itself: a close frame of that protocol, and no other.
    fn close_plainly(&mut self, at: At, code: u16, reason: &str) {
        self.end(at, End::Lost("protocol"), None);
        let until = self.tick + 2;
        if let Some(conn) = self.conn(at) {
            conn.phase = Phase::Closing(until, false);
        }
        self.close_with(at, vec![ws::close(code, reason)]);
    }

    fn message(&mut self, at: At, message: Message<'_>) -> ControlFlow<()> {
        let Some(conn) = self.conn(at) else { return ControlFlow::Break(()) };
        conn.frames += 1;
        if conn.frames > FRAMES_A_TICK_MAX {
            self.end(at, End::Lost("flooding"), Some(Bye::of(CloseCode::Flooding)));
            return ControlFlow::Break(());
        }
        match message {
            Message::Text(text) => self.text(at, text),
            Message::Binary(_) => {
                metrics::counter!("tidings_edge_refused_frames_total", "kind" => "binary").increment(1);
                self.close_plainly(at, 1003, "only text frames are taken");
            }
            Message::Ping(payload) => {
                let frame = ws::pong(payload);
                self.push_now(at, frame);
            }
            Message::Pong => {}
            Message::Close(code) => self.close_plainly(at, code.unwrap_or(1000), ""),
        }
        match self.conn(at).map(|conn| &conn.phase) {
            None | Some(Phase::Closing(..)) => ControlFlow::Break(()),
            Some(_) => ControlFlow::Continue(()),
        }
    }

    fn text(&mut self, at: At, text: &str) {
        let frame = match client_text(text, self.shared.config.limits.json_depth) {
            Ok(frame) => frame,
            Err(error) => {
                let kind = error.kind.as_str();
                metrics::counter!("tidings_edge_refused_frames_total", "kind" => kind).increment(1);
                return self.refuse(at, None, ErrorCode::BadFrame, &error.message);
            }
        };
        match frame {
            ClientFrame::Ping { id } => self.push_now(at, frames::pong(id.as_deref())),
            ClientFrame::Hello { token, ticket, csrf, character, resume } => {
                self.hello(at, Hello { token, ticket, csrf, character, resume });
            }
            ClientFrame::Command { id, text } => self.command(at, id, text),
            ClientFrame::State { what, page } => self.state(at, StateAsk::asked(what, page)),
        }
    }

    fn hello(&mut self, at: At, hello: Hello) {
        let (draining, full) = (self.draining, self.is_full());
        let Some(conn) = self.conn(at) else { return };
        if !matches!(conn.phase, Phase::Hello(_)) {
            return self.refuse(at, None, ErrorCode::BadFrame, "A connection says hello once.");
        }
        if draining {
            return self.end(at, End::Drained, Some(Bye::of(CloseCode::Draining)));
        }
        if full {
            return self.end(at, End::Lost("full"), Some(Bye::of(CloseCode::Unavailable)));
        }
        conn.phase = Phase::Joining(None);
        self.todo.push(Todo::Join(at, Box::new(hello)));
    }

    /// Whether the connection was welcomed; a client that was not and asks for more than `hello` is refused.
    fn must_be_welcome(&mut self, at: At, id: Option<&str>) -> bool {
        match self.conn(at).map(|conn| &conn.phase) {
            Some(Phase::Live(_)) => return true,
            Some(Phase::Joining(Some(session))) if session.is_welcome() => return true,
            Some(Phase::Hello(_)) => self.end(at, End::Lost("no_hello"), Some(Bye::of(CloseCode::NoHello))),
            Some(Phase::Joining(_)) => {
                self.refuse(at, id, ErrorCode::FailedPrecondition, "Wait for the welcome.");
            }
            _ => {}
        }
        false
    }

    fn command(&mut self, at: At, id: String, text: String) {
        if !self.must_be_welcome(at, Some(&id)) || !self.within_limits(at, Some(&id)) {
            return;
        }
        let chars = self.shared.config.limits.command_chars;
        let too_many = chars != 0 && text.len() > chars && text.chars().count() > chars;
        if too_many || text.len() > COMMAND_BYTES {
            let message = if too_many {
                format!("Too long: at most {chars} characters.")
            } else {
                format!("Too long: at most {COMMAND_BYTES} bytes.")
            };
            return self.tell(at, Some(&id), ErrorCode::TooLarge, &message, None);
        }
        let burst = self.shared.config.limits.burst;
        self.figures.commands.increment(1);
        let counted = Rc::clone(&self.unanswered);
        let Some(session) = self.session(at) else { return };
        let known = session.inflight.as_ref().is_some_and(|inflight| *inflight.id == *id);
        if known || session.queue.iter().any(|queued| *queued.id == *id) {
            return self.refuse(
                at,
                Some(&id),
                ErrorCode::InvalidArgument,
                "A command of this id is under way.",
            );
        }
        if burst != 0 && session.queue.len() >= burst {
            let message = "Too many commands wait already.";
            return self.tell(at, Some(&id), ErrorCode::RateLimited, message, Some(1_000));
        }
        session.queue.push_back(Queued { id: id.into(), text: text.into(), counted });
        self.next_command(at);
    }

    /// Sends the next command where none is in flight and nothing missed has to be told first.
    pub(crate) fn next_command(&mut self, at: At) {
        let until = self.tick.wrapping_add(ticks(self.shared.config.session.command));
        let Some(session) = self.session(at) else { return };
        if session.inflight.is_some() || session.replay.is_some() {
            return;
        }
        let Some(Queued { id, text, counted }) = session.queue.pop_front() else { return };
        session.inflight =
            Some(Inflight { id, text, logged: 0, asked: 0, late: None, until, tries: 0, counted });
        self.todo.push(Todo::Command(at));
    }

    fn state(&mut self, at: At, ask: StateAsk) {
        if !self.must_be_welcome(at, None) || !self.within_limits(at, None) {
            return;
        }
        let Some(session) = self.session(at) else { return };
        if session.views >= VIEWS_MAX {
            let message = "Too many views are asked for already.";
            return self.tell(at, None, ErrorCode::RateLimited, message, Some(1_000));
        }
        session.views += 1;
        match &mut session.replay {
            Some(replay) => replay.views.push(ask),
            None => self.todo.push(Todo::State(at, ask)),
        }
    }

    /// The account's budget of commands; views count as commands.
    fn within_limits(&mut self, at: At, id: Option<&str>) -> bool {
        let Some(account) = self.session(at).map(|session| session.account) else { return false };
        match self.shared.limits.check_command(account) {
            Verdict::Ok => true,
            Verdict::Limited { retry_after } => {
                let wait = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
                let message = "Not so fast: too many commands.";
                self.tell(at, id, ErrorCode::RateLimited, message, Some(wait));
                false
            }
            Verdict::Close => {
                self.end(at, End::Lost("flooding"), Some(Bye::of(CloseCode::Flooding)));
                false
            }
        }
    }

    /// Refuses a frame; a client that goes on so is sent away.
    pub(crate) fn refuse(&mut self, at: At, id: Option<&str>, code: ErrorCode, message: &str) {
        self.tell(at, id, code, message, None);
        let tick = self.tick;
        let Some(session) = self.session(at) else {
            // Who says more than `hello` before the answer may go on; how much is bounded by the frames of a tick.
            if self.conn(at).is_some_and(|conn| !matches!(conn.phase, Phase::Joining(_))) {
                self.end(at, End::Lost("protocol"), Some(Bye::of(CloseCode::BadProtocol)));
            }
            return;
        };
        let (count, since) = session.refused;
        let fresh = count == 0 || tick.wrapping_sub(since) > REFUSED_TICKS;
        session.refused = if fresh { (1, tick) } else { (count + 1, since) };
        if session.refused.0 >= REFUSED_MAX {
            self.end(at, End::Lost("protocol"), Some(Bye::of(CloseCode::BadProtocol)));
        }
    }

    /// An `error` frame.
    pub(crate) fn tell(
        &mut self,
        at: At,
        id: Option<&str>,
        code: ErrorCode,
        message: &str,
        retry_after_ms: Option<u64>,
    ) {
        self.push_now(at, frames::error(id, code, message, retry_after_ms));
    }

    /// A frame of the edge's own, which has no place in the flow of events.
    pub(crate) fn push_now(&mut self, at: At, frame: bytes::Bytes) {
        let Some(conn) = self.conns.get(at.key as usize).filter(|conn| conn.id == at.id) else { return };
        let frame = if conn.deflate { self.deflater.frame(&frame) } else { frame };
        self.push_as_it_is(at, frame);
    }

    /// The same, never compressed: for a frame with a secret in it.
    pub(crate) fn push_as_it_is(&mut self, at: At, frame: bytes::Bytes) {
        let most = self.shared.config.limits.outbox_bytes;
        let Some(conn) = self.conn(at) else { return };
        if matches!(conn.phase, Phase::Closing(..)) {
            return;
        }
        let waiting = conn.out.push(frame);
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(at.key);
        }
        if most != 0 && waiting > most {
            self.too_slow(at.key);
        }
    }
}
