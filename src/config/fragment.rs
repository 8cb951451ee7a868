//! `[fragments]`: named pieces of patterns.
//!
//! `{{name}}` in a pattern is replaced textually, also inside fragments: first
//! by the file's own fragment of that name, then by any other file's.

use std::cell::RefCell;
use std::collections::BTreeSet;

use regex::Regex;

use super::ascii::build;
use super::names::is_name;
use super::problem::{At, Report, Spot};
use super::reader::Table;

/// Length of a pattern with its fragments filled in.
const EXPANDED_BYTES_MAX: usize = 64 << 10;
/// Fragments within fragments.
const DEPTH_MAX: usize = 16;

/// The named pieces of patterns, of all files.
pub(super) struct Fragments<'a> {
    pub report: &'a Report,
    all: Vec<(Spot<&'a str>, Spot<&'a str>)>,
    used: RefCell<BTreeSet<usize>>,
}

impl<'a> Fragments<'a> {
    /// Reads `[fragments]` of every file.
    pub fn read(report: &'a Report, tops: &[Table<'a>]) -> Fragments<'a> {
        let mut all = Vec::new();
        for table in tops.iter().filter_map(|top| top.child("fragments")) {
            for (name, value) in table.pairs() {
                if !is_name(name.value) {
                    report.error(
                        &name.at,
                        format!("\"{}\" is no name for a fragment", name.value),
                        "expected letters, digits and _",
                    );
                }
                all.extend(value.text().map(|text| (name, text)));
            }
        }
        Fragments { report, all, used: RefCell::default() }
    }

    /// Warns of fragments that nothing uses.
    pub fn finish(&self) {
        for (index, (name, _)) in self.all.iter().enumerate() {
            if !self.used.borrow().contains(&index) {
                self.report.warning(&name.at, format!("nothing uses the fragment \"{}\"", name.value), "");
            }
        }
    }

    /// The pattern, compiled; `None` after a problem was reported.
    pub fn compile(&self, text: &Spot<&'a str>) -> Option<Regex> {
        if text.value.is_empty() {
            self.report.error(&text.at, "the pattern is empty", "expected a regular expression");
            return None;
        }
        let mut expanded = String::new();
        if !self.expand(text, text.at.file, 0, &mut expanded, &text.at) {
            return None;
        }
        match build(&expanded) {
            Ok(regex) => Some(regex),
            Err(regex::Error::CompiledTooBig(_)) => {
                self.report.error(
                    &text.at,
                    "the pattern is too large: compiled it takes more than 10 MB",
                    "expected smaller repetition counts, or no Unicode classes",
                );
                None
            }
            Err(error) => {
                // The library draws the whole pattern; its last line says why.
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.report.error(&text.at, format!("the pattern does not compile: {why}"), "");
                None
            }
        }
    }

    /// Appends `text` to `out` with its fragments filled in. `home` is the
    /// file whose fragments go first, `use_at` the pattern to blame.
    fn expand(&self, text: &Spot<&'a str>, home: usize, depth: usize, out: &mut String, use_at: &At) -> bool {
        let mut from = 0;
        while let Some((start, name)) = next_reference(text.value, from) {
            out.push_str(&text.value[from..start]);
            from = start + name.len() + 4;
            let at = self.report.within(&text.at, text.value, start..start + name.len() + 4);
            if depth >= DEPTH_MAX || out.len() > EXPANDED_BYTES_MAX {
                self.report.error(
                    use_at,
                    "the pattern's fragments go round in a circle or grow too long",
                    "",
                );
                return false;
            }
            let Some(index) = self.lookup(name, home, &at) else {
                return false;
            };
            self.used.borrow_mut().insert(index);
            let inner = &self.all[index].1;
            if !self.expand(inner, inner.at.file, depth + 1, out, use_at) {
                return false;
            }
        }
        out.push_str(&text.value[from..]);
        true
    }

    fn lookup(&self, name: &str, home: usize, at: &At) -> Option<usize> {
        let same = |own: bool| {
            let hits = self
                .all
                .iter()
                .enumerate()
                .filter(move |(_, (n, _))| n.value == name && (n.at.file == home) == own);
            hits.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let (own, others) = (same(true), same(false));
        if let Some(index) = own.first() {
            return Some(*index);
        }
        match others.as_slice() {
            [index] => Some(*index),
            [] => {
                let names: Vec<&str> = self.all.iter().map(|(n, _)| n.value).collect();
                self.report.unknown(at, "fragment", name, &names);
                None
            }
            [first, second, ..] => {
                let places = [first, second].map(|i| self.report.place(&self.all[*i].0.at)).join(" and ");
                self.report.error(
                    at,
                    format!("the fragment \"{name}\" is ambiguous: {places}"),
                    "expected one in this file, or one of all",
                );
                None
            }
        }
    }
}

/// The next `{{name}}` from `from` on: where it starts and the name.
fn next_reference(text: &str, from: usize) -> Option<(usize, &str)> {
    let mut search = from;
    loop {
        let start = search + text.get(search..)?.find("{{")?;
        let inner = &text[start + 2..];
        match inner.find("}}").map(|end| &inner[..end]) {
            Some(name) if is_name(name) => return Some((start, name)),
            _ => search = start + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantifiers_are_no_references() {
        assert_eq!(next_reference("a{2}b{{c}}", 0), Some((5, "c")));
        assert_eq!(next_reference("a{{1,2}}", 0), None);
        assert_eq!(next_reference("{{{x}}", 0), Some((1, "x")));
    }
}
