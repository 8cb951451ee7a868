//! Finds and parses the files of a configuration.
//!
//! Responsible for `include` and for mistakes of the TOML itself. What is in
//! the tables is not its business. It reads through [`FileSource`]: this floor
//! does no IO of its own.

use std::path::{Component, Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{At, File, Report};

/// Files within files.
const DEPTH_MAX: usize = 16;
/// Files of one configuration.
const FILES_MAX: usize = 1_000;

/// Where the configuration's files, secrets and environment come from. Errors
/// are one line for a person.
pub trait FileSource {
    /// A whole file as text.
    fn read(&self, path: &Path) -> Result<String, String>;
    /// Files a glob matches, sorted by name.
    fn list(&self, pattern: &Path) -> Result<Vec<PathBuf>, String>;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// Whether others than the owner and its group may read the file.
    fn is_world_readable(&self, path: &Path) -> bool;
    /// Secrets are read and checked. False for commands that send nothing:
    /// then the secrets in the plan are placeholders.
    fn wants_secrets(&self) -> bool {
        true
    }
}

/// Reads the main file and what it includes into `report.files`, each once, in
/// the order in which it is named.
pub(super) fn gather(main: &Path, files: &dyn FileSource, report: &mut Report) {
    match files.read(main) {
        Ok(text) => add(main, text, files, report, &mut Vec::new()),
        Err(why) => {
            report.file_error(main, format!("cannot read the configuration: {why}"), "expected a TOML file")
        }
    }
}

fn add(path: &Path, text: String, files: &dyn FileSource, report: &mut Report, stack: &mut Vec<PathBuf>) {
    let index = report.files.len();
    let includes = includes(index, &text);
    report.files.push(File { path: path.to_owned(), text });
    stack.push(path.to_owned());
    for (pattern, at) in includes {
        let full = path.parent().unwrap_or(Path::new("")).join(&pattern);
        for target in targets(&full, &pattern, &at, files, report) {
            include(&target, &at, files, report, stack);
        }
    }
    stack.pop();
}

fn targets(full: &Path, pattern: &str, at: &At, files: &dyn FileSource, report: &Report) -> Vec<PathBuf> {
    if !pattern.contains(['*', '?', '[']) {
        return vec![full.to_owned()];
    }
    match files.list(full) {
        Ok(found) if found.is_empty() => {
            report.error(
                at,
                format!("no file matches \"{pattern}\""),
                format!("expected files at {}", tidy(full).display()),
            );
            found
        }
        Ok(found) => found,
        Err(why) => {
            report.error(at, format!("\"{pattern}\" cannot be listed: {why}"), "");
            Vec::new()
        }
    }
}

fn include(target: &Path, at: &At, files: &dyn FileSource, report: &mut Report, stack: &mut Vec<PathBuf>) {
    let target = tidy(target);
    if stack.iter().any(|open| tidy(open) == target) {
        report.error(at, format!("{} includes itself", target.display()), "expected no circle of includes");
        return;
    }
    // Two globs may meet in one file; once is enough.
    if report.files.iter().any(|file| tidy(&file.path) == target) {
        return;
    }
    if stack.len() >= DEPTH_MAX || report.files.len() >= FILES_MAX {
        report.error(
            at,
            "too many includes",
            format!("expected at most {DEPTH_MAX} levels and {FILES_MAX} files"),
        );
        return;
    }
    match files.read(&target) {
        Ok(text) => add(&target, text, files, report, stack),
        Err(why) => {
            report.error(at, format!("cannot read {}: {why}", target.display()), "expected a TOML file")
        }
    }
}

/// The `include` of a file, without a word about its mistakes: those come when
/// the file is read in full.
fn includes(file: usize, text: &str) -> Vec<(String, At)> {
    let (table, _) = DeTable::parse_recoverable(text);
    let Some(value) = table.get_ref().get("include") else {
        return Vec::new();
    };
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    items
        .into_iter()
        .filter_map(|item| Some((item.get_ref().as_str()?.to_owned(), At { file, span: item.span() })))
        .collect()
}

/// Parses all files. A file with mistakes gives what can be read of it, and
/// its number.
pub(super) fn parse(report: &Report) -> (Vec<Spanned<DeTable<'_>>>, Vec<usize>) {
    let mut tables = Vec::new();
    let mut broken = Vec::new();
    for (index, file) in report.files.iter().enumerate() {
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().lines().next().unwrap_or("not TOML");
            let (message, expected) = match message.split_once(", expected ") {
                Some((message, expected)) => (message, format!("expected {expected}")),
                None => (message, String::new()),
            };
            report.error(&At { file: index, span }, message, expected);
        }
        if !errors.is_empty() {
            broken.push(index);
        }
        tables.push(table);
    }
    (tables, broken)
}

/// The path without `.` and `name/..`, for comparing and showing.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// A path as written in the file `from`.
pub(super) fn resolve(from: &Path, written: &str) -> PathBuf {
    tidy(&from.parent().unwrap_or(Path::new("")).join(written))
}
