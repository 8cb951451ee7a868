//! Joins what journald has cut: a line longer than its `LineMax=`, or one with
//! a NUL inside, comes as several entries of one connection, marked by
//! `_LINE_BREAK`.
//!
//! Bytes are joined before they are made text, since a cut may fall inside a
//! character. The number of open lines and their length are bounded. A line
//! that stays open too long (its writer died exactly at a cut) is told as cut;
//! what still follows of it is passed over, never taken for a line.

use std::time::Duration;

use crate::model::{Boot, Line, Time};

use super::position::OpenLine;

/// Lines that may be open at the same time.
const OPEN_MAX: usize = 64;
/// An open line that saw no piece for so long, on the journal's clock, is told
/// as cut.
const OPEN_FOR: Duration = Duration::from_secs(60);

/// Whose pieces belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The writer.
    pub pid: Option<u32>,
    /// Its boot.
    pub boot: u128,
    /// journald's `_STREAM_ID`; empty if there is none.
    pub stream: String,
}

/// How an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// With its line.
    Whole,
    /// `line-max`: the next entry of the stream goes on.
    Continues,
    /// `nul`: likewise, and a NUL stood between.
    Nul,
    /// `eof`, `pid-change` or one not known: the line was never ended.
    Cut,
}

/// The text of one entry.
#[derive(Debug)]
pub(super) struct Piece {
    /// Its stamp and writer, without text.
    pub line: Line,
    /// Its bytes, up to the limit.
    pub bytes: Vec<u8>,
    /// It was longer.
    pub is_over: bool,
    /// How it ends.
    pub ends: Break,
}

struct Open {
    key: Key,
    first: Option<String>,
    line: Line,
    bytes: Vec<u8>,
    is_over: bool,
}

/// The open lines of a source.
pub(super) struct Joiner {
    open: Vec<Open>,
    bytes_max: usize,
}

impl Joiner {
    /// With lines of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Joiner {
        Joiner { open: Vec::new(), bytes_max }
    }

    /// No line is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes an entry; `cursor` is asked for if a line begins with it. Gives
    /// the line that it ends, or one that had to make room.
    pub fn push(&mut self, key: Key, piece: Piece, cursor: impl FnOnce() -> Option<String>) -> Option<Line> {
        let goes_on = matches!(piece.ends, Break::Continues | Break::Nul);
        let Some(index) = self.open.iter().position(|o| o.key == key) else {
            if !goes_on {
                let is_cut = piece.ends == Break::Cut;
                return Some(self.line(piece.line, piece.bytes, piece.is_over, is_cut));
            }
            let mut open =
                Open { key, first: cursor(), line: piece.line, bytes: piece.bytes, is_over: piece.is_over };
            if piece.ends == Break::Nul {
                open.bytes.push(0);
            }
            self.open.push(open);
            return if self.open.len() > OPEN_MAX { self.told(0, true) } else { None };
        };
        let open = &mut self.open[index];
        open.line = piece.line;
        if open.first.is_some() {
            open.bytes.extend_from_slice(&piece.bytes);
            if piece.ends == Break::Nul {
                open.bytes.push(0);
            }
            open.is_over |= piece.is_over || open.bytes.len() > self.bytes_max;
            open.bytes.truncate(self.bytes_max.saturating_add(1));
        }
        if goes_on { None } else { self.told(index, piece.ends == Break::Cut) }
    }

    /// Takes a line out and tells it, unless it was told before.
    fn told(&mut self, index: usize, is_cut: bool) -> Option<Line> {
        let open = self.open.remove(index);
        open.first.as_ref()?;
        Some(self.line(open.line, open.bytes, open.is_over, is_cut))
    }

    /// Lines that saw no piece for too long, or whose boot is over; what
    /// follows of them is passed over. Within a boot the monotonic clock tells:
    /// a step of the wall clock ends no line.
    pub fn overdue(&mut self, at: Time, boot: Option<Boot>) -> Vec<Line> {
        let mut told = Vec::new();
        for index in 0..self.open.len() {
            let open = &mut self.open[index];
            let rested = match (boot, open.line.boot) {
                (Some(now), Some(last)) if now.id == last.id => {
                    Time(now.monotonic).since(Time(last.monotonic))
                }
                (Some(_), Some(_)) => Duration::MAX,
                _ => at.since(open.line.at),
            };
            if open.first.is_some() && rested > OPEN_FOR {
                open.first = None;
                let (line, bytes, is_over) =
                    (open.line.clone(), std::mem::take(&mut open.bytes), open.is_over);
                told.push(self.line(line, bytes, is_over, true));
            }
        }
        told
    }

    /// All that is still open, as cut lines: the input has ended.
    pub fn finish(&mut self) -> Vec<Line> {
        let mut told = Vec::new();
        while !self.open.is_empty() {
            told.extend(self.told(0, true));
        }
        told
    }

    /// Passes over what follows of a line.
    pub fn pass_over(&mut self, key: Key, line: Line) {
        if self.open.len() < OPEN_MAX {
            self.open.push(Open { key, first: None, line, bytes: Vec::new(), is_over: false });
        }
    }

    /// What must be read again, or passed over, after a restart.
    pub fn open_lines(&self) -> Vec<OpenLine> {
        self.open
            .iter()
            .map(|open| OpenLine {
                pid: open.key.pid,
                boot: format!("{:032x}", open.key.boot),
                stream: open.key.stream.clone(),
                first: open.first.clone(),
            })
            .collect()
    }

    fn line(&self, mut line: Line, mut bytes: Vec<u8>, is_over: bool, is_cut: bool) -> Line {
        while !is_over && bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let is_over = is_over || bytes.len() > self.bytes_max;
        bytes.truncate(self.bytes_max);
        line.is_cut = is_over || is_cut;
        if line.is_cut {
            // The cut may stand inside a character: that half is our doing.
            if let Err(error) = std::str::from_utf8(&bytes)
                && error.error_len().is_none()
            {
                bytes.truncate(error.valid_up_to());
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => line.text = text,
            Err(error) => {
                line.had_invalid_utf8 = true;
                line.text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stream;

    fn key(pid: u32) -> Key {
        Key { pid: Some(pid), boot: 1, stream: "s".to_owned() }
    }

    fn piece(bytes: &[u8], ends: Break) -> Piece {
        piece_at(bytes, ends, 0)
    }

    fn piece_at(bytes: &[u8], ends: Break, secs: i64) -> Piece {
        let line = Line {
            stream: Stream { writer: "1".into(), channel: Default::default() },
            at: Time::from_secs(secs),
            boot: None,
            identifier: None,
            text: String::new(),
            is_cut: false,
            had_invalid_utf8: false,
        };
        Piece { line, bytes: bytes.to_vec(), is_over: false, ends }
    }

    fn first() -> Option<String> {
        Some("first".to_owned())
    }

    #[test]
    fn pieces_of_two_processes_are_joined_apart() {
        let mut joiner = Joiner::new(100);
        assert_eq!(joiner.push(key(1), piece(b"one ", Break::Continues), first), None);
        assert_eq!(joiner.push(key(2), piece(b"two ", Break::Continues), first), None);
        assert_eq!(joiner.open_lines().len(), 2);
        assert_eq!(joiner.push(key(1), piece(b"end", Break::Whole), first).unwrap().text, "one end");
        assert_eq!(joiner.push(key(2), piece(b"end", Break::Whole), first).unwrap().text, "two end");
        assert!(joiner.is_empty());
    }

    #[test]
    fn a_character_cut_in_two_is_whole_again_and_a_nul_stays() {
        let mut joiner = Joiner::new(100);
        joiner.push(key(1), piece(b"\xc3", Break::Continues), first);
        joiner.push(key(1), piece(b"\xa4", Break::Nul), first);
        let line = joiner.push(key(1), piece(b"b", Break::Whole), first).unwrap();
        assert_eq!(line.text, "ä\0b");
        assert!(!line.had_invalid_utf8 && !line.is_cut);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_before_a_whole_character() {
        let mut joiner = Joiner::new(4);
        joiner.push(key(1), piece("abc".as_bytes(), Break::Continues), first);
        let line = joiner.push(key(1), piece("äx".as_bytes(), Break::Whole), first).unwrap();
        assert_eq!((line.text.as_str(), line.is_cut, line.had_invalid_utf8), ("abc", true, false));
    }

    #[test]
    fn a_line_that_was_never_ended_is_marked() {
        let mut joiner = Joiner::new(100);
        assert!(joiner.push(key(1), piece(b"a", Break::Cut), first).unwrap().is_cut);
        joiner.push(key(1), piece(b"b", Break::Continues), first);
        let line = joiner.push(key(1), piece(b"c", Break::Cut), first).unwrap();
        assert_eq!((line.text.as_str(), line.is_cut), ("bc", true));
    }

    #[test]
    fn a_stuck_line_is_told_once_and_its_rest_is_passed_over() {
        let mut joiner = Joiner::new(100);
        joiner.push(key(1), piece_at(b"a", Break::Continues, 0), first);
        assert!(joiner.overdue(Time::from_secs(60), None).is_empty());
        let told = joiner.overdue(Time::from_secs(61), None);
        assert_eq!((told.len(), told[0].is_cut), (1, true));
        assert_eq!(joiner.open_lines()[0].first, None);
        assert_eq!(joiner.push(key(1), piece_at(b"b", Break::Whole, 70), first), None);
        assert_eq!(joiner.push(key(1), piece_at(b"c", Break::Whole, 71), first).unwrap().text, "c");
    }

    #[test]
    fn a_step_of_the_wall_clock_ends_no_line_and_a_new_boot_does() {
        let mut joiner = Joiner::new(100);
        let mut begun = piece_at(b"a", Break::Continues, 0);
        begun.line.boot = Some(Boot { id: 1, monotonic: 0 });
        joiner.push(key(1), begun, first);
        let now = Boot { id: 1, monotonic: 5_000_000_000 };
        assert!(joiner.overdue(Time::from_secs(9_999), Some(now)).is_empty());
        assert_eq!(joiner.overdue(Time::from_secs(1), Some(Boot { id: 2, monotonic: 0 })).len(), 1);
    }

    #[test]
    fn the_oldest_open_line_makes_room() {
        let mut joiner = Joiner::new(100);
        for pid in 0..OPEN_MAX as u32 {
            assert_eq!(joiner.push(key(pid), piece(b"x", Break::Continues), first), None);
        }
        let line = joiner.push(key(999), piece(b"y", Break::Continues), first).unwrap();
        assert_eq!((line.text.as_str(), line.is_cut), ("x", true));
        assert_eq!(joiner.open_lines().len(), OPEN_MAX);
    }
}
