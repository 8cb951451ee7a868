//! `tocsin check`: says everything that is wrong with a configuration.

use std::io::Write;
use std::path::Path;

use super::{UNUSABLE, files};
use crate::config::problem::Severity;
use crate::config::{Loaded, Problem};

/// Checks the configuration; problems go to `err`, errors first, and one line
/// that sums up to `out` if it can be used, else to `err`. Returns the exit
/// code: 2 when it cannot be used, else 0.
///
/// # Errors
/// Only those of `out` and `err`.
pub fn check(path: &Path, out: &mut impl Write, err: &mut impl Write) -> std::io::Result<u8> {
    let (code, written) = match files::load(path) {
        Ok(loaded) => {
            let mut line = || writeln!(out, "{}: ok: {}", path.display(), summary(&loaded));
            (0, print(err, &loaded.warnings).and_then(|()| line()))
        }
        Err(problems) => {
            let written = print(err, &problems.0);
            (UNUSABLE, written.and_then(|()| writeln!(err, "{}: {}", path.display(), counts(&problems.0))))
        }
    };
    match written {
        // The answer is the same if nobody reads it.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(code),
    }
}

fn print(out: &mut impl Write, problems: &[Problem]) -> std::io::Result<()> {
    for severity in [Severity::Error, Severity::Warning] {
        for problem in problems.iter().filter(|p| p.severity == severity) {
            writeln!(out, "{problem}\n")?;
        }
    }
    Ok(())
}

fn summary(loaded: &Loaded) -> String {
    let plan = &loaded.plan;
    let mut parts = vec![
        some(plan.sources.len(), "source"),
        some(plan.events.len(), "event"),
        some(plan.metrics.len(), "metric"),
        some(plan.rules.len(), "rule"),
        some(plan.receivers.len(), "receiver"),
    ];
    if !loaded.warnings.is_empty() {
        parts.push(some(loaded.warnings.len(), "warning"));
    }
    parts.join(", ")
}

fn counts(problems: &[Problem]) -> String {
    let of = |severity| problems.iter().filter(|p| p.severity == severity).count();
    let errors = some(of(Severity::Error), "error");
    match of(Severity::Warning) {
        0 => errors,
        warnings => format!("{errors}, {}", some(warnings, "warning")),
    }
}

fn some(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
