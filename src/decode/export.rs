//! The journal's export format (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>),
//! in chunks of any size, to entries.
//!
//! A field is a line `NAME=text`, or `NAME`, a little-endian 64-bit length, that
//! many bytes and a line feed; an empty line ends the entry. What is broken (no
//! field name, an impossible length, no line feed after the bytes, no time)
//! costs its entry, is counted, and reading goes on behind the next empty line.
//! A field that is larger than a line may be is read over, never held.

use memchr::memchr;

use crate::config::plan::SourcePlan;
use crate::model::Reading;

use super::entry::Entry;
use super::journal::Assembler;

/// journald refuses fields larger than this (`DATA_SIZE_MAX`), so a larger
/// length is not one.
const FIELD_BYTES_MAX: u64 = 768 << 20;
/// A field other than the message is of use up to here.
const SHORT_FIELD_MAX: usize = 4_096;

/// Where in the export format the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At or in a field's first line.
    Field,
    /// In the eight bytes of a length.
    Length,
    /// In a value, so many bytes before its end.
    Value(u64),
    /// At the line feed behind a value.
    ValueEnd,
    /// In a broken entry, looking for the empty line behind it.
    Lost,
}

/// Reads `journalctl -o export`.
#[derive(Clone, Debug)]
pub struct Export {
    assembler: Assembler,
    entry: Entry,
    place: Place,
    /// The unfinished first line, or length.
    carry: Vec<u8>,
    carry_is_over: bool,
    /// Name and value of the field with a length.
    name: Vec<u8>,
    value: Vec<u8>,
    value_is_over: bool,
    has_fields: bool,
}

impl Export {
    /// For a source.
    pub fn new(source: &SourcePlan) -> Export {
        Export {
            assembler: Assembler::new(source),
            entry: Entry::default(),
            place: Place::Field,
            carry: Vec::new(),
            carry_is_over: false,
            name: Vec::new(),
            value: Vec::new(),
            value_is_over: false,
            has_fields: false,
        }
    }

    /// Broken entries so far.
    pub fn problems(&self) -> u64 {
        self.assembler.problems()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Reading>) {
        let mut rest = chunk;
        while !rest.is_empty() {
            match self.place {
                Place::Field | Place::Lost => self.first_line(&mut rest, out),
                Place::Length => self.length(&mut rest),
                Place::Value(left) => self.part_of_value(left, &mut rest),
                Place::ValueEnd => {
                    if rest[0] == b'\n' {
                        let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.value));
                        self.set(&name, &value, self.value_is_over);
                        (self.name, self.value) = (name, value);
                        self.place = Place::Field;
                        rest = &rest[1..];
                    } else {
                        self.lose();
                    }
                }
            }
        }
    }

    /// Takes the end of the input: a last entry without its empty line counts.
    pub fn finish(&mut self, out: &mut Vec<Reading>) {
        match self.place {
            Place::Field => {
                let line = std::mem::take(&mut self.carry);
                if let Some(equals) = memchr(b'=', &line) {
                    // The dump was cut off in the middle of this field.
                    self.set(&line[..equals], &line[equals + 1..], true);
                }
                self.end_of_entry(out);
            }
            Place::Length | Place::Value(_) | Place::ValueEnd => self.assembler.count_problem(),
            Place::Lost => {}
        }
        out.extend(self.assembler.finish().into_iter().map(Reading::Line));
    }

    fn line_limit(&self) -> usize {
        self.assembler.line_bytes_max().saturating_add(SHORT_FIELD_MAX)
    }

    fn first_line(&mut self, rest: &mut &[u8], out: &mut Vec<Reading>) {
        let limit = self.line_limit();
        let Some(end) = memchr(b'\n', rest) else {
            let room = limit.saturating_sub(self.carry.len());
            self.carry.extend_from_slice(&rest[..rest.len().min(room)]);
            self.carry_is_over |= rest.len() > room;
            *rest = &[];
            return;
        };
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        *rest = after;
        if self.carry.is_empty() {
            return self.line(&line[..line.len().min(limit)], line.len() > limit, out);
        }
        let room = limit.saturating_sub(self.carry.len());
        let mut whole = std::mem::take(&mut self.carry);
        whole.extend_from_slice(&line[..line.len().min(room)]);
        let is_over = self.carry_is_over || line.len() > room;
        self.line(&whole, is_over, out);
        whole.clear();
        self.carry = if whole.capacity() > 1 << 20 { Vec::new() } else { whole };
        self.carry_is_over = false;
    }

    fn line(&mut self, line: &[u8], is_over: bool, out: &mut Vec<Reading>) {
        let line_is_empty = line.is_empty() || line == b"\r";
        if self.place == Place::Lost {
            // `__CURSOR=` begins every entry that journalctl writes.
            if !line_is_empty && !line.starts_with(b"__CURSOR=") {
                return;
            }
            self.place = Place::Field;
        }
        if line_is_empty {
            return self.end_of_entry(out);
        }
        match memchr(b'=', line) {
            Some(equals) => self.set(&line[..equals], &line[equals + 1..], is_over),
            None if is_name(line) => {
                self.name.clear();
                self.name.extend_from_slice(line);
                self.place = Place::Length;
            }
            None => self.lose(),
        }
    }

    fn length(&mut self, rest: &mut &[u8]) {
        let take = (8 - self.carry.len()).min(rest.len());
        self.carry.extend_from_slice(&rest[..take]);
        *rest = &rest[take..];
        let Ok(bytes) = <[u8; 8]>::try_from(&self.carry[..]) else {
            return;
        };
        self.carry.clear();
        let length = u64::from_le_bytes(bytes);
        if length > FIELD_BYTES_MAX {
            return self.lose();
        }
        self.value.clear();
        self.value_is_over = false;
        self.place = if length == 0 { Place::ValueEnd } else { Place::Value(length) };
    }

    fn part_of_value(&mut self, left: u64, rest: &mut &[u8]) {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let room = self.line_limit().saturating_sub(self.value.len()).min(take);
        self.value.extend_from_slice(&rest[..room]);
        self.value_is_over |= room < take;
        *rest = &rest[take..];
        let left = left - take as u64;
        self.place = if left == 0 { Place::ValueEnd } else { Place::Value(left) };
    }

    fn set(&mut self, name: &[u8], value: &[u8], is_over: bool) {
        self.has_fields = true;
        if name == b"MESSAGE" {
            self.entry.set_message(value, is_over);
        } else if !is_over {
            self.entry.set(name, value, self.assembler.filter());
        }
    }

    fn end_of_entry(&mut self, out: &mut Vec<Reading>) {
        if std::mem::take(&mut self.has_fields) {
            self.assembler.take(&self.entry, out);
            self.entry.clear();
        }
    }

    fn lose(&mut self) {
        self.assembler.count_problem();
        self.entry.clear();
        self.has_fields = false;
        self.carry.clear();
        self.carry_is_over = false;
        self.place = Place::Lost;
    }
}

fn is_name(line: &[u8]) -> bool {
    line.len() <= 64 && line.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
}
