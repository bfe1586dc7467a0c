//! Replies and views on their way into the flow.

use std::sync::Arc;

use bytes::Bytes;
use tidings_protocol::Text;
use tidings_protocol::proto::world::v1::{CommandDone, StateView};
use tidings_service::CallError;

use super::conn::At;
use super::table::WaitingReply;
use super::{Inner, Todo};
use crate::session::frames;

impl Inner {
    /// The outcome of the command in flight is known: its reply goes in its place, after everything up to its sequence.
    pub(crate) fn command_done(&mut self, at: At, done: CommandDone) {
        // From now on by a number it was not asked with: an attempt that was about to be made again is not.
        let asked = self.fresh_number(at);
        let Some(inflight) = self.session(at).and_then(|session| session.inflight.as_mut()) else { return };
        (inflight.asked, inflight.late) = (asked, None);
        let CommandDone { ok, reply, seq, in_log } = done;
        let Some(text) = reply.filter(|_| !in_log) else { return self.reply_in_log(at, seq) };
        let waiting = WaitingReply { at, asked, seq, ok, text: Text::from(text) };
        if seq <= self.through {
            return self.reply_due(&waiting);
        }
        self.todo.push(Todo::Need(seq));
        self.waiting.push(waiting);
    }

    /// The log brings the reply: it is on its way, or was told to a connection before this one and is read again.
    fn reply_in_log(&mut self, at: At, seq: u64) {
        if seq <= self.through {
            return self.todo.push(Todo::Reread(at, seq));
        }
        if let Some(inflight) = self.session(at).and_then(|session| session.inflight.as_mut()) {
            inflight.logged = seq;
        }
    }

    /// Everything up to a reply's sequence was delivered.
    pub(crate) fn reply_due(&mut self, waiting: &WaitingReply) {
        let WaitingReply { at, asked, seq, ok, text } = waiting;
        let encoder = Arc::clone(&self.shared.encoder);
        let Some(conn) = self.conn(*at) else { return };
        let place = conn.seq.max(*seq);
        let inflight = conn.session().and_then(|session| session.inflight.as_ref());
        let Some(inflight) = inflight.filter(|inflight| inflight.asked == *asked) else { return };
        let frame = encoder.reply_frame(&inflight.id, *ok, text, place);
        self.reply_now(*at, &frame);
    }

    /// The reply of the command in flight; then the next command goes.
    pub(crate) fn reply_now(&mut self, at: At, frame: &Bytes) {
        self.push_frame(at.key, frame, None);
        if let Some(session) = self.session(at) {
            session.inflight = None;
        }
        self.next_command(at);
    }

    /// The command in flight, that the zone did not answer.
    pub(crate) fn command_failed(&mut self, at: At, error: &CallError) {
        metrics::counter!("tidings_edge_commands_failed_total", "code" => error.code.as_str()).increment(1);
        let wait = error.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let Some(inflight) = self.session(at).and_then(|session| session.inflight.as_ref()) else { return };
        let frame = frames::error(Some(&inflight.id), error.code, &error.message, wait);
        self.reply_now(at, &frame);
    }

    /// Whether the command of this id is in flight.
    pub(crate) fn is_inflight(&mut self, at: At, id: &str) -> bool {
        let session = self.session(at);
        session.is_some_and(|session| session.inflight.as_ref().is_some_and(|known| *known.id == *id))
    }

    /// The room that was entered: it goes before everything that waited behind it.
    pub(crate) fn room_came(&mut self, at: At, view: &StateView) {
        let Some(session) = self.session(at) else { return };
        let Some(gate) = session.gate.as_ref().filter(|gate| gate.state) else { return };
        if view.seq < gate.state_needs {
            // The character has walked on: the view of that room is on its way.
            return;
        }
        let seq = gate.state_at;
        session.state_seq = session.state_seq.max(view.seq);
        let frame = frames::state(&self.shared.encoder, "room", &view.body, seq);
        self.push_now(at, frame);
        self.open_gate(at, |gate| gate.state = false);
    }

    /// A view the client asked for.
    pub(crate) fn view_came(&mut self, at: At, what: &str, view: &StateView) {
        let Some(conn) = self.conn(at) else { return };
        let seq = conn.seq;
        if let Some(session) = conn.session() {
            session.views = session.views.saturating_sub(1);
        }
        let frame = frames::state(&self.shared.encoder, what, &view.body, seq);
        self.push_frame(at.key, &frame, None);
    }

    /// A view that did not come.
    pub(crate) fn view_failed(&mut self, at: At, error: &CallError) {
        if let Some(session) = self.session(at) {
            session.views = session.views.saturating_sub(1);
        }
        self.tell(at, None, error.code, &error.message, None);
    }
}
