//! What many outboxes hold of the same memory. Frames that a room's members get between two writes are laid side by
//! side in one sheet, and wait as one piece: a gathered write costs the system a tenth of a microsecond for each.

use std::cell::OnceCell;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;

/// Bytes after which a sheet takes no more frames: a slow reader of one of them keeps all of them in memory.
const SHEET_BYTES_MAX: usize = 64 * 1024;

/// Memory of frames: there once it is sealed.
type Sheet = OnceCell<Bytes>;

/// A frame, or several that lie side by side. What is in it can be read once its sheet is sealed.
#[derive(Debug, Clone)]
pub struct Piece {
    sheet: Rc<Sheet>,
    start: u32,
    end: u32,
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = self.sheet.get().map_or(&[][..], |bytes| bytes);
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl From<Bytes> for Piece {
    /// A frame by itself.
    fn from(bytes: Bytes) -> Self {
        let end = place(bytes.len());
        Self { sheet: Rc::new(bytes.into()), start: 0, end }
    }
}

impl Piece {
    /// Its bytes, sealed or not.
    pub fn bytes(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it can be read.
    pub fn is_sealed(&self) -> bool {
        self.sheet.get().is_some()
    }

    /// Takes in what lies right behind it in the same sheet; whether that was so.
    pub fn join(&mut self, next: &Self) -> bool {
        let joins = self.end == next.start && Rc::ptr_eq(&self.sheet, &next.sheet);
        if joins {
            self.end = next.end;
        }
        joins
    }

    /// Leaves out the frames of which nothing was written yet: so many bytes were, one at least.
    pub fn keep_begun(&mut self, written: usize) {
        let mut whole = 0;
        while whole < written && whole < self.len() {
            whole += frame_len(&self[whole..]);
        }
        self.end = self.end.min(self.start + place(whole));
    }
}

/// The sheet of an audience, while it grows.
#[derive(Debug, Default)]
pub struct Growing {
    bytes: Vec<u8>,
    sheet: Option<Rc<Sheet>>,
    /// Bytes of the last sheet: what this one may take.
    last_len: usize,
}

impl Growing {
    /// Lays a frame behind the one before.
    pub fn lay(&mut self, frame: &[u8]) -> Piece {
        if self.bytes.len() >= SHEET_BYTES_MAX {
            self.seal();
        }
        if self.bytes.is_empty() {
            self.bytes.reserve(frame.len().max(self.last_len));
        }
        let start = place(self.bytes.len());
        self.bytes.extend_from_slice(frame);
        let sheet = Rc::clone(self.sheet.get_or_insert_default());
        Piece { sheet, start, end: place(self.bytes.len()) }
    }

    /// Whether nothing waits to be sealed.
    pub fn is_sealed(&self) -> bool {
        self.sheet.is_none()
    }

    /// What was laid can be read from here on; what comes lies in another sheet.
    pub fn seal(&mut self) {
        if let Some(sheet) = self.sheet.take() {
            let mut bytes = std::mem::take(&mut self.bytes);
            self.last_len = bytes.len();
            if bytes.capacity() > 2 * bytes.len() {
                bytes.shrink_to_fit();
            }
            // Nobody else seals it.
            let _ = sheet.set(bytes.into());
        }
    }
}

impl Drop for Growing {
    /// Its audience has no member any more, who may have something of it to read yet.
    fn drop(&mut self) {
        self.seal();
    }
}

/// A place in a sheet, which is not much longer than its longest frame, and that is far below 4 GiB.
fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a sheet is shorter than 4 GiB")
}

/// The length of the frame that begins here, one of the server's own: the rest, where it is cut off.
fn frame_len(bytes: &[u8]) -> usize {
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    let whole = match (bytes.get(1), bytes.len()) {
        (Some(126), 4..) => 4 + number(&bytes[2..4]),
        (Some(127), 10..) => number(&bytes[2..10]).saturating_add(10),
        (Some(length), _) => 2 + usize::from(*length),
        (None, _) => bytes.len(),
    };
    whole.clamp(1, bytes.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::text;

    fn pieces(lengths: &[usize]) -> Vec<Piece> {
        let mut growing = Growing::default();
        let pieces = lengths.iter().map(|length| growing.lay(&text(&vec![b'x'; *length]))).collect();
        growing.seal();
        pieces
    }

    #[test]
    fn what_lies_side_by_side_is_one_piece() {
        let lines = pieces(&[20, 500, 0xffff]);
        let mut all = lines[0].clone();
        assert!(all.join(&lines[1]) && all.join(&lines[2]));
        assert_eq!(all[..], [&lines[0][..], &lines[1], &lines[2]].concat());
        let mut first = lines[0].clone();
        assert!(!first.join(&lines[2]), "something is between");
        assert!(!first.join(&pieces(&[20, 500])[1]), "another sheet");
        assert_eq!((first.bytes(), first.len()), (22, 22));
    }

    #[test]
    fn what_was_begun_stays_whole() {
        for length in [0, 1, 125, 126, 60_000] {
            let lines = pieces(&[300, length, 300]);
            let [first, second] = [304, 304 + lines[1].len()];
            let all = second + 304;
            let cases = [
                (1, first),
                (first, first),
                (first + 1, second),
                (second, second),
                (second + 1, all),
                (all, all),
            ];
            for (written, left) in cases {
                let mut piece = lines[0].clone();
                assert!(lines[1..].iter().all(|next| piece.join(next)));
                piece.keep_begun(written);
                assert_eq!(piece.len(), left, "{written} of {length}");
            }
        }
    }

    #[test]
    fn a_frame_ends_where_its_header_says() {
        for length in [0, 125, 126, 0xffff, 0x1_0000, 200_000] {
            let frame = text(&vec![b'x'; length]);
            let behind = [&frame[..], b"next"].concat();
            assert_eq!(frame_len(&behind), frame.len(), "{length}");
        }
        assert_eq!((frame_len(b""), frame_len(b"\x81"), frame_len(b"\x81\x7e\0")), (1, 1, 3), "cut off");
    }

    #[test]
    fn a_sheet_has_a_bound_and_nothing_is_read_before_it_is_sealed() {
        let mut growing = Growing::default();
        let lines: Vec<_> = (0..200).map(|_| growing.lay(&[b'x'; 1000])).collect();
        assert!(lines[199].is_empty() && !lines[0].is_empty() && !growing.is_sealed());
        assert_eq!(lines[199].bytes(), 1000);
        growing.seal();
        assert!(growing.is_sealed() && lines.iter().all(|line| line.len() == 1000));
        let sheets = lines.windows(2).filter(|pair| !pair[0].clone().join(&pair[1])).count() + 1;
        assert_eq!(sheets, 4);
        let last = growing.lay(b"last");
        drop(growing);
        assert_eq!(last[..], b"last"[..]);
    }
}
