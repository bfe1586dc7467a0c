//! What waits for one reader: shared frames, bounded in bytes, written by gathered writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A frame that any number of outboxes of a shard hold.
pub type Frame = Rc<Bytes>;

/// Frames of one gathered write: enough to fill a socket's buffer with lines, few enough for the stack.
const GATHER_MAX: usize = 64;
/// Places kept by the outbox of an idle connection.
const KEEP_PLACES: usize = 8;

/// What waits for one reader.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Frame>,
    bytes: usize,
    /// Bytes of the first frame that were written.
    written: usize,
}

/// How far writing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits.
    Empty,
    /// The socket takes no more now.
    Blocked,
}

impl Outbox {
    /// Adds a frame; says how many bytes wait.
    pub fn push(&mut self, frame: Frame) -> usize {
        self.bytes += frame.len();
        self.queue.push_back(frame);
        self.bytes
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops what waits, but for a frame that is half written.
    pub fn clear(&mut self) {
        let keep = usize::from(self.written > 0);
        self.queue.truncate(keep);
        self.bytes = self.queue.iter().map(|frame| frame.len()).sum::<usize>() - self.written.min(self.bytes);
    }

    /// Writes as much as the socket takes; answers how far it came and how many bytes went.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<(Flushed, usize)> {
        let mut total = 0;
        while !self.queue.is_empty() {
            match self.write(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    total += count;
                    self.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((Flushed::Blocked, total));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.queue.capacity() > GATHER_MAX {
            self.queue.shrink_to(GATHER_MAX);
        }
        Ok((Flushed::Empty, total))
    }

    /// Gives back the places that talk took, so that idle connections stay small. Not at each write: a busy room
    /// would take them again with the next line.
    pub fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEEP_PLACES {
            self.queue.shrink_to(KEEP_PLACES);
        }
    }

    fn write(&self, stream: &TcpStream) -> io::Result<usize> {
        let first = self.queue.front().map_or(&[][..], |frame| &frame[self.written..]);
        if self.queue.len() == 1 {
            return stream.try_write(first);
        }
        let mut slices = [IoSlice::new(&[]); GATHER_MAX];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(if count == 0 { first } else { frame });
            count += 1;
        }
        // `sendmsg`, not `writev`, which goes by the way of files.
        stream.try_io(Interest::WRITABLE, || SockRef::from(stream).send_vectored(&slices[..count]))
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.queue.front() {
            let left = first.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Frame {
        Rc::new(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn bytes_are_counted_as_they_come_and_go() {
        let mut out = Outbox::default();
        assert_eq!((out.push(frame("abc")), out.push(frame("defg"))), (3, 7));
        out.advance(4);
        assert_eq!((out.bytes(), out.written, out.queue.len()), (3, 1, 1));
        assert_eq!(out.push(frame("hi")), 5);
        out.clear();
        assert_eq!((out.bytes(), out.queue.len()), (3, 1), "the half-written frame stays");
        out.advance(3);
        assert!(out.is_empty());
        out.push(frame("x"));
        out.clear();
        assert_eq!((out.bytes(), out.is_empty()), (0, true));
    }
}
