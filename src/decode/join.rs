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
//! that grow are cut, none is forgotten; a line sees no piece for too long, or
//! its boot is over: it is handed out as cut and what still follows of it is
//! passed over, never taken for a line; more streams are open than can be
//! followed: the one that was silent longest is handed out as cut; the input
//! ends: what is open is handed out as cut. A half-joined line is never saved: a
//! live source keeps the place of its first piece (`P`) and reads the pieces
//! again, so [`Joiner::open_lines`] tells what is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Boot, Line, Stream, Time};

use super::clean::{clean, without_ends, without_half};

/// All open lines of a source together hold at most this, or one line's limit
/// if that is more.
const OPEN_BYTES_MAX: usize = 32 << 20;
/// Streams that can have an open line at the same time; a live source saves a
/// place for each.
const OPEN_STREAMS_MAX: usize = 256;
/// An open line that saw no piece for so long, on the journal's clock, is told
/// as cut.
const OPEN_FOR: Duration = Duration::from_secs(60);

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

/// One piece of a line.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// What it says beside its text.
    pub head: Head,
    /// Its text.
    pub text: &'a [u8],
    /// `text` is only the beginning of the piece.
    pub is_cut: bool,
    /// How it ends.
    pub end: PieceEnd,
}

#[derive(Clone, Debug)]
struct Open<P> {
    head: Head,
    text: Vec<u8>,
    is_cut: bool,
    /// It was handed out; what follows of it is passed over.
    is_told: bool,
    place: P,
    /// The stamps of its last piece, and that piece's number.
    last: (Time, Option<Boot>),
    number: u64,
}

/// The open lines of one source, each with the place `P` of its first piece.
#[derive(Clone, Debug)]
pub struct Joiner<P = ()> {
    line_bytes_max: usize,
    open: BTreeMap<Arc<str>, Open<P>>,
    open_bytes: usize,
    pieces: u64,
}

impl<P> Joiner<P> {
    /// For lines of at most `line_bytes_max` bytes.
    pub fn new(line_bytes_max: usize) -> Joiner<P> {
        Joiner { line_bytes_max, open: BTreeMap::new(), open_bytes: 0, pieces: 0 }
    }

    /// Takes one piece of the stream `key` (`_STREAM_ID` where there is one,
    /// else the writer) and gives the line that it completes, or one that had
    /// to make room. `place` is asked for if a line begins with it.
    pub fn push(&mut self, key: &str, piece: Piece<'_>, place: impl FnOnce() -> P) -> Option<Line> {
        let goes_on = matches!(piece.end, PieceEnd::GoesOn | PieceEnd::GoesOnAfterNul);
        let is_cut = piece.is_cut || piece.end == PieceEnd::CutOff;
        // Nearly every line: whole, and nothing is open.
        if self.open.is_empty() && !goes_on {
            return Some(line(piece.head, piece.text, is_cut, self.line_bytes_max));
        }
        self.pieces += 1;
        if self.open.contains_key(key) {
            self.extend(key, &piece, is_cut);
            return if goes_on { None } else { self.close(key) };
        }
        if !goes_on {
            return Some(line(piece.head, piece.text, is_cut, self.line_bytes_max));
        }
        let forced = if self.open.len() >= OPEN_STREAMS_MAX { self.make_room() } else { None };
        self.begin(key, piece.head.clone(), false, place());
        self.extend(key, &piece, is_cut);
        forced
    }

    fn begin(&mut self, key: &str, head: Head, is_told: bool, place: P) {
        let last = (head.at, head.boot);
        let number = self.pieces;
        let text = Vec::new();
        self.open.insert(key.into(), Open { head, text, is_cut: false, is_told, place, last, number });
    }

    fn extend(&mut self, key: &str, piece: &Piece<'_>, is_cut: bool) {
        let Some(open) = self.open.get_mut(key) else { return };
        open.last = (piece.head.at, piece.head.boot);
        open.number = self.pieces;
        // Nothing may be glued behind a hole.
        if open.is_cut || open.is_told {
            return;
        }
        let before = open.text.len();
        // One byte past the limit is kept, so that the cut is seen.
        let room = (self.line_bytes_max + 1)
            .saturating_sub(before)
            .min(OPEN_BYTES_MAX.max(self.line_bytes_max + 1).saturating_sub(self.open_bytes));
        open.text.extend_from_slice(&piece.text[..piece.text.len().min(room)]);
        open.is_cut = is_cut || piece.text.len() > room;
        if piece.end == PieceEnd::GoesOnAfterNul && piece.text.len() < room {
            open.text.push(0);
        }
        self.open_bytes += open.text.len() - before;
    }

    /// Passes over what follows of a line whose beginning is not known.
    pub fn pass_over(&mut self, key: &str, head: Head, place: P) {
        if self.open.len() < OPEN_STREAMS_MAX {
            self.begin(key, head, true, place);
        }
    }

    /// Gives the open line of `key` as cut if another than `writer` began it:
    /// of processes that share an output, none continues another's line.
    pub fn cut_off_by(&mut self, key: &str, writer: &str) -> Option<Line> {
        let is_others = self.open.get(key).is_some_and(|open| *open.head.stream.writer != *writer);
        if is_others { self.cut_off(key) } else { None }
    }

    /// Gives the lines that saw no piece for too long, or whose boot is over.
    /// Within a boot the monotonic clock tells: a step of the wall clock ends no
    /// line.
    pub fn overdue(&mut self, at: Time, boot: Option<Boot>) -> Vec<Line> {
        let mut told = Vec::new();
        for open in self.open.values_mut().filter(|open| !open.is_told) {
            let rested = match (boot, open.last.1) {
                (Some(now), Some(last)) if now.id == last.id => {
                    Time(now.monotonic).since(Time(last.monotonic))
                }
                (Some(_), Some(_)) => Duration::MAX,
                _ => at.since(open.last.0),
            };
            if rested > OPEN_FOR {
                open.is_told = true;
                let text = std::mem::take(&mut open.text);
                self.open_bytes -= text.len();
                told.push(line(open.head.clone(), &text, true, self.line_bytes_max));
            }
        }
        told
    }

    /// No line is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The open lines in order: the place of the first piece, and whether the
    /// line was handed out and its rest is passed over.
    pub fn open_lines(&self) -> impl Iterator<Item = (&P, bool)> {
        self.open.values().map(|open| (&open.place, open.is_told))
    }

    /// Gives all open lines as cut: the input is at its end.
    pub fn finish(&mut self) -> Vec<Line> {
        let keys: Vec<Arc<str>> = self.open.keys().cloned().collect();
        keys.iter().filter_map(|key| self.cut_off(key)).collect()
    }

    /// Gives the line that was silent longest, as cut.
    fn make_room(&mut self) -> Option<Line> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.number).map(|(key, _)| key.clone());
        self.cut_off(&oldest?)
    }

    fn cut_off(&mut self, key: &str) -> Option<Line> {
        self.open.get_mut(key)?.is_cut = true;
        self.close(key)
    }

    fn close(&mut self, key: &str) -> Option<Line> {
        let open = self.open.remove(key)?;
        self.open_bytes -= open.text.len();
        (!open.is_told).then(|| line(open.head, &open.text, open.is_cut, self.line_bytes_max))
    }
}

/// A line of `head` and `text`, cleaned and bounded.
pub fn line(head: Head, text: &[u8], is_cut: bool, line_bytes_max: usize) -> Line {
    let text = if is_cut { without_half(text) } else { without_ends(text) };
    let (text, is_too_long, had_invalid_utf8) = clean(text, line_bytes_max);
    let Head { stream, at, boot, identifier } = head;
    Line { stream, at, boot, identifier, text, is_cut: is_cut || is_too_long, had_invalid_utf8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(at: i64, text: &[u8], end: PieceEnd) -> Piece<'_> {
        let stream = Stream { writer: "7".into(), channel: Default::default() };
        let head = Head { stream, at: Time::from_secs(at), boot: None, identifier: None };
        Piece { head, text, is_cut: false, end }
    }

    /// Pushes a piece whose place is its time.
    fn push(joiner: &mut Joiner<i64>, key: &str, at: i64, text: &str, end: PieceEnd) -> Option<Line> {
        joiner.push(key, piece(at, text.as_bytes(), end), || at)
    }

    use PieceEnd::{CutOff, GoesOn, GoesOnAfterNul, Whole};

    #[test]
    fn pieces_of_a_stream_become_one_line_at_the_time_of_the_first() {
        let mut joiner = Joiner::new(100);
        assert_eq!(push(&mut joiner, "a", 1, "one ", GoesOn), None);
        let other = push(&mut joiner, "b", 2, "other", Whole).unwrap();
        assert_eq!((other.text.as_str(), other.is_cut), ("other", false));
        assert_eq!(push(&mut joiner, "a", 3, "and ", GoesOn), None);
        assert_eq!(joiner.open_lines().collect::<Vec<_>>(), [(&1, false)]);
        let whole = push(&mut joiner, "a", 4, "two", Whole).unwrap();
        assert_eq!((whole.text.as_str(), whole.at, whole.is_cut), ("one and two", Time::from_secs(1), false));
        assert!(joiner.is_empty());
    }

    #[test]
    fn a_character_cut_by_journald_is_whole_again_and_a_nul_stays() {
        let mut joiner = Joiner::new(100);
        assert_eq!(joiner.push("a", piece(1, b"caf\xc3", GoesOn), || ()), None);
        assert_eq!(joiner.push("a", piece(1, b"\xa9", GoesOnAfterNul), || ()), None);
        let whole = joiner.push("a", piece(1, b"b", Whole), || ()).unwrap();
        assert_eq!((whole.text.as_str(), whole.had_invalid_utf8), ("café\0b", false));
    }

    #[test]
    fn a_line_that_grows_without_end_is_cut_at_the_limit() {
        let mut joiner = Joiner::new(10);
        for _ in 0..1_000 {
            assert_eq!(push(&mut joiner, "a", 1, "abcdefg", GoesOn), None);
        }
        let cut = push(&mut joiner, "a", 1, "end", Whole).unwrap();
        assert_eq!((cut.text.as_str(), cut.is_cut), ("abcdefgabc", true));
        assert_eq!(joiner.open_bytes, 0);
    }

    #[test]
    fn a_cut_line_ends_before_a_whole_character() {
        let mut joiner = Joiner::new(4);
        push(&mut joiner, "a", 1, "abc", GoesOn);
        let line = push(&mut joiner, "a", 1, "äx", Whole).unwrap();
        assert_eq!((line.text.as_str(), line.is_cut, line.had_invalid_utf8), ("abc", true, false));
        let half = joiner.push("a", piece(1, b"ab\xc3", CutOff), || 1).unwrap();
        assert_eq!((half.text.as_str(), half.is_cut, half.had_invalid_utf8), ("ab", true, false));
    }

    #[test]
    fn what_is_open_at_the_end_is_cut() {
        let mut joiner = Joiner::new(10);
        assert_eq!(push(&mut joiner, "a", 1, "half", GoesOn), None);
        let lines = joiner.finish();
        assert_eq!((lines[0].text.as_str(), lines[0].is_cut), ("half", true));
    }

    #[test]
    fn a_stuck_line_is_told_once_and_its_rest_is_passed_over() {
        let mut joiner = Joiner::new(100);
        push(&mut joiner, "a", 0, "a", GoesOn);
        assert!(joiner.overdue(Time::from_secs(60), None).is_empty());
        let told = joiner.overdue(Time::from_secs(61), None);
        assert_eq!((told.len(), told[0].is_cut), (1, true));
        assert!(joiner.overdue(Time::from_secs(999), None).is_empty());
        assert_eq!(joiner.open_lines().collect::<Vec<_>>(), [(&0, true)]);
        assert_eq!(push(&mut joiner, "a", 70, "b", Whole), None);
        assert_eq!(push(&mut joiner, "a", 71, "c", Whole).unwrap().text, "c");
    }

    #[test]
    fn a_step_of_the_wall_clock_ends_no_line_and_a_new_boot_does() {
        let mut joiner = Joiner::new(100);
        let mut begun = piece(0, b"a", GoesOn);
        begun.head.boot = Some(Boot { id: 1, monotonic: 0 });
        joiner.push("a", begun, || ());
        let now = Boot { id: 1, monotonic: 5_000_000_000 };
        assert!(joiner.overdue(Time::from_secs(9_999), Some(now)).is_empty());
        assert_eq!(joiner.overdue(Time::from_secs(1), Some(Boot { id: 2, monotonic: 0 })).len(), 1);
    }

    #[test]
    fn the_line_that_was_silent_longest_makes_room() {
        let mut joiner = Joiner::new(100);
        for n in 0..OPEN_STREAMS_MAX {
            assert_eq!(push(&mut joiner, &n.to_string(), 0, "x", GoesOn), None);
        }
        assert_eq!(push(&mut joiner, "0", 0, "y", GoesOn), None);
        let line = push(&mut joiner, "more", 0, "z", GoesOn).unwrap();
        assert_eq!((line.text.as_str(), line.is_cut), ("x", true));
        assert_eq!(joiner.open_lines().count(), OPEN_STREAMS_MAX);
        assert_eq!(push(&mut joiner, "0", 0, "!", Whole).unwrap().text, "xy!");
    }
}
