//! One physical line of a file to a [`Line`]: its time, its output, its text.
//!
//! Two formats: plain lines, and Docker's `*-json.log`, whose lines are JSON
//! objects that may hold a piece of a line (dockerd splits at 16 KiB; only the
//! last piece ends in a newline).
//!
//! The surprising decision is the time of a line that carries none. A
//! traceback read an hour late must not move the source's clock an hour ahead
//! of the lines around it, so it takes the time of the line before; only where
//! no line has carried a time lately does it take the time of reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::cursor::Memory;
use crate::config::plan::FileFormat;
use crate::decode::clean::{clean, without_return};
use crate::decode::docker::split_printed_timestamp;
use crate::decode::stamp::{Local, of_application};
use crate::model::{Channel, Line, Stream, Time};

/// After so many lines without a time the last one seen says nothing any more.
const UNSTAMPED_MAX: u32 = 1_000;
/// A line's writer may have a clock that is ahead of ours.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(24 * 3600);
/// A short piece without a newline that is followed so much later was the last
/// output of a process, not the beginning of a longer line.
const PIECE_GAP_NANOS: i64 = 1_000_000_000;
/// dockerd's pieces are this long, but for the last.
const PIECE_BYTES: usize = 16 * 1024;

/// Turns the physical lines of one file into lines.
pub(super) struct Decoder {
    format: FileFormat,
    local: Local,
    bytes_max: usize,
    writer: Arc<str>,
    from: Option<Time>,
    stamped: Option<Time>,
    unstamped: u32,
    read_at: Time,
    held: BTreeMap<Channel, Held>,
    /// Until this offset only the pieces of `again` are taken.
    again_until: u64,
    again: BTreeMap<Channel, u64>,
}

/// A joined line whose last piece has not come.
struct Held {
    begins: u64,
    at: Time,
    text: String,
    piece: usize,
    skips: bool,
}

/// A physical line.
pub(super) struct Raw<'a> {
    /// Without its line end.
    pub bytes: &'a [u8],
    /// Where it begins in the file.
    pub offset: u64,
    /// It was over the limit; this is its beginning.
    pub is_cut: bool,
}

#[derive(Deserialize)]
struct DockerLine {
    log: String,
    #[serde(default)]
    stream: String,
    time: String,
}

impl Decoder {
    /// For one file; `bytes_max` bounds a line's text.
    pub fn new(format: FileFormat, timezone: TimeZone, bytes_max: usize, writer: Arc<str>) -> Decoder {
        Decoder {
            format,
            local: Local { zone: timezone, latest: Time(0) },
            bytes_max,
            writer,
            from: None,
            stamped: None,
            unstamped: 0,
            read_at: Time::MIN,
            held: BTreeMap::new(),
            again_until: 0,
            again: BTreeMap::new(),
        }
    }

    /// Lines before `from` are passed over from here on.
    pub fn only_from(&mut self, from: Time) {
        self.from = Some(from);
    }

    /// The longest physical line worth keeping.
    pub fn raw_bytes_max(&self) -> usize {
        match self.format {
            FileFormat::Plain => self.bytes_max,
            // A piece of 16 KiB may be escaped to six times that.
            FileFormat::DockerJson => self.bytes_max.max(256 * 1024),
        }
    }

    /// What must be known to go on from `offset` in another run.
    pub fn memory(&self) -> Memory {
        let mut held: Vec<_> =
            self.held.iter().filter(|(_, h)| !h.skips).map(|(c, h)| (*c, h.begins)).collect();
        held.extend(self.again.iter().filter(|(c, _)| !self.held.contains_key(c)).map(|(c, at)| (*c, *at)));
        let skips = self.held.iter().filter(|(_, h)| h.skips).map(|(c, _)| *c).collect();
        Memory { from: self.from, stamped: self.stamped, held, skips }
    }

    /// Goes on where another run stopped. Returns where reading must begin,
    /// which is before `offset` if a line's pieces are to be read again.
    pub fn resume(&mut self, memory: &Memory, offset: u64) -> u64 {
        self.from = memory.from;
        self.stamped = memory.stamped;
        for channel in &memory.skips {
            self.held.insert(*channel, Held::skipping());
        }
        self.again = memory.held.iter().copied().collect();
        let begins = self.again.values().copied().min().unwrap_or(offset).min(offset);
        if begins < offset {
            self.again_until = offset;
        } else {
            self.again.clear();
        }
        begins
    }

    /// Forgets positions: the file begins again.
    pub fn restart(&mut self) {
        self.held.clear();
        self.again.clear();
        self.again_until = 0;
    }

    /// Whether a joined line is waiting for its end.
    pub fn is_holding(&self) -> bool {
        self.held.values().any(|h| !h.skips)
    }

    /// Where the cursor may stand if everything before `offset` was taken: the
    /// same place, for what is held has a position of its own.
    pub fn position(&self, offset: u64) -> u64 {
        offset.max(self.again_until)
    }

    /// Whether a line carries a time of its own.
    pub fn has_time(&self, bytes: &[u8]) -> bool {
        match self.format {
            FileFormat::DockerJson => true,
            FileFormat::Plain => of_application(bytes, &self.local).is_some(),
        }
    }

    /// Takes one physical line; `now` is the time of reading.
    pub fn take(&mut self, raw: &Raw<'_>, now: Time, out: &mut dyn FnMut(Line)) {
        match self.format {
            FileFormat::Plain => self.take_plain(raw, now, out),
            FileFormat::DockerJson => self.take_docker(raw, now, out),
        }
    }

    /// Gives what waits for an end that will not come.
    pub fn finish(&mut self, out: &mut dyn FnMut(Line)) {
        for (channel, held) in std::mem::take(&mut self.held) {
            if !held.skips {
                self.give(channel, held.at, held.text, Marks::default(), out);
            }
        }
    }

    fn take_plain(&mut self, raw: &Raw<'_>, now: Time, out: &mut dyn FnMut(Line)) {
        let bytes = without_return(raw.bytes);
        // A stamp without a year is of the latest year that makes it past.
        self.local.latest = now.plus(CLOCKS_APART_MAX);
        let (stamped, bytes) = match split_printed_timestamp(bytes) {
            Some((at, rest)) => (Some(at), rest),
            None => (of_application(bytes, &self.local), bytes),
        };
        let (text, _, invalid) = clean(bytes, usize::MAX);
        let marks = Marks { is_cut: raw.is_cut, invalid };
        match stamped {
            Some(at) => {
                self.stamped = Some(at);
                self.unstamped = 0;
                self.pass_from(at);
            }
            None => self.unstamped = self.unstamped.saturating_add(1),
        }
        let at = stamped.unwrap_or_else(|| self.time_of_unstamped(now));
        self.give(Channel::Any, at, text, marks, out);
    }

    fn take_docker(&mut self, raw: &Raw<'_>, now: Time, out: &mut dyn FnMut(Line)) {
        let parsed: Option<(DockerLine, Time)> = serde_json::from_slice::<DockerLine>(raw.bytes)
            .ok()
            .and_then(|line| Time::parse_rfc3339(&line.time).map(|at| (line, at)));
        let is_again = raw.offset < self.again_until;
        let Some((line, at)) = parsed else {
            // A line torn by a crash of dockerd: its text is not to be trusted.
            if !is_again && !raw.bytes.is_empty() {
                let text = String::from_utf8_lossy(raw.bytes);
                let marks = Marks { is_cut: true, invalid: matches!(text, std::borrow::Cow::Owned(_)) };
                let at = self.time_of_unstamped(now);
                let text = floor(&text, self.bytes_max).to_owned();
                self.give(Channel::Any, at, text, marks, out);
            }
            return;
        };
        let channel = match line.stream.as_str() {
            "stdout" => Channel::Out,
            "stderr" => Channel::Err,
            _ => Channel::Any,
        };
        if is_again {
            match self.again.get(&channel) {
                Some(begins) if raw.offset >= *begins => {}
                _ => return,
            }
        } else {
            self.again.clear();
        }
        self.stamped = Some(at);
        self.unstamped = 0;
        self.pass_from(at);
        self.join(channel, &line.log, at, raw.offset, out);
    }

    /// Joins a piece to what its output holds.
    fn join(&mut self, channel: Channel, log: &str, at: Time, offset: u64, out: &mut dyn FnMut(Line)) {
        if let Some(held) = self.held.get(&channel)
            && !held.skips
            && held.piece < PIECE_BYTES
            && at.0.saturating_sub(held.at.0) > PIECE_GAP_NANOS
            && let Some(held) = self.held.remove(&channel)
        {
            self.give(channel, held.at, held.text, Marks::default(), out);
        }
        let (piece, is_last) = match log.strip_suffix('\n') {
            Some(piece) => (piece.strip_suffix('\r').unwrap_or(piece), true),
            None => (log, false),
        };
        let mut held = self.held.remove(&channel).unwrap_or(Held {
            begins: offset,
            at,
            text: String::new(),
            piece: 0,
            skips: false,
        });
        held.piece = log.len();
        if !held.skips {
            let room = self.bytes_max.saturating_sub(held.text.len());
            held.text.push_str(floor(piece, room));
            let is_cut = piece.len() > room;
            if is_cut || is_last {
                held.skips = true;
                let marks = Marks { is_cut, invalid: false };
                self.give(channel, held.at, std::mem::take(&mut held.text), marks, out);
            }
        }
        if !is_last {
            self.held.insert(channel, held);
        }
    }

    fn give(&mut self, channel: Channel, at: Time, text: String, marks: Marks, out: &mut dyn FnMut(Line)) {
        if self.from.is_some() {
            return;
        }
        out(Line {
            stream: Stream { writer: self.writer.clone(), channel },
            at,
            boot: None,
            identifier: None,
            text,
            is_cut: marks.is_cut,
            had_invalid_utf8: marks.invalid,
        });
    }

    /// A line at or after the wanted beginning ends the passing over.
    fn pass_from(&mut self, at: Time) {
        if self.from.is_some_and(|from| at >= from) {
            self.from = None;
        }
    }

    fn time_of_unstamped(&mut self, now: Time) -> Time {
        match self.stamped {
            Some(at) if self.unstamped <= UNSTAMPED_MAX => at,
            _ => {
                self.read_at = self.read_at.max(now).max(self.stamped.unwrap_or(Time::MIN));
                self.read_at
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Marks {
    is_cut: bool,
    invalid: bool,
}

impl Held {
    fn skipping() -> Held {
        Held { begins: 0, at: Time::MIN, text: String::new(), piece: PIECE_BYTES, skips: true }
    }
}

/// The longest beginning of at most `max` bytes that ends between characters.
fn floor(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
