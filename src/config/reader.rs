//! Reads tables of a TOML document, collecting every problem on the way.
//!
//! Responsible for types, unknown keys, durations and sizes, each with its
//! place. It knows no key of any kind of table. A reader never fails: it
//! reports and gives `None`, so that one mistake does not hide the next.
//! Hand-written rather than derived, because a derived reader stops at the
//! first mistake.

use std::cell::RefCell;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{At, Report, Spot, printable};
use super::units::{parse_duration, parse_size};

/// A table and what has been asked of it.
pub(super) struct Table<'a> {
    /// Where it begins.
    pub at: At,
    pub report: &'a Report,
    entries: Vec<(usize, &'a DeTable<'a>)>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value as written.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub at: At,
    value: &'a DeValue<'a>,
    report: &'a Report,
}

impl<'a> Table<'a> {
    /// The top of a file.
    pub fn top(report: &'a Report, file: usize, table: &'a Spanned<DeTable<'a>>) -> Table<'a> {
        Table {
            at: At { file, span: 0..0 },
            report,
            entries: vec![(file, table.get_ref())],
            asked: RefCell::default(),
        }
    }

    /// The same table, whose entries give way to those of `other`.
    pub fn overridden_by(mut self, other: &Table<'a>) -> Table<'a> {
        self.entries.splice(0..0, other.entries.iter().copied());
        self
    }

    /// The value of a key.
    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().push(key);
        let (file, value) = self.entries.iter().find_map(|(file, t)| t.get(key).map(|v| (*file, v)))?;
        Some(Value { at: At { file, span: value.span() }, value: value.get_ref(), report: self.report })
    }

    /// True when the key is written.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(_, t)| t.contains_key(key))
    }

    /// Where the key is written.
    pub fn key_at(&self, key: &str) -> At {
        let found = self
            .entries
            .iter()
            .find_map(|(file, t)| t.get_key_value(key).map(|(k, _)| At { file: *file, span: k.span() }));
        found.unwrap_or_else(|| self.at.clone())
    }

    /// All entries, for tables whose keys are names.
    pub fn pairs(&self) -> Vec<(Spot<&'a str>, Value<'a>)> {
        let mut out = Vec::new();
        for (file, table) in &self.entries {
            for (key, value) in table.iter() {
                let name = Spot { value: key.get_ref().as_ref(), at: At { file: *file, span: key.span() } };
                let value = Value {
                    at: At { file: *file, span: value.span() },
                    value: value.get_ref(),
                    report: self.report,
                };
                out.push((name, value));
            }
        }
        out
    }

    /// Reports a key that must be there.
    pub fn missing(&self, key: &str, expected: &str) {
        self.report.error(&self.at, format!("missing key \"{key}\""), expected);
    }

    pub fn text(&self, key: &'static str) -> Option<Spot<&'a str>> {
        self.get(key)?.text()
    }

    /// A text that must be there and not be empty.
    pub fn need_text(&self, key: &'static str, expected: &str) -> Option<Spot<&'a str>> {
        let Some(value) = self.get(key) else {
            self.missing(key, expected);
            return None;
        };
        let text = value.text()?;
        if text.value.trim().is_empty() {
            self.report.error(&text.at, format!("\"{key}\" is empty"), expected);
            return None;
        }
        Some(text)
    }

    /// One text or a list of them.
    pub fn texts(&self, key: &'static str) -> Vec<Spot<&'a str>> {
        self.get(key).map(|v| v.texts()).unwrap_or_default()
    }

    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.value {
            DeValue::Boolean(b) => Some(*b),
            _ => value.wrong("true or false"),
        }
    }

    /// A whole number of at least `least`.
    pub fn count(&self, key: &'static str, least: u64) -> Option<Spot<u64>> {
        let value = self.get(key)?;
        let expected = format!("a whole number, at least {least}");
        match value.integer() {
            Some(n) => match u64::try_from(n) {
                Ok(n) if n >= least => Some(Spot { value: n, at: value.at }),
                _ => {
                    self.report.error(
                        &value.at,
                        format!("{n} is out of range"),
                        format!("expected {expected}"),
                    );
                    None
                }
            },
            None => value.wrong(&expected),
        }
    }

    pub fn number(&self, key: &'static str) -> Option<Spot<f64>> {
        self.get(key)?.number()
    }

    /// A length of time such as `"90s"`, `"8m"`, `"1h 30m"`, or `"0"`.
    pub fn duration(&self, key: &'static str) -> Option<Spot<Duration>> {
        self.get(key)?.duration()
    }

    /// A length of time above zero.
    pub fn positive_duration(&self, key: &'static str) -> Option<Spot<Duration>> {
        let found = self.duration(key)?;
        if found.value.is_zero() {
            self.report.error(
                &found.at,
                format!("\"{key}\" is zero"),
                "expected a length of time above zero, such as \"5m\"",
            );
            return None;
        }
        Some(found)
    }

    /// A number of bytes such as `"32MiB"` or `65536`, at least 1.
    pub fn size(&self, key: &'static str) -> Option<Spot<u64>> {
        let value = self.get(key)?;
        let parsed = match value.value {
            DeValue::Integer(_) => value.integer().and_then(|n| u64::try_from(n).ok()),
            DeValue::String(text) => parse_size(text),
            _ => return value.wrong("a size such as \"32MiB\""),
        };
        match parsed.filter(|n| *n > 0) {
            Some(n) => Some(Spot { value: n, at: value.at }),
            None => {
                let shown = value.shown();
                self.report.error(
                    &value.at,
                    format!("{shown} is no size"),
                    "expected bytes above zero with a unit: \"512KiB\", \"32MiB\", \"1MB\"",
                );
                None
            }
        }
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(
        &self,
        key: &'static str,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<Spot<T>> {
        let text = self.text(key)?;
        match words.iter().find(|(word, _)| *word == text.value) {
            Some((_, value)) => Some(Spot { value: *value, at: text.at }),
            None => {
                let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.report.unknown(&text.at, what, text.value, &names);
                None
            }
        }
    }

    /// A table below this one.
    pub fn child(&self, key: &'static str) -> Option<Table<'a>> {
        let key_at = self.key_at(key);
        let mut child = self.get(key)?.table()?;
        child.at = key_at;
        Some(child)
    }

    /// `[[key]]`, or a list of inline tables.
    pub fn children(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        match value.value {
            DeValue::Array(items) => items.iter().filter_map(|item| value.of(item).table()).collect(),
            DeValue::Table(_) => value.table().into_iter().collect(),
            _ => {
                value.wrong::<()>(&format!("tables: [[{key}]]"));
                Vec::new()
            }
        }
    }

    /// Reports the keys nobody asked for.
    pub fn finish(&self) {
        let mut asked = self.asked.borrow().clone();
        asked.sort_unstable();
        asked.dedup();
        for (file, table) in &self.entries {
            for key in table.keys() {
                let name = key.get_ref().as_ref();
                if !asked.contains(&name) {
                    self.report.unknown(&At { file: *file, span: key.span() }, "key", name, &asked);
                }
            }
        }
    }
}

impl<'a> Value<'a> {
    fn of(&self, item: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value { at: At { file: self.at.file, span: item.span() }, value: item.get_ref(), report: self.report }
    }

    /// Reports that another type was expected.
    pub fn wrong<T>(&self, expected: &str) -> Option<T> {
        let is = match self.value.type_str() {
            "table" => "a table",
            "array" => "a list",
            "boolean" => "true or false",
            "integer" | "float" => "a number",
            "string" => "a text",
            _ => "a date",
        };
        self.report.error(&self.at, format!("wrong type: this is {is}"), format!("expected {expected}"));
        None
    }

    pub fn report(&self) -> &'a Report {
        self.report
    }

    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub fn text(&self) -> Option<Spot<&'a str>> {
        match self.value {
            DeValue::String(text) => Some(Spot { value: text.as_ref(), at: self.at.clone() }),
            _ => self.wrong("a text in quotes"),
        }
    }

    /// The text, without a word where it is none.
    pub fn text_quietly(&self) -> Option<String> {
        self.value.as_str().map(str::to_owned)
    }

    /// The members of a list; a single value is a list of one.
    pub fn items(&self) -> Vec<Value<'a>> {
        match self.value {
            DeValue::Array(items) => items.iter().map(|item| self.of(item)).collect(),
            _ => vec![self.clone()],
        }
    }

    pub fn texts(&self) -> Vec<Spot<&'a str>> {
        self.items().iter().filter_map(Value::text).collect()
    }

    pub fn table(&self) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Table {
                at: self.at.clone(),
                report: self.report,
                entries: vec![(self.at.file, table)],
                asked: RefCell::default(),
            }),
            _ => self.wrong("a table"),
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        self.value.as_bool()
    }

    pub fn integer(&self) -> Option<i64> {
        let number = self.value.as_integer()?;
        i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
    }

    /// A finite number.
    pub fn number(&self) -> Option<Spot<f64>> {
        let parsed = match self.value {
            DeValue::Integer(_) => self.integer().map(|n| n as f64),
            DeValue::Float(f) => f.as_str().replace('_', "").parse().ok(),
            _ => return self.wrong("a number"),
        };
        match parsed.filter(|f: &f64| f.is_finite()) {
            Some(f) => Some(Spot { value: f, at: self.at.clone() }),
            None => self.wrong("a finite number"),
        }
    }

    pub fn duration(&self) -> Option<Spot<Duration>> {
        let parsed = match self.value {
            DeValue::Integer(_) if self.integer() == Some(0) => Some(Duration::ZERO),
            DeValue::String(text) => parse_duration(text),
            _ => return self.wrong("a length of time such as \"90s\", \"8m\", \"1h 30m\""),
        };
        match parsed {
            Some(span) => Some(Spot { value: span, at: self.at.clone() }),
            None => {
                let expected = "expected a length of time such as \"500ms\", \"90s\", \"8m\", \"1h 30m\", \"90d\" (up to \"3650d\")";
                self.report.error(&self.at, format!("{} is no length of time", self.shown()), expected);
                None
            }
        }
    }

    fn shown(&self) -> String {
        match self.value {
            DeValue::String(text) => format!("\"{}\"", printable(text)),
            DeValue::Integer(n) => n.to_string(),
            other => other.type_str().to_owned(),
        }
    }
}

/// Position of a name among names, or a problem that says which there are.
pub(super) fn find(report: &Report, what: &str, name: &Spot<&str>, names: &[&str]) -> Option<usize> {
    let found = names.iter().position(|n| *n == name.value);
    if found.is_none() {
        report.unknown(&name.at, what, name.value, names);
    }
    found
}
