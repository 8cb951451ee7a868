//! Puts lines together that their transport delivered in pieces.
//!
//! journald cuts a line at `LineMax=` and at NUL bytes and says so in
//! `_LINE_BREAK`; the rest comes in the next entry of the same stream, between
//! which entries of others may stand. A [`Joiner`] holds the open lines of a
//! source by stream and hands out whole ones.
//!
//! journald drops a piece that is empty. So a line of exactly `LineMax=` bytes,
//! or one that ends in a NUL, looks open although it has ended, and takes the
//! next line of its stream in; nothing in the journal tells these apart.
//!
//! What goes wrong, and then: a line grows past the limit: its beginning is
//! kept and it is marked as cut; all open lines together pass the limit: those
//! that grow are cut, none is forgotten; more streams are open than can be
//! followed: a further first piece is handed out at once, marked as cut; the
//! input ends: what is open is handed out as cut. A half-joined line is never
//! saved: a live source keeps the cursor of its first piece and reads the
//! pieces again, so [`Joiner::open_keys`] tells what is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Boot, Line, Stream, Time};

use super::clean::clean;

/// All open lines of a source together hold at most this, or one line's limit
/// if that is more.
const OPEN_BYTES_MAX: usize = 32 << 20;
/// Streams that can have an open line at the same time.
const OPEN_STREAMS_MAX: usize = 4_096;

/// What every piece of a line says beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Who wrote it.
    pub stream: Stream,
    /// Transport time; a joined line has that of its first piece.
    pub at: Time,
    /// Monotonic stamp, where there is one.
    pub boot: Option<Boot>,
    /// Syslog identifier, where there is one.
    pub identifier: Option<Arc<str>>,
}

/// How a piece ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PieceEnd {
    /// With its line.
    #[default]
    Whole,
    /// The line goes on in the next piece of its stream.
    GoesOn,
    /// It goes on after a NUL byte, which the transport swallowed.
    GoesOnAfterNul,
    /// Its writer was cut off: this is all there is.
    CutOff,
}

#[derive(Clone, Debug)]
struct Open {
    head: Head,
    text: Vec<u8>,
    is_cut: bool,
}

/// The open lines of one source.
#[derive(Clone, Debug)]
pub struct Joiner {
    line_bytes_max: usize,
    open: BTreeMap<Arc<str>, Open>,
    open_bytes: usize,
}

impl Joiner {
    /// For lines of at most `line_bytes_max` bytes.
    pub fn new(line_bytes_max: usize) -> Joiner {
        Joiner { line_bytes_max, open: BTreeMap::new(), open_bytes: 0 }
    }

    /// Takes one piece of the stream `key` (`_STREAM_ID` where there is one,
    /// else the writer) and gives the line that it completes.
    ///
    /// `is_cut` says that `text` is only the beginning of the piece.
    pub fn push(&mut self, key: &str, head: Head, text: &[u8], is_cut: bool, end: PieceEnd) -> Option<Line> {
        let goes_on = matches!(end, PieceEnd::GoesOn | PieceEnd::GoesOnAfterNul);
        let is_cut = is_cut || end == PieceEnd::CutOff;
        // Nearly every line: whole, and nothing is open.
        if self.open.is_empty() && !goes_on {
            return Some(line(head, text, is_cut, self.line_bytes_max));
        }
        if let Some(open) = self.open.get_mut(key) {
            let before = open.text.len();
            // One byte past the limit is kept, so that the cut is seen.
            let room = (self.line_bytes_max + 1)
                .saturating_sub(before)
                .min(OPEN_BYTES_MAX.max(self.line_bytes_max + 1).saturating_sub(self.open_bytes));
            // Nothing may be glued behind a hole.
            if !open.is_cut {
                open.text.extend_from_slice(&text[..text.len().min(room)]);
                open.is_cut |= is_cut || text.len() > room;
                if end == PieceEnd::GoesOnAfterNul && text.len() < room {
                    open.text.push(0);
                }
            }
            self.open_bytes += open.text.len() - before;
            return if goes_on { None } else { self.close(key) };
        }
        if !goes_on || self.open.len() >= OPEN_STREAMS_MAX {
            return Some(line(head, text, is_cut || goes_on, self.line_bytes_max));
        }
        let mut text = text[..text.len().min(self.line_bytes_max + 1)].to_vec();
        if end == PieceEnd::GoesOnAfterNul {
            text.push(0);
        }
        self.open_bytes += text.len();
        self.open.insert(key.into(), Open { head, text, is_cut });
        None
    }

    /// Gives the open line of `key` as cut if another than `writer` began it:
    /// of processes that share an output, none continues another's line.
    pub fn cut_off_by(&mut self, key: &str, writer: &str) -> Option<Line> {
        let is_others = self.open.get(key).is_some_and(|open| *open.head.stream.writer != *writer);
        if is_others { self.cut_off(key) } else { None }
    }

    /// Whether `key` has an open line.
    pub fn is_open(&self, key: &str) -> bool {
        self.open.contains_key(key)
    }

    /// The streams that have an open line, in order.
    pub fn open_keys(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(|key| &**key)
    }

    /// Gives the open line of `key` as cut: its writer is gone.
    pub fn cut_off(&mut self, key: &str) -> Option<Line> {
        self.open.get_mut(key)?.is_cut = true;
        self.close(key)
    }

    /// Gives all open lines as cut: the input is at its end.
    pub fn finish(&mut self) -> Vec<Line> {
        let keys: Vec<Arc<str>> = self.open.keys().cloned().collect();
        keys.iter().filter_map(|key| self.cut_off(key)).collect()
    }

    fn close(&mut self, key: &str) -> Option<Line> {
        let open = self.open.remove(key)?;
        self.open_bytes -= open.text.len();
        Some(line(open.head, &open.text, open.is_cut, self.line_bytes_max))
    }
}

/// A line of `head` and `text`, cleaned and bounded.
pub fn line(head: Head, text: &[u8], is_cut: bool, line_bytes_max: usize) -> Line {
    let text = if is_cut { text } else { super::clean::without_return(text) };
    let (text, is_too_long, had_invalid_utf8) = clean(text, line_bytes_max);
    let Head { stream, at, boot, identifier } = head;
    Line { stream, at, boot, identifier, text, is_cut: is_cut || is_too_long, had_invalid_utf8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(at: i64) -> Head {
        Head {
            stream: Stream { writer: "7".into(), channel: Default::default() },
            at: Time(at),
            boot: None,
            identifier: None,
        }
    }

    #[test]
    fn pieces_of_a_stream_become_one_line_at_the_time_of_the_first() {
        let mut joiner = Joiner::new(100);
        assert_eq!(joiner.push("a", head(1), b"one ", false, PieceEnd::GoesOn), None);
        let other = joiner.push("b", head(2), b"other", false, PieceEnd::Whole).unwrap();
        assert_eq!((other.text.as_str(), other.is_cut), ("other", false));
        assert_eq!(joiner.open_keys().collect::<Vec<_>>(), ["a"]);
        let whole = joiner.push("a", head(3), b"two", false, PieceEnd::Whole).unwrap();
        assert_eq!((whole.text.as_str(), whole.at, whole.is_cut), ("one two", Time(1), false));
        assert!(!joiner.is_open("a"));
    }

    #[test]
    fn a_character_cut_by_journald_is_whole_again() {
        let mut joiner = Joiner::new(100);
        assert_eq!(joiner.push("a", head(1), b"caf\xc3", false, PieceEnd::GoesOn), None);
        let whole = joiner.push("a", head(1), b"\xa9", false, PieceEnd::Whole).unwrap();
        assert_eq!((whole.text.as_str(), whole.had_invalid_utf8), ("café", false));
    }

    #[test]
    fn a_nul_stays_in_the_line() {
        let mut joiner = Joiner::new(100);
        assert_eq!(joiner.push("a", head(1), b"x", false, PieceEnd::GoesOnAfterNul), None);
        assert_eq!(joiner.push("a", head(1), b"y", false, PieceEnd::Whole).unwrap().text, "x\0y");
    }

    #[test]
    fn a_line_that_grows_without_end_is_cut_at_the_limit() {
        let mut joiner = Joiner::new(10);
        for _ in 0..1_000 {
            assert_eq!(joiner.push("a", head(1), b"abcdefg", false, PieceEnd::GoesOn), None);
        }
        let cut = joiner.push("a", head(1), b"end", false, PieceEnd::Whole).unwrap();
        assert_eq!((cut.text.as_str(), cut.is_cut), ("abcdefgabc", true));
        assert_eq!(joiner.open_bytes, 0);
    }

    #[test]
    fn what_is_open_at_the_end_is_cut() {
        let mut joiner = Joiner::new(10);
        assert_eq!(joiner.push("a", head(1), b"half", false, PieceEnd::GoesOn), None);
        let lines = joiner.finish();
        assert_eq!((lines[0].text.as_str(), lines[0].is_cut), ("half", true));
    }
}
