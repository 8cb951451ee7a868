//! Pieces into lines, each output of a container for itself.
//!
//! dockerd stores a long line as pieces of 16 KiB that share one stamp; only
//! the last ends in a newline, and the API has no flag for it. So a piece goes
//! on if it is full and has no newline; a shorter one without a newline is the
//! last words of a process. The journald driver stamps every piece anew, so
//! there the size alone decides.

use std::sync::Arc;

use crate::model::{Channel, Line, Stream, Time};

use super::frames::{PIECE_BYTES, Piece};

/// What a piece made of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// A line has begun and is not whole yet.
    Opened(Channel),
    /// A line is whole.
    Line(Line),
}

/// The half-joined line of one output.
#[derive(Debug)]
struct Open {
    at: Time,
    text: Vec<u8>,
    text_bytes: usize,
}

/// Joins the pieces of one container.
#[derive(Debug)]
pub struct Joiner {
    writer: Arc<str>,
    line_bytes_max: usize,
    is_tty: bool,
    stamps_differ: bool,
    open: [Option<Open>; 2],
}

/// The place of an output where both are kept side by side.
pub fn lane(channel: Channel) -> usize {
    usize::from(channel == Channel::Err)
}

impl Joiner {
    /// `stamps_differ`: pieces of one line have stamps of their own (journald).
    pub fn new(writer: Arc<str>, line_bytes_max: usize, is_tty: bool, stamps_differ: bool) -> Joiner {
        Joiner { writer, line_bytes_max, is_tty, stamps_differ, open: [None, None] }
    }

    /// Takes a piece.
    pub fn push(&mut self, piece: Piece, out: &mut Vec<Joined>) {
        let lane = lane(piece.channel);
        let goes_on = !piece.has_newline && piece.text_bytes >= PIECE_BYTES;
        match &self.open[lane] {
            Some(open) if self.stamps_differ || open.at == piece.at => {}
            // dockerd went back in the log and sends the line again, whole.
            Some(open) if piece.at < open.at => self.open[lane] = None,
            Some(_) => self.close(piece.channel, out),
            None => {}
        }
        let is_new = self.open[lane].is_none();
        let open =
            self.open[lane].get_or_insert_with(|| Open { at: piece.at, text: Vec::new(), text_bytes: 0 });
        open.text_bytes += piece.text_bytes;
        if is_new {
            open.text = piece.text;
        } else {
            let room = self.line_bytes_max.saturating_sub(open.text.len());
            open.text.extend_from_slice(&piece.text[..piece.text.len().min(room)]);
        }
        if !goes_on {
            self.close(piece.channel, out);
        } else if is_new {
            out.push(Joined::Opened(piece.channel));
        }
    }

    /// The container has ended: what is half is all there will be.
    pub fn flush(&mut self, out: &mut Vec<Joined>) {
        for channel in [if self.is_tty { Channel::Any } else { Channel::Out }, Channel::Err] {
            self.close(channel, out);
        }
    }

    fn close(&mut self, channel: Channel, out: &mut Vec<Joined>) {
        let Some(mut open) = self.open[lane(channel)].take() else {
            return;
        };
        let is_cut = open.text_bytes > self.line_bytes_max;
        open.text.truncate(self.line_bytes_max);
        if self.is_tty && !is_cut && open.text.last() == Some(&b'\r') {
            open.text.pop();
        }
        if is_cut {
            trim_broken_end(&mut open.text);
        }
        let (text, had_invalid_utf8) = match String::from_utf8(open.text) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        out.push(Joined::Line(Line {
            stream: Stream { writer: self.writer.clone(), channel },
            at: open.at,
            boot: None,
            identifier: None,
            text,
            is_cut,
            had_invalid_utf8,
        }));
    }
}

/// A cut in the middle of a character is not the writer's fault.
fn trim_broken_end(text: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(text)
        && error.error_len().is_none()
    {
        text.truncate(error.valid_up_to());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(channel: Channel, at: i64, text: &[u8], has_newline: bool) -> Piece {
        Piece { channel, at: Time(at), text: text.to_vec(), text_bytes: text.len(), has_newline }
    }

    fn join(joiner: &mut Joiner, pieces: Vec<Piece>) -> Vec<(Channel, i64, usize)> {
        let mut out = Vec::new();
        for piece in pieces {
            joiner.push(piece, &mut out);
        }
        out.into_iter()
            .filter_map(|joined| match joined {
                Joined::Line(line) => Some((line.stream.channel, line.at.0, line.text.len())),
                Joined::Opened(_) => None,
            })
            .collect()
    }

    fn joiner(line_bytes_max: usize) -> Joiner {
        Joiner::new("c".into(), line_bytes_max, false, false)
    }

    #[test]
    fn pieces_of_a_long_line_are_one_line_though_the_other_output_speaks_between() {
        let full = vec![b'x'; PIECE_BYTES];
        let pieces = vec![
            piece(Channel::Out, 5, &full, false),
            piece(Channel::Err, 6, b"err", true),
            piece(Channel::Out, 5, &full, false),
            piece(Channel::Out, 5, &full[..7232], true),
        ];
        assert_eq!(join(&mut joiner(1 << 20), pieces), [(Channel::Err, 6, 3), (Channel::Out, 5, 40_000)]);
    }

    #[test]
    fn a_line_of_exactly_one_piece_is_closed_by_its_lone_newline() {
        let full = vec![b'x'; PIECE_BYTES];
        let pieces = vec![piece(Channel::Out, 5, &full, false), piece(Channel::Out, 5, b"", true)];
        assert_eq!(join(&mut joiner(1 << 20), pieces), [(Channel::Out, 5, PIECE_BYTES)]);
    }

    #[test]
    fn last_words_without_a_newline_are_not_glued_to_the_next_start() {
        let full = vec![b'x'; PIECE_BYTES];
        let pieces = vec![
            piece(Channel::Out, 5, b"last words", false),
            piece(Channel::Out, 9, b"next", true),
            piece(Channel::Out, 10, &full, false),
            piece(Channel::Out, 20, b"new", true),
        ];
        let want = [
            (Channel::Out, 5, 10),
            (Channel::Out, 9, 4),
            (Channel::Out, 10, PIECE_BYTES),
            (Channel::Out, 20, 3),
        ];
        assert_eq!(join(&mut joiner(1 << 20), pieces), want);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_between_characters_and_says_so() {
        let mut out = Vec::new();
        joiner(4).push(piece(Channel::Out, 1, "abcéé".as_bytes(), true), &mut out);
        match &out[..] {
            [Joined::Line(line)] => {
                assert_eq!((line.text.as_str(), line.is_cut, line.had_invalid_utf8), ("abc", true, false));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn invalid_utf8_is_replaced_and_told_and_a_terminals_line_end_goes() {
        let mut tty = Joiner::new("c".into(), 100, true, false);
        let mut out = Vec::new();
        tty.push(piece(Channel::Any, 1, b"a\xffb\r", true), &mut out);
        match &out[..] {
            [Joined::Line(line)] => {
                assert_eq!((line.text.as_str(), line.had_invalid_utf8), ("a\u{fffd}b", true))
            }
            other => panic!("{other:?}"),
        }
    }
}
