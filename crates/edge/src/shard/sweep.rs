//! Deadlines of all connections, looked at twice a second: no timer a connection.

use tidings_protocol::CloseCode;

use super::conn::{At, Phase};
use super::end::{Bye, End};
use super::{Inner, Todo, ticks};

impl Inner {
    /// Ends what is late: hello, stale connections, closing ones.
    pub(crate) fn sweep(&mut self) {
        self.tick = self.tick.wrapping_add(1);
        self.now_ms = crate::time::now_ms();
        let (tick, stale) = (self.tick, self.shared.config.session.stale);
        let stale_ticks = if stale.is_zero() { u32::MAX } else { ticks(stale) };
        let mut ends: Vec<(At, Option<CloseCode>)> = Vec::new();
        for (key, conn) in &mut self.conns {
            conn.frames = 0;
            conn.out.shrink();
            let at = At { key: key as u32, id: conn.id };
            match conn.phase {
                Phase::Hello(until) if tick >= until => ends.push((at, Some(CloseCode::NoHello))),
                Phase::Closing(until, _) if tick >= until => ends.push((at, None)),
                // A handshake that was under way when the others were told.
                Phase::Hello(_) if self.draining => ends.push((at, Some(CloseCode::Draining))),
                Phase::Live(_) | Phase::Joining(_) if tick.wrapping_sub(conn.heard) > stale_ticks => {
                    ends.push((at, Some(CloseCode::Stale)));
                }
                _ => {}
            }
        }
        for (at, code) in ends {
            match code {
                Some(code) => {
                    let end = match code {
                        CloseCode::Stale => End::Lost("stale"),
                        CloseCode::Draining => End::Drained,
                        _ => End::Lost("no_hello"),
                    };
                    self.end(at, end, Some(Bye::of(code)));
                }
                None => self.remove(at),
            }
        }
        self.sweep_mutes();
        self.sweep_commands();
        self.sweep_replies();
    }

    /// Replies that the log was to bring and did not yet: the dispatcher is asked how far it is, and what it has
    /// passed is read. It is asked for the first of them: those after it are asked for at the next sweep.
    fn sweep_replies(&mut self) {
        let through = self.through;
        let mut first = None;
        for (key, conn) in &self.conns {
            let Some(inflight) = conn.session_ref().and_then(|session| session.inflight.as_ref()) else {
                continue;
            };
            match inflight.logged {
                0 => {}
                seq if seq <= through => {
                    self.todo.push(Todo::Reread(At { key: key as u32, id: conn.id }, seq));
                }
                seq => first = Some(first.map_or(seq, |first: u64| first.min(seq))),
            }
        }
        self.todo.extend(first.map(Todo::Need));
    }

    /// Gives the replies whose time has come.
    pub(crate) fn release_replies(&mut self) {
        let through = self.through;
        if self.waiting.iter().all(|waiting| waiting.seq > through) {
            return;
        }
        let (due, later) = std::mem::take(&mut self.waiting).into_iter().partition(|w| w.seq <= through);
        self.waiting = later;
        let due: Vec<super::table::WaitingReply> = due;
        for waiting in due {
            self.reply_due(&waiting);
        }
    }
}
