//! The end of a connection: one way out for every way to end, walked once.

use std::sync::Arc;

use tidings_protocol::proto::services::v1::SessionControl;
use tidings_protocol::{CharacterId, CloseCode, SessionId, ZoneId};

use super::conn::{At, Phase};
use super::{Inner, Session, ticks};
use crate::session::frames;
use crate::ws;

/// How long a client has to take its last frames and close.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(3);

/// Control messages remembered for sessions that are joining: a revocation of a few hundred accounts one by one in the
/// time that a join takes. Who joined before the oldest of them has to come again.
const CONTROLS_KEPT_MAX: usize = 1024;

/// Why a connection ends, by what others are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The connection is lost, for this reason: the character is link-dead.
    Lost(&'static str),
    /// This edge drains: link-dead, with time to come back.
    Drained,
    /// The character left the world.
    Left,
    /// Another connection has the session.
    TakenOver,
    /// The session was revoked: the character leaves.
    Revoked,
}

impl End {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost(why) => why,
            Self::Drained => "drained",
            Self::Left => "left",
            Self::TakenOver => "taken_over",
            Self::Revoked => "revoked",
        }
    }
}

/// The last frame.
#[derive(Debug, Clone)]
pub struct Bye {
    /// The close code.
    pub code: u16,
    /// A sentence.
    pub reason: String,
    /// When to come back.
    pub after_ms: u64,
}

impl Bye {
    /// With the code's own sentence.
    pub fn of(code: CloseCode) -> Self {
        let after_ms = if code.reconnects() { 1_000 } else { 0 };
        Self { code: code.code(), reason: code.reason().to_owned(), after_ms }
    }

    /// With another sentence.
    pub fn saying(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::of(code) }
    }
}

/// A session that ended here: what others have to be told.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub end: End,
    /// The session.
    pub session: SessionId,
    /// Which connection of it.
    pub generation: u64,
    /// The character.
    pub character: CharacterId,
    /// Where it is.
    pub zone: ZoneId,
    /// What the client was told.
    pub bye: Option<Bye>,
}

impl Inner {
    /// Ends a connection. Its session is taken out of everything at once; the socket stays for the last frames
    /// until `remove`. A second call changes nothing.
    pub(crate) fn end(&mut self, at: At, end: End, bye: Option<Bye>) {
        let tick = self.tick;
        let half = match self.shared.config.limits.outbox_bytes {
            0 => usize::MAX,
            most => most / 2,
        };
        let Some(conn) = self.conn(at) else { return };
        if matches!(conn.phase, Phase::Closing(..)) {
            return;
        }
        metrics::counter!("tidings_edge_connections_ended_total", "why" => end.name()).increment(1);
        self.detach(at, end, bye.as_ref());
        let Some(conn) = self.conn(at) else { return };
        conn.phase = Phase::Closing(tick + ticks(CLOSING), false);
        conn.gated = false;
        let Some(bye) = bye else {
            return conn.out.clear();
        };
        // Only a reader who is too slow has much waiting, and it will not take it in time.
        if conn.out.bytes() > half {
            conn.out.clear();
        }
        self.last_frames(at, &bye);
    }

    fn last_frames(&mut self, at: At, bye: &Bye) {
        let frames = [frames::bye(bye), ws::close(bye.code, &bye.reason)];
        self.close_with(at, frames.into());
    }

    /// Queues the last frames of a connection that is closing.
    pub(crate) fn close_with(&mut self, at: At, frames: Vec<bytes::Bytes>) {
        let Some(conn) = self.conn(at) else { return };
        for frame in frames {
            conn.out.push(frame);
        }
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(at.key);
        }
    }

    /// Takes the session of a connection out of every table.
    fn detach(&mut self, at: At, end: End, bye: Option<&Bye>) {
        let Some(session) = self.session(at) else { return };
        let audiences: Vec<_> = session.audiences.iter().map(|place| place.info.id).collect();
        for audience in audiences {
            self.leave_audience(at.key, audience);
        }
        let Some(conn) = self.conn(at) else { return };
        let session = match std::mem::replace(&mut conn.phase, Phase::Joining(None)) {
            Phase::Live(session) | Phase::Joining(Some(session)) => session,
            other => {
                conn.phase = other;
                return;
            }
        };
        if self.by_session.get(&session.id) == Some(&at.key) {
            self.by_session.remove(&session.id);
        }
        if self.by_character.get(&session.character) == Some(&at.key) {
            self.by_character.remove(&session.character);
        }
        self.release_mutes(session.account.as_u128(), at.key);
        self.waiting.retain(|waiting| waiting.at != at);
        self.figures.sessions.decrement(1.0);
        self.shared.sessions.remove(session.id, session.generation);
        let ended = Ended {
            end,
            session: session.id,
            generation: session.generation,
            character: session.character,
            zone: session.zone.clone(),
            bye: bye.cloned(),
        };
        self.ended(ended);
    }

    /// Acts on open sockets as the session service says, and on those that are joining once they are known.
    pub(crate) fn control(&mut self, control: &Arc<SessionControl>) {
        if self.controls.len() == CONTROLS_KEPT_MAX {
            self.controls.pop_front();
        }
        self.controls.push_back(Arc::clone(control));
        self.controls_heard += 1;
        let meant: Vec<At> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.session_ref().is_some_and(|open| means(control, open)))
            .map(|(key, conn)| At { key: key as u32, id: conn.id })
            .collect();
        for at in meant {
            let (end, bye) = end_by(control);
            self.end(at, end, Some(bye));
        }
    }

    /// How a session ends that was ended while it joined: its socket was not known by its name yet. Where that is not
    /// remembered as far back, it has to come again.
    pub(crate) fn ended_since(&self, session: &Session, since: u64) -> Option<(End, Bye)> {
        let new = usize::try_from(self.controls_heard - since).unwrap_or(usize::MAX);
        if new > self.controls.len() {
            return Some((End::Lost("unknown"), Bye::of(CloseCode::Unavailable)));
        }
        let mut heard = self.controls.iter().rev().take(new);
        heard.find(|control| means(control, session)).map(|control| end_by(control))
    }

    /// Sends everybody away, spread over a while, to come back elsewhere.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        let all: Vec<At> = self.conns.iter().map(|(key, conn)| At { key: key as u32, id: conn.id }).collect();
        let spread = self.shared.config.session.drain_spread.as_millis() as u64;
        let count = all.len().max(1) as u64;
        for (place, at) in all.into_iter().enumerate() {
            let bye = Bye { after_ms: spread * place as u64 / count, ..Bye::of(CloseCode::Draining) };
            self.end(at, End::Drained, Some(bye));
        }
    }

    /// The shard stops: nothing is left.
    pub(crate) fn end_all(&mut self) {
        let all: Vec<At> = self.conns.iter().map(|(key, conn)| At { key: key as u32, id: conn.id }).collect();
        for at in all {
            self.end(at, End::Drained, None);
            let _ = self.flush(at);
            self.remove(at);
        }
    }
}

/// Whether a control message is about this session. What is said of all of an account, or of everybody, may come late:
/// a session that was opened after it is of a later sign-in.
fn means(control: &SessionControl, open: &Session) -> bool {
    let session: Option<SessionId> = control.session.parse().ok();
    let by_session = session == Some(open.id)
        && (control.below_generation == 0 || open.generation < control.below_generation);
    let account = crate::fanout::hex(&control.account);
    let among = control.all || (account != 0 && open.account.as_u128() == account);
    let opened = i64::try_from(open.id.unix_ms()).unwrap_or(i64::MAX);
    by_session || (among && (control.made_ms == 0 || opened <= control.made_ms))
}

/// The end that a control message brings.
fn end_by(control: &SessionControl) -> (End, Bye) {
    let code = u16::try_from(control.code).unwrap_or(CloseCode::Revoked.code());
    let known = CloseCode::ALL.iter().find(|known| known.code() == code).copied();
    let known = known.unwrap_or(CloseCode::Revoked);
    let end = match known {
        CloseCode::TakenOver => End::TakenOver,
        code if code.reconnects() => End::Lost("lapsed"),
        _ => End::Revoked,
    };
    let reason = if control.reason.is_empty() { known.reason() } else { &control.reason };
    (end, Bye { code, ..Bye::saying(known, reason) })
}
