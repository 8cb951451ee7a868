//! Docker's own framing: timestamps, 16 KiB pieces and the `*-json.log`.
//!
//! dockerd cuts a line into pieces of 16,384 bytes; all carry the time of the
//! first and only the last ends in a line feed. A piece that is shorter and
//! has no line feed is the last thing its container wrote: what comes after it
//! (the container was started again) is a line of its own. As the first half of
//! a character counts as invalid to dockerd's JSON writer, a cut character
//! grows there, so a piece may also be a little longer.
//!
//! `docker logs -t` prints the stamp of every piece in the middle of the line
//! (docker/cli #4941); [`without_inner_stamps`] takes them out again.

use std::borrow::Cow;

use serde::Deserialize;

use crate::config::plan::SourcePlan;
use crate::model::{Channel, Line, Reading, Stream, Time};

use super::clean::without_return;
use super::frame::{Framed, Framer};
use super::join::{Head, line};
use super::stamp::rfc3339;

/// dockerd's pieces.
pub const PIECE_BYTES: usize = 16 << 10;
/// `2026-03-14T09:00:01.000000000Z`, always nine digits, always UTC.
const STAMP_BYTES: usize = 30;
/// The bytes of up to two cut characters, each grown from one byte to three.
const PIECE_GROWTH_MAX: usize = 12;
/// Pieces of a line carry one time; dockerds of old stamped each.
const PIECES_APART_MAX_NANOS: i64 = 50_000_000;
/// A line of a `*-json.log` holds at most a piece with escapes.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Takes the time off a line as the Engine's API sends it with `timestamps`.
pub fn split_timestamp(line: &[u8]) -> Option<(Time, &[u8])> {
    let (at, rest) = rfc3339(line)?;
    match rest.split_first() {
        Some((b' ', rest)) => Some((at, rest)),
        Some((b'\n' | b'\r', _)) | None => Some((at, rest)),
        Some(_) => None,
    }
}

/// Like [`split_timestamp`], but only for the form that `docker logs -t`
/// prints, which an application hardly uses.
pub fn split_printed_timestamp(line: &[u8]) -> Option<(Time, &[u8])> {
    let is_it = line.get(19) == Some(&b'.') && line.get(STAMP_BYTES - 1) == Some(&b'Z');
    if is_it { split_timestamp(line) } else { None }
}

/// Takes the stamps out that stand in the middle of a line of several pieces.
/// `text` is what stands behind the line's own stamp.
pub fn without_inner_stamps(text: &[u8]) -> Cow<'_, [u8]> {
    let mut whole: Option<Vec<u8>> = None;
    let mut rest = text;
    while let Some((end, after)) = inner_stamp(rest) {
        whole.get_or_insert_default().extend_from_slice(&rest[..end]);
        rest = after;
    }
    match whole {
        None => Cow::Borrowed(text),
        Some(mut whole) => {
            whole.extend_from_slice(rest);
            Cow::Owned(whole)
        }
    }
}

/// Where the first piece ends and what stands behind the stamp that follows.
fn inner_stamp(text: &[u8]) -> Option<(usize, &[u8])> {
    (0..=PIECE_GROWTH_MAX).step_by(2).find_map(|growth| {
        let end = PIECE_BYTES + growth;
        Some((end, split_printed_timestamp(text.get(end..)?)?.1))
    })
}

#[derive(Clone, Debug)]
struct Open {
    at: Time,
    text: Vec<u8>,
    is_over: bool,
    last_is_full: bool,
}

/// Joins the pieces of one container's outputs.
#[derive(Clone, Debug)]
pub struct Pieces {
    line_bytes_max: usize,
    writer: std::sync::Arc<str>,
    open: [Option<Open>; 3],
}

impl Pieces {
    /// For a container of that name or id.
    pub fn new(writer: std::sync::Arc<str>, line_bytes_max: usize) -> Pieces {
        Pieces { line_bytes_max, writer, open: [None, None, None] }
    }

    /// Takes a piece, with its line feed if it has one; `each` gets the lines
    /// that it completes (two where the one before was never ended).
    pub fn push(&mut self, channel: Channel, at: Time, piece: &[u8], mut each: impl FnMut(Line)) {
        let slot = channel as usize;
        let (text, is_ended) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (piece, false),
        };
        if let Some(open) = &self.open[slot] {
            let is_apart = at.0.abs_diff(open.at.0) > PIECES_APART_MAX_NANOS as u64;
            if is_apart && !open.last_is_full {
                each(self.close(channel, false));
            }
        }
        if is_ended && self.open[slot].is_none() {
            return each(line(self.head(channel, at), text, false, self.line_bytes_max));
        }
        let open = self.open[slot].get_or_insert_with(|| Open {
            at,
            text: Vec::new(),
            is_over: false,
            last_is_full: false,
        });
        let room = self.line_bytes_max.saturating_sub(open.text.len());
        open.is_over |= text.len() > room;
        open.text.extend_from_slice(&text[..text.len().min(room)]);
        open.last_is_full = text.len() >= PIECE_BYTES;
        if is_ended {
            each(self.close(channel, false));
        }
    }

    /// The time of the first piece of the open line, if one is open.
    pub fn open_since(&self, channel: Channel) -> Option<Time> {
        self.open[channel as usize].as_ref().map(|open| open.at)
    }

    /// Hands out what is open: the container or the input is at its end. A
    /// line whose last piece was full is cut; a shorter one is all there was.
    pub fn finish(&mut self, mut each: impl FnMut(Line)) {
        for channel in [Channel::Any, Channel::Out, Channel::Err] {
            if let Some(open) = &self.open[channel as usize] {
                let is_cut = open.last_is_full;
                each(self.close(channel, is_cut));
            }
        }
    }

    fn close(&mut self, channel: Channel, is_cut: bool) -> Line {
        let open = self.open[channel as usize].take();
        let open =
            open.unwrap_or(Open { at: Time(0), text: Vec::new(), is_over: false, last_is_full: false });
        line(self.head(channel, open.at), &open.text, is_cut || open.is_over, self.line_bytes_max)
    }

    fn head(&self, channel: Channel, at: Time) -> Head {
        let stream = Stream { writer: self.writer.clone(), channel };
        Head { stream, at, boot: None, identifier: None }
    }
}

/// A line of a `*-json.log`.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads a `*-json.log`.
#[derive(Clone, Debug)]
pub struct DockerJson {
    framer: Framer,
    pieces: Pieces,
    problems: u64,
}

impl DockerJson {
    /// For a source; the container is not named in the file.
    pub fn new(source: &SourcePlan) -> DockerJson {
        DockerJson {
            framer: Framer::new(RECORD_BYTES_MAX.max(source.line_bytes_max.saturating_mul(6))),
            pieces: Pieces::new("".into(), source.line_bytes_max),
            problems: 0,
        }
    }

    /// Broken lines so far.
    pub fn problems(&self) -> u64 {
        self.problems
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Reading>) {
        let (pieces, problems) = (&mut self.pieces, &mut self.problems);
        self.framer.feed(chunk, |framed| take(pieces, problems, framed, out));
    }

    /// Takes the end of the input.
    pub fn finish(&mut self, out: &mut Vec<Reading>) {
        let (pieces, problems) = (&mut self.pieces, &mut self.problems);
        self.framer.finish(|framed| take(pieces, problems, framed, out));
        self.pieces.finish(|line| out.push(Reading::Line(line)));
    }
}

fn take(pieces: &mut Pieces, problems: &mut u64, framed: Framed<'_>, out: &mut Vec<Reading>) {
    let bytes = without_return(framed.bytes);
    // dockerd leaves NUL bytes behind where the machine lost its power.
    let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
    if bytes.is_empty() {
        return;
    }
    let read = || {
        let text = String::from_utf8_lossy(bytes);
        let record: Record<'_> = serde_json::from_str(&text).ok()?;
        let channel = match &*record.stream {
            "stdout" => Channel::Out,
            "stderr" => Channel::Err,
            _ => Channel::Any,
        };
        let (at, rest) = rfc3339(record.time.as_bytes())?;
        rest.is_empty().then(|| (channel, at, record.log.into_owned()))
    };
    match read().filter(|_| !framed.is_cut) {
        Some((channel, at, log)) => {
            pieces.push(channel, at, log.as_bytes(), |line| out.push(Reading::Line(line)))
        }
        None => *problems += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(pieces: &[(i64, &[u8])]) -> Vec<(String, i64, bool)> {
        let mut joiner = Pieces::new("c".into(), 40_000);
        let mut lines = Vec::new();
        let mut each = |line: Line| lines.push((line.text, line.at.0, line.is_cut));
        for (at, piece) in pieces {
            joiner.push(Channel::Out, Time(*at), piece, &mut each);
        }
        joiner.finish(&mut each);
        lines
    }

    #[test]
    fn pieces_of_one_time_become_one_line() {
        let full = [b'a'; PIECE_BYTES];
        let whole = "a".repeat(PIECE_BYTES) + "end";
        assert_eq!(
            join(&[(5, &full), (5, b"end\n"), (6, b"next\n")]),
            [(whole, 5, false), ("next".into(), 6, false)]
        );
        let later = 3_000_000_000;
        assert_eq!(join(&[(5, b"last word"), (later, b"new run\n")]).len(), 2);
    }

    #[test]
    fn a_line_that_never_ends_is_cut_and_memory_stays_bounded() {
        let full = [b'a'; PIECE_BYTES];
        let lines = join(&[(5, &full[..]); 100]);
        assert_eq!((lines.len(), lines[0].0.len(), lines[0].2), (1, 40_000, true));
        assert!(join(&[(5, &full)])[0].2, "the rest of a full piece is missing");
        assert_eq!(join(&[(5, b"no line feed")]), [("no line feed".into(), 5, false)]);
    }

    #[test]
    fn a_stamp_behind_a_character_that_was_cut_is_found() {
        let text = format!("{}\u{FFFD}2026-03-14T09:00:01.000000000Z \u{FFFD}x", "a".repeat(PIECE_BYTES - 1));
        assert!(without_inner_stamps(text.as_bytes()).ends_with("\u{FFFD}\u{FFFD}x".as_bytes()));
        assert!(matches!(without_inner_stamps(b"short"), Cow::Borrowed(_)));
    }
}
