//! Journal entries to readings, for the dumps and the live journal alike.
//!
//! [`Assembler`] filters, joins what journald cut, names the stream (a process:
//! `PID@BOOT`) and turns journald's own notice of dropped messages into a gap.
//! It does not read bytes: `export`, `journal_json`, `short_iso` and the live
//! source do.
//!
//! The notice names a unit and nothing else. A source that selects by other
//! fields is told of it if its own entries have come from that unit: told of
//! every unit's drops it would have gaps that are none of its own, and a gap
//! ends open blocks and hides silence.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::plan::{JournalPlan, SourceKind, SourcePlan};
use crate::model::{Boot, Channel, Gap, Line, Reading, Stream, Time};

use super::entry::{Entry, Filter};
use super::join::{Head, Joiner, Piece, PieceEnd};

/// Names and short values held at the same time.
const NAMES_MAX: usize = 4_096;

/// Units that the entries of a source came from; of more, all are.
const UNITS_MAX: usize = 64;
/// Digits of the boot's id in the name of a stream.
pub(super) const WRITER_BOOT_DIGITS: usize = 8;

/// Shares the text of names that come again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    known: HashMap<Vec<u8>, Arc<str>>,
}

impl Names {
    pub(super) fn get(&mut self, bytes: &[u8]) -> Arc<str> {
        if let Some(name) = self.known.get(bytes) {
            return name.clone();
        }
        if self.known.len() >= NAMES_MAX {
            // Only a cache: what is dropped here is made anew.
            self.known.clear();
        }
        let name: Arc<str> = String::from_utf8_lossy(bytes).into();
        self.known.insert(bytes.to_vec(), name.clone());
        name
    }
}

/// Writes the name of a process's stream, `PID@BOOT`, with the beginning of
/// the boot's id; the PID alone where the boot is not known.
pub fn write_writer(to: &mut Vec<u8>, pid: &[u8], boot: Option<u128>) {
    to.clear();
    to.extend_from_slice(pid);
    if let (false, Some(boot)) = (pid.is_empty(), boot) {
        to.push(b'@');
        to.extend(
            (0..WRITER_BOOT_DIGITS).map(|i| b"0123456789abcdef"[(boot >> (124 - 4 * i)) as usize & 0xF]),
        );
    }
}

/// Entries of one source to readings; `P` is the place of an entry, where a line
/// that is half joined is read again.
#[derive(Clone, Debug)]
pub struct Assembler<P = ()> {
    filter: Filter,
    is_selected: bool,
    joiner: Joiner<P>,
    names: Names,
    units: BTreeSet<Vec<u8>>,
    writer: Vec<u8>,
    line_bytes_max: usize,
    problems: u64,
}

impl Assembler {
    /// For a dump. The filter is that of a journal source; of another kind
    /// every entry is taken.
    pub fn new(source: &SourcePlan) -> Assembler {
        let filter = match &source.kind {
            SourceKind::Journal(plan) => Filter::new(plan),
            _ => Filter::default(),
        };
        Assembler::with(filter, false, source.line_bytes_max)
    }

    /// Takes an entry and appends what it completes. An entry that the filter
    /// refuses, and one without a message, give nothing; one without a time is
    /// a problem.
    pub fn take(&mut self, entry: &Entry, out: &mut Vec<Reading>) {
        self.take_at(entry, || (), out);
    }
}

impl<P> Assembler<P> {
    /// For entries that were selected before they come here.
    pub fn selected(journal: &JournalPlan, line_bytes_max: usize) -> Assembler<P> {
        Assembler::with(Filter::new(journal), true, line_bytes_max)
    }

    fn with(filter: Filter, is_selected: bool, line_bytes_max: usize) -> Assembler<P> {
        Assembler {
            filter,
            is_selected,
            joiner: Joiner::new(line_bytes_max),
            names: Names::default(),
            units: BTreeSet::new(),
            writer: Vec::new(),
            line_bytes_max,
            problems: 0,
        }
    }

    /// The filter, for [`Entry::set`].
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The open lines.
    pub fn joiner(&self) -> &Joiner<P> {
        &self.joiner
    }

    /// Entries passed over because they were broken.
    pub fn problems(&self) -> u64 {
        self.problems
    }

    pub(super) fn count_problem(&mut self) {
        self.problems += 1;
    }

    /// Bound of a line's text in bytes.
    pub fn line_bytes_max(&self) -> usize {
        self.line_bytes_max
    }

    /// Whether the unit of each entry must be set: the source selects by other
    /// fields, and journald's notice of dropped messages names units alone.
    pub fn learns_units(&self) -> bool {
        self.filter.learns_units()
    }

    /// The units that entries came from, where that is learnt.
    pub fn units(&self) -> impl Iterator<Item = String> {
        self.units.iter().map(|unit| String::from_utf8_lossy(unit).into_owned())
    }

    /// Knows units from before a restart.
    pub fn knows_units(&mut self, units: &[String]) {
        self.units.extend(units.iter().take(UNITS_MAX).map(|unit| unit.clone().into_bytes()));
    }

    /// [`Assembler::take`]; `place` is asked for if a line begins with the entry
    /// and goes on in another.
    pub fn take_at(&mut self, entry: &Entry, place: impl FnOnce() -> P, out: &mut Vec<Reading>) {
        let is_notice = entry.is_drop_notice();
        let is_ours = match is_notice {
            true => self.filter.concerns(&entry.about_unit, &self.units) || self.units.len() >= UNITS_MAX,
            false => self.is_selected || self.filter.accepts(entry),
        };
        if !is_ours {
            return;
        }
        let Some(at) = entry.at() else {
            self.problems += 1;
            return;
        };
        let boot = entry.boot();
        if !self.joiner.is_empty() {
            out.extend(self.joiner.overdue(at, boot).into_iter().map(Reading::Line));
        }
        if is_notice {
            let lines = entry.dropped.or_else(|| suppressed(&entry.message).map(|(n, _)| n));
            out.push(Reading::Gap(Gap { at, boot, lines, why: DROPPED.to_owned() }));
            return;
        }
        if !entry.has_message {
            return;
        }
        self.learn_unit(entry);
        write_writer(&mut self.writer, entry.pid(), entry.boot_id());
        let writer = self.names.get(&self.writer);
        let identifier = entry.identifier();
        let identifier = (!identifier.is_empty()).then(|| self.names.get(identifier));
        // A process may have two outputs connected, and may also log natively;
        // only its own connection continues a line.
        let key = match (entry.is_native, entry.stream()) {
            (true, _) => "native",
            (false, "") => &*writer,
            (false, stream) => stream,
        };
        out.extend(self.joiner.cut_off_by(key, &writer).map(Reading::Line));
        let stream = Stream { writer: writer.clone(), channel: Channel::Any };
        let head = Head { stream, at, boot, identifier };
        let piece = Piece { head, text: &entry.message, is_cut: entry.is_cut, end: entry.end() };
        out.extend(self.joiner.push(key, piece, place).map(Reading::Line));
    }

    /// Passes over what follows of a line of `stream` (if empty, of the process
    /// itself) whose beginning is gone.
    pub fn pass_over(&mut self, pid: Option<u32>, stream: &str, (at, boot): (Time, Boot), place: P) {
        let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
        write_writer(&mut self.writer, pid.as_bytes(), Some(boot.id));
        let writer = self.names.get(&self.writer);
        let key = if stream.is_empty() { writer.clone() } else { stream.into() };
        let stream = Stream { writer, channel: Channel::Any };
        self.joiner.pass_over(&key, Head { stream, at, boot: Some(boot), identifier: None }, place);
    }

    fn learn_unit(&mut self, entry: &Entry) {
        let is_news =
            self.filter.learns_units() && !entry.unit.is_empty() && !self.units.contains(&entry.unit);
        if is_news && self.units.len() < UNITS_MAX {
            self.units.insert(entry.unit.clone());
        }
    }

    /// Gives what is open, as cut: the input is at its end.
    pub fn finish(&mut self) -> Vec<Line> {
        self.joiner.finish()
    }
}

/// Why there is a gap, in words.
pub(super) const DROPPED: &str = "journald dropped messages: the writer was over its rate limit";

/// Reads journald's notice `Suppressed N messages from UNIT`.
pub(super) fn suppressed(message: &[u8]) -> Option<(u64, &str)> {
    let rest = std::str::from_utf8(message).ok()?.strip_prefix("Suppressed ")?;
    let (count, unit) = rest.split_once(" messages from ")?;
    Some((count.parse().ok()?, unit.trim_end()))
}

/// A piece as text forms show it, without `_LINE_BREAK`: one of exactly
/// journald's default `LineMax=` goes on.
pub(super) fn end_by_length(message: &[u8]) -> PieceEnd {
    if message.len() == 48 << 10 { PieceEnd::GoesOn } else { PieceEnd::Whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Start;

    #[test]
    fn a_process_does_not_continue_the_line_of_another_on_the_same_output() {
        let mut assembler = Assembler::new(&SourcePlan {
            name: "it".into(),
            kind: SourceKind::Journal(JournalPlan::default()),
            start: Start::End,
            line_bytes_max: 100,
            timezone: jiff::tz::TimeZone::UTC,
        });
        let mut out = Vec::new();
        for (pid, text, line_break) in [("1", "half", "line-max"), ("2", "its own", "")] {
            let mut entry = Entry::default();
            for (name, value) in [
                ("__REALTIME_TIMESTAMP", "1"),
                ("_TRANSPORT", "stdout"),
                ("_STREAM_ID", "s"),
                ("_PID", pid),
                ("MESSAGE", text),
                ("_LINE_BREAK", line_break),
            ]
            .into_iter()
            .filter(|field| !field.1.is_empty())
            {
                entry.set(name.as_bytes(), value.as_bytes(), assembler.filter());
            }
            assembler.take(&entry, &mut out);
        }
        let found: Vec<_> = out
            .iter()
            .filter_map(|r| if let Reading::Line(l) = r { Some((l.text.as_str(), l.is_cut)) } else { None })
            .collect();
        assert_eq!(found, [("half", true), ("its own", false)]);
        assert!(assembler.joiner().is_empty());
    }
}
