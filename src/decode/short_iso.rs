//! `journalctl -o short-iso` and `short-iso-precise`: text with journald's time.
//!
//! `2026-03-14T09:00:00+0000 host python[1203]: text`. Fields are not shown, so
//! the stream is the PID alone, and a piece that journald cut is known only by
//! its length. The further lines of a message are indented to where its text
//! begins; so an entry is complete only when the next one has begun. Without
//! `--all` journalctl shows `[48.0K blob data]` for what it holds to be
//! unprintable: there was a line, and nothing may be concluded from it.

use std::sync::Arc;

use memchr::{memchr, memmem};

use crate::config::plan::{SourceKind, SourcePlan};
use crate::model::{Channel, Gap, Reading, Stream, Time};

use super::clean::without_return;
use super::entry::unit_name;
use super::frame::{Framed, Framer};
use super::join::{Head, Joiner, Piece, line};
use super::journal::{DROPPED, Names, WRITER_BOOT_DIGITS, end_by_length, suppressed};
use super::stamp::{LEVELS, rfc3339};

/// Time, host, identifier and PID are not longer than this.
const PREFIX_BYTES_MAX: usize = 1_024;

/// An entry's first line, taken apart.
struct Parsed<'a> {
    at: Time,
    identifier: &'a [u8],
    pid: &'a [u8],
    text: &'a [u8],
}

/// Takes an entry's first line apart. It is strict, as many applications write
/// lines that are much like it: the offset is in digits, the host is a name and
/// no level, and an identifier with blanks has a PID.
fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let (at, rest) = rfc3339(line)?;
    let stamp = &line[..line.len() - rest.len()];
    let rest = rest.strip_prefix(b" ").filter(|_| stamp.last().is_some_and(u8::is_ascii_digit))?;
    let (host, writer) = rest.split_at(memchr(b' ', rest)?);
    let is_host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || !host.iter().all(is_host) || LEVELS.contains(&host) {
        return None;
    }
    let writer = &writer[1..];
    let head = &writer[..writer.len().min(PREFIX_BYTES_MAX)];
    let (writer, text) = match memmem::find(head, b": ") {
        Some(colon) => (&writer[..colon], &writer[colon + 2..]),
        None => (head.strip_suffix(b":")?, &b""[..]),
    };
    let (identifier, pid) = split_pid(writer);
    let is_writer = !pid.is_empty() || (!identifier.is_empty() && !identifier.contains(&b' '));
    is_writer.then_some(Parsed { at, identifier, pid, text })
}

fn split_pid(writer: &[u8]) -> (&[u8], &[u8]) {
    let split = || {
        let open = writer.strip_suffix(b"]")?;
        let at = memchr::memrchr(b'[', open)?;
        let pid = &open[at + 1..];
        (!pid.is_empty() && pid.iter().all(u8::is_ascii_digit)).then_some((&open[..at], pid))
    };
    split().unwrap_or((writer, b""))
}

/// Whether a line begins an entry of this form.
pub fn is_entry(line: &[u8]) -> bool {
    parse(line).is_some()
}

/// Whether a line is one of journalctl's own (`-- Boot … --`).
pub fn is_remark(line: &[u8]) -> bool {
    line.starts_with(b"-- ") && line.ends_with(b"--")
}

/// Reads both forms.
#[derive(Clone, Debug)]
pub struct ShortIso {
    framer: Framer,
    entries: Entries,
}

#[derive(Clone, Debug)]
struct Entries {
    unit: Option<String>,
    line_bytes_max: usize,
    joiner: Joiner,
    names: Names,
    /// `@` and the boot, once journalctl has told of one.
    boot: Vec<u8>,
    held: Option<Held>,
    last_at: Option<Time>,
    problems: u64,
}

/// An entry whose further lines may still come.
#[derive(Clone, Debug)]
struct Held {
    head: Head,
    text: Vec<u8>,
    is_cut: bool,
    indent: usize,
}

impl ShortIso {
    /// For a source.
    pub fn new(source: &SourcePlan) -> ShortIso {
        let unit = match &source.kind {
            SourceKind::Journal(plan) => plan.unit.as_deref().map(unit_name),
            _ => None,
        };
        let line_bytes_max = source.line_bytes_max;
        let entries = Entries {
            unit,
            line_bytes_max,
            joiner: Joiner::new(line_bytes_max),
            names: Names::default(),
            boot: Vec::new(),
            held: None,
            last_at: None,
            problems: 0,
        };
        ShortIso { framer: Framer::new(line_bytes_max.saturating_add(PREFIX_BYTES_MAX)), entries }
    }

    /// Lines before any entry, which have no time.
    pub fn problems(&self) -> u64 {
        self.entries.problems
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Reading>) {
        let entries = &mut self.entries;
        self.framer.feed(chunk, |line| entries.take(line, out));
    }

    /// Takes the end of the input.
    pub fn finish(&mut self, out: &mut Vec<Reading>) {
        let entries = &mut self.entries;
        self.framer.finish(|line| entries.take(line, out));
        entries.release(out);
        out.extend(entries.joiner.finish().into_iter().map(Reading::Line));
    }
}

impl Entries {
    fn take(&mut self, framed: Framed<'_>, out: &mut Vec<Reading>) {
        let bytes = if framed.is_cut { framed.bytes } else { without_return(framed.bytes) };
        if let Some(parsed) = parse(bytes) {
            self.release(out);
            return self.hold(parsed, bytes.len(), framed.is_cut, out);
        }
        if let Some(held) = &mut self.held {
            let is_further = bytes.len() >= held.indent && bytes[..held.indent].iter().all(|b| *b == b' ');
            if is_further {
                return further(held, &bytes[held.indent..], framed.is_cut, self.line_bytes_max);
            }
        }
        self.release(out);
        if is_remark(bytes) {
            self.remark(bytes, out);
        } else if !bytes.is_empty() {
            self.stray(bytes, framed.is_cut, out);
        }
    }

    fn hold(&mut self, parsed: Parsed<'_>, length: usize, is_cut: bool, out: &mut Vec<Reading>) {
        self.last_at = Some(parsed.at);
        if parsed.identifier == b"systemd-journald"
            && let Some((lines, unit)) = suppressed(parsed.text)
        {
            if self.unit.as_deref().is_none_or(|wanted| is_unit(unit, wanted)) {
                let gap = Gap { at: parsed.at, boot: None, lines: Some(lines), why: DROPPED.to_owned() };
                out.push(Reading::Gap(gap));
            }
            return;
        }
        let writer: Arc<str> = if self.boot.is_empty() || parsed.pid.is_empty() {
            self.names.get(parsed.pid)
        } else {
            self.names.get(&[parsed.pid, &self.boot].concat())
        };
        let identifier = (!parsed.identifier.is_empty()).then(|| self.names.get(parsed.identifier));
        let stream = Stream { writer, channel: Channel::Any };
        let head = Head { stream, at: parsed.at, boot: None, identifier };
        let indent = length - parsed.text.len();
        let (text, is_cut) = if is_blob(parsed.text) { (&b""[..], true) } else { (parsed.text, is_cut) };
        self.held = Some(Held { head, text: text.to_vec(), is_cut, indent });
    }

    /// Hands out the entry that is complete now.
    fn release(&mut self, out: &mut Vec<Reading>) {
        let Some(held) = self.held.take() else { return };
        let end = end_by_length(&held.text);
        let writer = held.head.stream.writer.clone();
        out.extend(self.joiner.overdue(held.head.at, None).into_iter().map(Reading::Line));
        let piece = Piece { head: held.head, text: &held.text, is_cut: held.is_cut, end };
        out.extend(self.joiner.push(&writer, piece, || ()).map(Reading::Line));
    }

    fn remark(&mut self, bytes: &[u8], out: &mut Vec<Reading>) {
        let Some(rest) = bytes.strip_prefix(b"-- Boot ").or(bytes.strip_prefix(b"-- Reboot")) else {
            return;
        };
        // Another boot: the processes of the one before are gone.
        out.extend(self.joiner.finish().into_iter().map(Reading::Line));
        let id: Vec<u8> =
            rest.iter().copied().take_while(u8::is_ascii_hexdigit).take(WRITER_BOOT_DIGITS).collect();
        self.boot = [&b"@"[..], &id].concat();
    }

    /// A line that is no entry is kept, at the time of the entry before.
    fn stray(&mut self, bytes: &[u8], is_cut: bool, out: &mut Vec<Reading>) {
        let Some(at) = self.last_at else {
            self.problems += 1;
            return;
        };
        let stream = Stream { writer: self.names.get(b""), channel: Channel::Any };
        let head = Head { stream, at, boot: None, identifier: None };
        out.push(Reading::Line(line(head, bytes, is_cut, self.line_bytes_max)));
    }
}

/// journalctl's words for a message that it does not show.
fn is_blob(text: &[u8]) -> bool {
    let size = || text.strip_prefix(b"[")?.strip_suffix(b" blob data]");
    size().is_some_and(|size| size.len() <= 8 && size.first().is_some_and(u8::is_ascii_digit))
}

fn further(held: &mut Held, text: &[u8], is_cut: bool, line_bytes_max: usize) {
    if held.is_cut {
        return;
    }
    // One byte past the limit is kept, so that the cut is seen.
    let room = line_bytes_max.saturating_add(1).saturating_sub(held.text.len());
    let before = held.text.len();
    held.text.push(b'\n');
    held.text.extend_from_slice(text);
    held.text.truncate(before + room);
    held.is_cut = is_cut || text.len() + 1 > room;
}

/// Old journald names the control group.
fn is_unit(said: &str, wanted: &str) -> bool {
    said == wanted || said.rsplit('/').next() == Some(wanted)
}
