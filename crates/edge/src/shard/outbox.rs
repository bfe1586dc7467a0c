//! What waits for one reader: frames, of memory that it shares with others, bounded in bytes, written by gathered writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::sheet::Piece;

/// Pieces of one gathered write: enough to fill a socket's buffer with lines, few enough for the stack.
const GATHER_MAX: usize = 64;
/// Places kept by the outbox of an idle connection.
const KEEP_PLACES: usize = 4;

/// What waits for one reader.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Piece>,
    bytes: usize,
    /// Bytes of the first of them that were written.
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
    pub fn push(&mut self, frame: Bytes) -> usize {
        self.bytes += frame.len();
        self.queue.push_back(frame.into());
        self.bytes
    }

    /// The same of a frame that was laid behind others: where it lies right behind what waits, they are one piece.
    pub fn push_laid(&mut self, frame: &Piece) -> usize {
        self.bytes += frame.bytes();
        if !self.queue.back_mut().is_some_and(|last| last.join(frame)) {
            self.queue.push_back(frame.clone());
        }
        self.bytes
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all that waits can be written.
    pub fn is_sealed(&self) -> bool {
        // What came last is what may not be.
        self.queue.iter().rev().all(Piece::is_sealed)
    }

    /// Whether nothing waits.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops what waits, but for a frame that is half written.
    pub fn clear(&mut self) {
        let begun = self.queue.front_mut().filter(|_| self.written > 0);
        let left = begun.map(|first| {
            first.keep_begun(self.written);
            first.len() - self.written
        });
        self.queue.truncate(usize::from(left.is_some()));
        self.bytes = left.unwrap_or_default();
    }

    /// Writes as much as the socket takes of what waits, all of it sealed; answers how far it came and how many bytes went.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<(Flushed, usize)> {
        debug_assert!(self.is_sealed(), "it cannot be written yet");
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
    use super::super::sheet::Growing;
    use super::*;

    /// A frame of a payload so long.
    fn frame(payload: usize) -> Bytes {
        crate::ws::text(&vec![b'x'; payload])
    }

    #[test]
    fn bytes_are_counted_as_they_come_and_go() {
        let mut out = Outbox::default();
        assert_eq!((out.push(frame(1)), out.push(frame(2))), (3, 7));
        out.advance(4);
        assert_eq!((out.bytes(), out.written, out.queue.len()), (3, 1, 1));
        assert_eq!(out.push(frame(0)), 5);
        out.clear();
        assert_eq!((out.bytes(), out.queue.len()), (3, 1), "the half-written frame stays");
        out.advance(3);
        assert!(out.is_empty());
        out.push(frame(0));
        out.clear();
        assert_eq!((out.bytes(), out.is_empty()), (0, true));
    }

    #[test]
    fn what_lies_side_by_side_is_one_piece_and_is_dropped_frame_by_frame() {
        let (mut growing, mut out) = (Growing::default(), Outbox::default());
        let line = frame(196);
        let waiting: Vec<_> = (0..3).map(|_| out.push_laid(&growing.lay(&line))).collect();
        assert_eq!((waiting, out.queue.len()), (vec![200, 400, 600], 1));
        growing.seal();
        out.push(frame(2));
        assert_eq!((out.bytes(), out.queue.len()), (604, 2));
        out.advance(201);
        out.clear();
        assert_eq!((out.bytes(), out.queue.len()), (199, 1), "the rest of the second");
        out.advance(199);
        assert!(out.is_empty());
    }
}
