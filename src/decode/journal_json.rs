//! `journalctl -o json`: one object a line.
//!
//! A value is a text; an array of integers where the bytes are not printable
//! UTF-8; an array of such values where the field is there more than once; or
//! null where journalctl left it out for being over 4096 bytes (without
//! `--all`). A message that was left out is an empty line marked as cut: there
//! was a line, and nothing may be concluded from it. `json-seq` and `json-sse`
//! wrap the same lines and are taken too. A line that is no object is counted
//! and passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::config::plan::SourcePlan;
use crate::model::Reading;

use super::clean::without_return;
use super::entry::{Entry, Filter};
use super::frame::Framer;
use super::journal::Assembler;

/// A line longer than this cannot be taken whole (integers cost up to four
/// bytes each) and is passed over as broken.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Reads `journalctl -o json`.
#[derive(Clone, Debug)]
pub struct JournalJson {
    framer: Framer,
    records: Records,
}

#[derive(Clone, Debug)]
struct Records {
    assembler: Assembler,
    entry: Entry,
    scratch: Vec<u8>,
}

impl JournalJson {
    /// For a source.
    pub fn new(source: &SourcePlan) -> JournalJson {
        let records =
            Records { assembler: Assembler::new(source), entry: Entry::default(), scratch: Vec::new() };
        JournalJson { framer: Framer::new(RECORD_BYTES_MAX), records }
    }

    /// Broken lines so far.
    pub fn problems(&self) -> u64 {
        self.records.assembler.problems()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Reading>) {
        let records = &mut self.records;
        self.framer.feed(chunk, |line| records.take(line.bytes, line.is_cut, out));
    }

    /// Takes the end of the input.
    pub fn finish(&mut self, out: &mut Vec<Reading>) {
        let records = &mut self.records;
        self.framer.finish(|line| records.take(line.bytes, line.is_cut, out));
        out.extend(records.assembler.finish().into_iter().map(Reading::Line));
    }
}

impl Records {
    fn take(&mut self, line: &[u8], is_cut: bool, out: &mut Vec<Reading>) {
        let line = without_return(line).trim_ascii_start();
        let line = line.strip_prefix(b"\x1e").or_else(|| line.strip_prefix(b"data:")).unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return;
        }
        if is_cut || !self.read(line) {
            self.assembler.count_problem();
            return;
        }
        self.assembler.take(&self.entry, out);
    }

    /// Reads a line into the entry.
    fn read(&mut self, line: &[u8]) -> bool {
        let is_read = match std::str::from_utf8(line) {
            Ok(text) => self.read_text(text),
            Err(_) => self.read_text(&String::from_utf8_lossy(line)),
        };
        is_read.is_ok()
    }

    fn read_text(&mut self, text: &str) -> Result<(), serde_json::Error> {
        self.entry.clear();
        let object =
            Object { entry: &mut self.entry, filter: self.assembler.filter(), scratch: &mut self.scratch };
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(object)?;
        json.end()
    }
}

struct Object<'a> {
    entry: &'a mut Entry,
    filter: &'a Filter,
    scratch: &'a mut Vec<u8>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a journal entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let name = name.0;
            map.next_value_seed(Field {
                name: &name,
                entry: &mut *self.entry,
                filter: self.filter,
                scratch: &mut *self.scratch,
            })?;
        }
        Ok(())
    }
}

/// A key, borrowed from the line where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Key)
    }
}

/// A field's value, written into the entry as it is read.
struct Field<'a> {
    name: &'a str,
    entry: &'a mut Entry,
    filter: &'a Filter,
    scratch: &'a mut Vec<u8>,
}

impl Field<'_> {
    fn set(&mut self, value: &[u8]) {
        self.entry.set(self.name.as_bytes(), value, self.filter);
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's value")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.set(text.as_bytes());
        Ok(())
    }

    fn visit_u64<E>(mut self, number: u64) -> Result<(), E> {
        self.set(number.to_string().as_bytes());
        Ok(())
    }

    fn visit_i64<E>(mut self, number: i64) -> Result<(), E> {
        self.set(number.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if self.name == "MESSAGE" {
            self.entry.set_message(b"", true);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut bytes = std::mem::take(self.scratch);
        bytes.clear();
        let mut has_bytes = false;
        loop {
            let item = Item { field: &mut self, bytes: &mut bytes };
            match seq.next_element_seed(item)? {
                Some(true) => has_bytes = true,
                Some(false) => {}
                None => break,
            }
        }
        if has_bytes {
            self.set(&bytes);
        }
        *self.scratch = if bytes.capacity() > 1 << 20 { Vec::new() } else { bytes };
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// An item of an array: a byte (says `true`), or one of several values.
struct Item<'a, 'f> {
    field: &'a mut Field<'f>,
    bytes: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte or a value")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<bool, E> {
        self.bytes.push(u8::try_from(number).map_err(|_| E::custom("no byte"))?);
        Ok(true)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        self.field.set(text.as_bytes());
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        if self.field.name == "MESSAGE" {
            self.field.entry.set_message(b"", true);
        }
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let mut value = Vec::new();
        while let Some(byte) = seq.next_element::<u8>()? {
            value.push(byte);
        }
        self.field.set(&value);
        Ok(false)
    }
}
