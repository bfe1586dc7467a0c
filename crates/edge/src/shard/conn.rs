//! One connection: its socket, what waits for it, where it stands; and the small task that watches the socket.
//!
//! The task holds two words beside its place in the table. It reads into the shard's buffer and keeps nothing.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::end::End;
use super::outbox::{Flushed, Outbox};
use super::sheet::Piece;
use super::table::Session;
use super::{Inner, Shard};
use crate::http::ConnInfo;
use crate::ws::Parser;
use crate::ws::deflate::{COMPRESS_FROM_BYTES, Deflater};

/// Reads of one connection before the others have their turn.
const READS_A_TURN: usize = 4;

/// A connection's place in the table; the number tells it from an earlier one in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The place.
    pub key: u32,
    /// The number.
    pub id: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// Tells it from others in the same place.
    pub id: u64,
    /// The socket.
    pub stream: TcpStream,
    /// What waits for it.
    pub out: Outbox,
    /// Where it stands.
    pub phase: Phase,
    /// The last sequence that was delivered, or is held in its gate.
    pub seq: u64,
    /// When something was last heard of it, in ticks.
    pub heard: u32,
    /// Frames that came since the last tick.
    pub frames: u32,
    /// Everything goes through the session's gate.
    pub gated: bool,
    /// It is in the list of those to be written.
    pub dirty: bool,
    /// The socket takes no more at the moment.
    pub blocked: bool,
    /// Long frames may go compressed.
    pub deflate: bool,
    /// What is half read.
    pub parser: Parser,
    /// Of the socket's task.
    pub waker: Option<Waker>,
    /// Who it is.
    pub info: Box<ConnInfo>,
}

/// Where a connection stands.
#[derive(Debug)]
pub enum Phase {
    /// No `hello` yet; until a tick.
    Hello(u32),
    /// Being joined; the session is there once it has an identity.
    Joining(Option<Box<Session>>),
    /// In the world.
    Live(Box<Session>),
    /// The last frames are being written; until a tick. Whether the writing side is shut.
    Closing(u32, bool),
}

impl Conn {
    pub(crate) fn new(id: u64, stream: TcpStream, info: ConnInfo, tick: u32, deadline: u32) -> Self {
        Self {
            id,
            stream,
            out: Outbox::default(),
            phase: Phase::Hello(deadline),
            seq: 0,
            heard: tick,
            frames: 0,
            gated: false,
            dirty: false,
            blocked: false,
            parser: Parser::new(info.deflate),
            deflate: info.deflate,
            waker: None,
            info: Box::new(info),
        }
    }

    /// Its session.
    pub fn session(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Live(session) | Phase::Joining(Some(session)) => Some(session),
            _ => None,
        }
    }

    /// Its session, to look at.
    pub fn session_ref(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Live(session) | Phase::Joining(Some(session)) => Some(session),
            _ => None,
        }
    }

    /// Adds a frame of the world to what waits, compressed where that was agreed on; says how many bytes wait.
    pub(crate) fn queue(&mut self, frame: &Bytes, deflater: &mut Deflater) -> usize {
        let frame = if self.deflate { deflater.frame(frame) } else { frame.clone() };
        self.out.push(frame)
    }

    /// The same of a frame that was laid behind others of its audience.
    pub(crate) fn queue_laid(&mut self, frame: &Bytes, laid: &Piece, deflater: &mut Deflater) -> usize {
        let compressed = self.deflate && frame.len() >= COMPRESS_FROM_BYTES;
        if compressed { self.queue(frame, deflater) } else { self.out.push_laid(laid) }
    }

    /// Wakes its task: there is something to look at.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Ends the connection whichever way its task ends, a panic included.
struct Guard {
    shard: Rc<Shard>,
    at: At,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Ok(mut inner) = self.shard.inner.try_borrow_mut() {
            inner.end(self.at, End::Lost("task"), None);
            inner.remove(self.at);
        }
        self.shard.settle();
    }
}

/// Watches a socket until its connection is over.
pub async fn run(shard: Rc<Shard>, at: At, leftover: Bytes) {
    let guard = Guard { shard, at };
    if !leftover.is_empty() {
        let mut input = leftover.to_vec();
        let _ = guard.shard.read(at, &mut input);
        guard.shard.settle();
    }
    drop(leftover);
    poll_fn(|cx| guard.shard.poll(at, cx)).await;
}

impl Shard {
    fn poll(self: &Rc<Self>, at: At, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_socket(at, cx);
        self.settle();
        polled
    }

    fn poll_socket(&self, at: At, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.borrow_mut().poll_write(at, cx).is_break() {
            return Poll::Ready(());
        }
        let mut scratch = self.scratch.borrow_mut();
        for _ in 0..READS_A_TURN {
            let read = self.inner.borrow_mut().poll_read(at, cx, &mut scratch);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(count)) => {
                    if self.read(at, &mut scratch[..count]).is_break() {
                        return Poll::Ready(());
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Inner {
    /// Remembers whom to wake, and writes what waited for the socket.
    fn poll_write(&mut self, at: At, cx: &mut Context<'_>) -> ControlFlow<()> {
        let Some(conn) = self.conn(at) else { return ControlFlow::Break(()) };
        match &mut conn.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if conn.blocked && conn.stream.poll_write_ready(cx).is_ready() {
            conn.blocked = false;
            // Where the socket still takes no more, `flush` wakes this task, which asks again.
            return self.flush(at);
        }
        ControlFlow::Continue(())
    }

    /// How many bytes were read; `None`: the connection is over. A read that does not fill the buffer has emptied the
    /// socket, which the runtime remembers: the next one waits without asking the system.
    fn poll_read(&mut self, at: At, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Option<usize>> {
        let Some(conn) = self.conn(at) else { return Poll::Ready(None) };
        let mut buffer = ReadBuf::new(scratch);
        let read = ready!(Pin::new(&mut conn.stream).poll_read(cx, &mut buffer));
        let why = match (read, buffer.filled().len()) {
            (Ok(()), 0) => "closed",
            (Ok(()), count) => return Poll::Ready(Some(count)),
            (Err(_), _) => "error",
        };
        self.end(at, End::Lost(why), None);
        self.remove(at);
        Poll::Ready(None)
    }

    /// Writes what waits for a connection; `Break` when that ended it.
    pub(crate) fn flush(&mut self, at: At) -> ControlFlow<()> {
        self.seal_sheets_of(at);
        let Some(conn) = self.conns.get_mut(at.key as usize).filter(|conn| conn.id == at.id) else {
            return ControlFlow::Break(());
        };
        match conn.out.flush(&conn.stream) {
            Ok((flushed, count)) => {
                self.figures.bytes.increment(count as u64);
                self.figures.writes.increment(1);
                self.work.writes += 1;
                conn.blocked = flushed == Flushed::Blocked;
                if conn.blocked {
                    conn.wake();
                } else {
                    self.written(at);
                }
                ControlFlow::Continue(())
            }
            Err(_) => {
                self.end(at, End::Lost("error"), None);
                self.remove(at);
                ControlFlow::Break(())
            }
        }
    }

    /// Where something waits for a connection that was laid since the last turn of writing: all of that can be written
    /// from here on.
    fn seal_sheets_of(&mut self, at: At) {
        let waits = |conn: &Conn| !conn.out.is_sealed();
        if self.growing.is_empty() || !self.conns.get(at.key as usize).is_some_and(waits) {
            return;
        }
        for audience in self.growing.drain(..) {
            if let Some(sheet) = self.audiences.get_mut(&audience).and_then(|members| members.sheet.as_mut())
            {
                sheet.seal();
            }
        }
    }

    /// Everything was written: a closing connection is shut, a replay goes on.
    fn written(&mut self, at: At) {
        let Some(conn) = self.conn(at) else { return };
        if let Phase::Closing(_, shut) = &mut conn.phase
            && !std::mem::replace(shut, true)
        {
            // The client's close frame, or its end, is waited for: closing with unread input would reset the
            // connection and take the last frames with it.
            let _ = SockRef::from(&conn.stream).shutdown(std::net::Shutdown::Write);
        }
        if let Some(replay) = conn.session().and_then(|session| session.replay.as_mut())
            && let Some(waiting) = replay.drained.take()
        {
            let _ = waiting.send(());
        }
        self.release_hints(at);
    }

    /// Takes a connection out of the table: its socket closes.
    pub(crate) fn remove(&mut self, at: At) {
        if self.conn(at).is_some() {
            let conn = self.conns.remove(at.key as usize);
            self.figures.connections.decrement(1.0);
            conn.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Session;

    /// What one idle connection costs beside its socket and the runtime's own bookkeeping (a task of a few hundred
    /// bytes, the reactor's entry of as many): measured as 6-12 KB in all, of which this is what grows unnoticed.
    #[test]
    fn an_idle_connection_stays_small() {
        fn size_of_future<F: Future>(_: fn(Rc<Shard>, At, Bytes) -> F) -> usize {
            std::mem::size_of::<F>()
        }
        let future = size_of_future(run);
        let (conn, session) = (std::mem::size_of::<Conn>(), std::mem::size_of::<Session>());
        assert!(future <= 512, "the task of a connection: {future}");
        assert!(conn <= 384, "a connection: {conn}");
        assert!(session <= 384, "a session: {session}");
    }
}
