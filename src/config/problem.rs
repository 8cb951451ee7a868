//! What is wrong with a configuration, and where.
//!
//! Responsible for collecting problems over all files and for showing each
//! with its place, the offending line, what was expected and the nearest valid
//! name. It decides nothing about what is right. The surprising part: a shown
//! line never carries the value of a key that holds a secret, since these
//! texts end up in journals too.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Longer lines are shown shortened.
const SHOWN_CHARS_MAX: usize = 160;
/// Keys whose values are never shown.
const SECRET_KEYS: &[&str] =
    &["url", "secret", "password", "token", "routing_key", "authorization", "headers", "proxy"];
/// At most so many valid names are listed.
const NAMES_SHOWN_MAX: usize = 24;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

impl Severity {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem. `Display` is the whole text for a person, over several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The file as it was named or included.
    pub file: PathBuf,
    /// Line from 1; 0 when the problem is the file itself.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// The offending line, secrets masked.
    pub shown: String,
    /// Characters to underline.
    pub width: usize,
    /// What is wrong; one line.
    pub message: String,
    /// What was expected; empty when the message says it.
    pub expected: String,
    /// The nearest valid name.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        let severity = self.severity.as_str();
        if self.line == 0 {
            write!(f, "{file}: {severity}: {}", self.message)?;
        } else {
            write!(f, "{file}:{}:{}: {severity}: {}", self.line, self.column, self.message)?;
            let gutter = self.line.to_string();
            let blank = " ".repeat(gutter.len());
            let caret = "^".repeat(self.width.max(1));
            let pad: String = self
                .shown
                .chars()
                .take(self.column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n  {gutter} | {}\n  {blank} | {pad}{caret}", self.shown)?;
        }
        let hint = self.hint.as_ref().map(|hint| format!("did you mean \"{hint}\"?"));
        let parts: Vec<String> = [(!self.expected.is_empty()).then(|| self.expected.clone()), hint]
            .into_iter()
            .flatten()
            .collect();
        if !parts.is_empty() {
            write!(f, "\n  {}", parts.join("; "))?;
        }
        Ok(())
    }
}

/// Every problem of a configuration that cannot be used, in the order of its
/// files and lines; at least one is an error.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

/// A place in one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Position in [`Report::files`].
    pub file: usize,
    /// Bytes.
    pub span: Range<usize>,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Spot<T> {
    pub value: T,
    pub at: At,
}

/// A file as read.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub path: PathBuf,
    pub text: String,
}

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub files: Vec<File>,
    /// Files about which nothing more is said.
    hushed: RefCell<Vec<usize>>,
    problems: RefCell<Vec<(usize, usize, Problem)>>,
}

impl Report {
    /// An error at a place. `expected` may be empty.
    pub fn error(&self, at: &At, message: impl Into<String>, expected: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), expected.into(), None);
    }

    /// A warning at a place.
    pub fn warning(&self, at: &At, message: impl Into<String>, expected: impl Into<String>) {
        self.push(Severity::Warning, at, message.into(), expected.into(), None);
    }

    /// An error about a name that does not exist among `names`.
    pub fn unknown(&self, at: &At, what: &str, name: &str, names: &[&str]) {
        let hint = nearest(name, names).map(str::to_owned);
        self.push(
            Severity::Error,
            at,
            format!("unknown {what} \"{}\"", printable(name)),
            one_of(names),
            hint,
        );
    }

    /// The same for names that belong to something: an outcome of an event.
    pub fn unknown_of(&self, at: &At, what: &str, name: &str, (owner, names): (&str, &[&str])) {
        let hint = nearest(name, names).map(str::to_owned);
        let message = format!("unknown {what} \"{}\" {owner}", printable(name));
        self.push(Severity::Error, at, message, one_of(names), hint);
    }

    /// An error about a file as a whole.
    pub fn file_error(&self, path: &Path, message: impl Into<String>, expected: impl Into<String>) {
        let problem = whole_file(path, message.into(), expected.into());
        self.problems.borrow_mut().push((usize::MAX, 0, problem));
    }

    /// Says nothing more about these files.
    pub fn hush(&self, files: &[usize]) {
        self.hushed.borrow_mut().extend(files);
    }

    /// Where a place is, for another problem to point at: `FILE:LINE`.
    pub fn place(&self, at: &At) -> String {
        let file = &self.files[at.file];
        let (line, _) = position(&file.text, at.span.start);
        format!("{}:{line}", file.path.display())
    }

    /// The place of a part of the string written at `at`, if the string stands
    /// there as it is read; else `at` itself.
    pub fn within(&self, at: &At, value: &str, part: Range<usize>) -> At {
        let written = self.files[at.file].text.get(at.span.clone()).unwrap_or_default();
        match written.find(value) {
            Some(start) if !value.is_empty() && part.end <= value.len() => {
                let start = at.span.start + start;
                At { file: at.file, span: start + part.start..start + part.end }
            }
            _ => at.clone(),
        }
    }

    /// Errors so far.
    pub fn errors(&self) -> usize {
        let problems = self.problems.borrow();
        let errors = problems.iter().filter(|(_, _, p)| p.severity == Severity::Error);
        errors.count()
    }

    /// True when there is an error.
    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|(_, _, p)| p.severity == Severity::Error)
    }

    /// All problems, in the order of files and lines, each once.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut all = self.problems.into_inner();
        all.sort_by_key(|(file, start, _)| (*file, *start));
        let mut out: Vec<Problem> = all.into_iter().map(|(_, _, problem)| problem).collect();
        out.dedup();
        out
    }

    fn push(&self, severity: Severity, at: &At, message: String, expected: String, hint: Option<String>) {
        if self.hushed.borrow().contains(&at.file) {
            return;
        }
        let file = &self.files[at.file];
        let (line, column) = position(&file.text, at.span.start);
        let raw = file.text.lines().nth(line - 1).unwrap_or_default();
        let shown = shown_line(raw, hint.as_deref());
        let rest = shown.chars().count().saturating_sub(column - 1);
        let width = file
            .text
            .get(at.span.clone())
            .map_or(1, |t| t.lines().next().unwrap_or_default().chars().count());
        let problem = Problem {
            severity,
            file: file.path.clone(),
            line,
            column,
            width: width.min(rest).max(1),
            shown,
            message,
            expected,
            hint,
        };
        self.problems.borrow_mut().push((at.file, at.span.start, problem));
    }
}

/// A problem of a file that cannot be read at all.
pub(super) fn whole_file(path: &Path, message: String, expected: String) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        line: 0,
        column: 0,
        shown: String::new(),
        width: 0,
        message,
        expected,
        hint: None,
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let lower = name.to_lowercase();
    // Of one or two letters everything is near.
    let limit = name.chars().count() / 3;
    names
        .iter()
        .map(|n| (strsim::damerau_levenshtein(&lower, &n.to_lowercase()), *n))
        .filter(|(distance, n)| {
            *distance <= limit || (name.len() >= 2 && n.to_lowercase().starts_with(&lower))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, n)| n)
}

/// `expected one of a, b, c`, or that there are none.
pub(super) fn one_of(names: &[&str]) -> String {
    if names.is_empty() {
        return "there are none".to_owned();
    }
    let mut unique: Vec<&str> = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if !unique.contains(name) {
            unique.push(name);
        }
    }
    let names = unique;
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    let shown = names[..names.len() - more].join(", ");
    match (names.len(), more) {
        (1, _) => format!("expected {shown}"),
        (_, 0) => format!("expected one of {shown}"),
        _ => format!("expected one of {shown} and {more} more"),
    }
}

/// Text from a file without what could disturb a terminal, shortened.
pub(super) fn printable(text: &str) -> String {
    let clean: String =
        text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() { format!("{clean}…") } else { clean }
}

/// Line and column from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The line with secrets masked and control characters replaced.
fn shown_line(line: &str, hint: Option<&str>) -> String {
    let key = line.split('=').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let is_secret = |name: &str| SECRET_KEYS.contains(&name.to_lowercase().as_str());
    // A mistyped `pasword` holds a password all the same.
    let resembles = nearest(key, SECRET_KEYS).is_some() && !key.contains('_');
    let masked = match line.split_once('=') {
        Some((left, _)) if is_secret(key) || resembles || hint.is_some_and(is_secret) => {
            format!("{left}= <secret>")
        }
        _ => line.to_owned(),
    };
    let clean: String =
        masked.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    if clean.chars().nth(SHOWN_CHARS_MAX).is_some() {
        let cut: String = clean.chars().take(SHOWN_CHARS_MAX).collect();
        return format!("{cut}…");
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_name_that_was_meant() {
        assert_eq!(nearest("untit", &["name", "unit", "start"]), Some("unit"));
        assert_eq!(nearest("keep_firing", &["for", "keep_firing_for"]), Some("keep_firing_for"));
        assert_eq!(nearest("colour", &["name", "unit"]), None);
    }

    #[test]
    fn a_shown_line_holds_no_secret() {
        assert_eq!(shown_line("password = 'hunter22'", None), "password = <secret>");
        assert_eq!(shown_line("pasword = 'hunter22'", None), "pasword = <secret>");
        assert_eq!(shown_line("url = \"https://hooks.slack.com/x\"", None), "url = <secret>");
        assert_eq!(shown_line("url_file = \"/etc/x\"", None), "url_file = \"/etc/x\"");
        assert_eq!(shown_line("unit = \"x\"", None), "unit = \"x\"");
    }
}
